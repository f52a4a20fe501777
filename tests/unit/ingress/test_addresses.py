"""Who has sent a request that came through proxies."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hookd.webhook_url import has_url, webhook_url
from hookd_daemon.http.webhooks.address import Proxies, read_address
from hypothesis import assume, given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("peer", "forwarded", "sender"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["<script>, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4, <script>"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", ["[2001:db8::1]:5678"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8::1"], "2001:db8::1"),
        ("::1", ["1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("", ["1.2.3.4"], ""),
    ],
)
def test_the_nearest_that_is_no_proxy(peer: str, forwarded: list[str], sender: str) -> None:
    assert Proxies(["10.0.0.0/8", "::1/128"]).sender(peer, forwarded) == sender


def test_nobody_is_believed_by_default() -> None:
    assert Proxies([]).sender("127.0.0.1", ["1.2.3.4"]) == "127.0.0.1"


@given(st.text(min_size=1, max_size=40), st.sampled_from(["p", "a.b-c_d"]))
def test_what_a_url_says_is_read_back(token: str, project: str) -> None:
    assume(has_url(token) and not re.search("[\ud800-\udfff]", token))
    path = urlsplit(webhook_url("http://h:1", project, token)).path
    for rest in ("", "/", "/more%2Fof"):
        found = read_address((path + rest).encode(), 512)
        assert found is not None
        assert (found.project, found.token, found.rest) == (project, token, rest)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/webhooks/p/t", ("p", "t", "")),
        (b"/webhooks/p/t/", ("p", "t", "/")),
        (b"/webhooks/p/t//%2F", ("p", "t", "//%2F")),
        (b"/webhooks/%70/%74", ("p", "t", "")),
        (b"/webhooks/p/a+b%20c", ("p", "a+b c", "")),
        (b"/webhooks/p/%", None),
        (b"/webhooks/p/t/%", None),
        (b"/webhooks/p/%e9", None),
        (b"/webhooks/p/", None),
        (b"/webhooks/p", None),
        (b"/webhooks//t", None),
        (b"/webhooks/p%2ft", None),
        (b"/webhooks/p/12345678", ("p", "12345678", "")),
        (b"/webhooks/p/123456789", None),
        (b"/webhookz/p/t", None),
    ],
)
def test_paths(path: bytes, found: tuple[str, str, str] | None) -> None:
    address = read_address(path, 8)
    assert (address and (address.project, address.token, address.rest)) == found
