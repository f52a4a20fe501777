"""How things are shown that may hold anything."""

from __future__ import annotations

import pytest
from hookd.v1.common_pb2 import Payload
from hookd_daemon.console import showing
from markupsafe import Markup


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("order-42", "order-42"),
        ("a b", "a b"),
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        (" a ", '<span class="esc">␣</span>a<span class="esc">␣</span>'),
        ("\0\n", '<span class="esc">\\0</span><span class="esc">\\n</span>'),
        ("\u202ex", '<span class="esc">\\u{202e}</span>x'),
        ("\u00a0", '<span class="esc">\\u{a0}</span>'),
        ("ä☃🙂", "ä☃🙂"),
    ],
)
def test_a_text_is_escaped_and_all_of_it_can_be_seen(text: str, shown: str) -> None:
    """What turns text around, or cannot be seen, is written out."""
    assert showing.visible(text) == shown


def test_a_long_text_is_cut_in_lists() -> None:
    """Whole in the title, as far as titles go."""
    shown = showing.short("<" * 100)
    assert shown.count("&lt;") == 100 + showing.SHORT - 1


@pytest.mark.parametrize(
    ("payload", "part"),
    [
        (Payload(), "empty"),
        (
            Payload(content_type="application/json", data=b'{"a":[1]}'),
            "&#34;a&#34;: [\n    1\n  ]\n}",
        ),
        (Payload(content_type="application/x+json; v=1", data=b'"\\ud800"'), "\\ud800"),
        (Payload(content_type="application/json", data=b"{broken"), "{broken"),
        (Payload(content_type="application/json", data=b"[" * 9000), "[[["),
        (Payload(content_type="text/plain", data="é\r\n".encode()), "\\r"),
        (Payload(content_type="text/plain", data=b"\xff\xfe"), "ff fe"),
        (Payload(content_type="<b>", data=b"x"), "&lt;b&gt; · 1 B"),
        (Payload(data=b"y" * 5_000_000), "the rest is not shown"),
        (Payload(data=b"\0" * 5_000_000), "the rest is not shown"),
    ],
)
def test_any_payload_can_be_shown(payload: Payload, part: str) -> None:
    """In bounded room."""
    shown = str(showing.payload(payload))
    assert part in shown
    assert len(shown) < 200_000
    assert "<b>" not in str(showing.brief(payload))


def test_json_is_laid_out_with_its_numbers_as_they_are() -> None:
    """A price is not rounded, and an escape not undone."""
    raw = '{"a": [], "b": {"c":1.50,"d" : [1e999, "\\u202e, :]"]}, "e": {}, "f": null}'
    shown = Markup(showing.payload(Payload(content_type="application/json", data=raw.encode())))
    laid_out = """{
  "a": [],
  "b": {
    "c": 1.50,
    "d": [
      1e999,
      "\\u202e, :]"
    ]
  },
  "e": {},
  "f": null
}</pre>"""
    assert laid_out in shown.unescape()


def test_a_traceback_is_shown_as_its_lines() -> None:
    """Not as one string of JSON; what else there is can be unfolded."""
    data = b'{"traceback": "Traceback:\\n  File \\"shop.py\\"\\n\\u202e<b>\\n", "args": []}'
    shown = showing.failure_details(Payload(content_type="application/json", data=data))
    lines = (
        'Traceback:\n  File &#34;shop.py&#34;\n<span class="esc">\\u{202e}</span>&lt;b&gt;</pre>'
    )
    assert f"<pre>{lines}" in shown
    assert "<summary>All details</summary>" in shown
    assert "&#34;args&#34;: []" in shown


@pytest.mark.parametrize(
    "value",
    [
        Payload(content_type="application/json", data=b'{"traceback": 1}'),
        Payload(content_type="application/json", data=b'["traceback"]'),
        Payload(content_type="application/json", data=b"{broken"),
        Payload(content_type="application/json", data=b"[" * 9000),
        Payload(content_type="application/json", data=b"\xff"),
        Payload(content_type="text/plain", data=b'{"traceback": "x"}'),
        Payload(content_type="application/json", data=b'{"traceback": "%s"}' % (b"x" * 5_000_000)),
        Payload(),
    ],
)
def test_details_of_a_failure_may_be_anything(value: Payload) -> None:
    """What has no traceback, or too long a one, is shown as any payload."""
    assert showing.failure_details(value) == showing.payload(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (59.4, "59 s"),
        (61, "1 min 1 s"),
        (3_660, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    """In two units."""
    assert showing.span(seconds) == text


def test_addresses_hold_anything() -> None:
    """Percent-encoded, with what is empty left out."""
    assert showing.address("/console/run", run="a/b?c&d#%\n", q="") == (
        "/console/run?run=a%2Fb%3Fc%26d%23%25%0A"
    )
