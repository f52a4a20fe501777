"""How things are shown: times, texts that may hold anything, payloads."""

from __future__ import annotations

import codecs
import json
import re
import time
from datetime import UTC, datetime
from urllib.parse import quote

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hookd.v1.common_pb2 import HookStatus, Payload, RunStatus
from markupsafe import Markup, escape

#: So many characters of a text stand in a list.
SHORT = 64
#: So many bytes of a payload are shown.
SHOWN_BYTES = 16 * 1024
_HEX_BYTES = 256
#: What may have to be written out: all but visible ASCII and the space. Of it,
#: ``str.isprintable`` refuses control, format, surrogate, private and unassigned
#: characters, and separators: what cannot be seen, or turns around what can.
_RARE = re.compile("([^ -~]+)")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{},:]|[^][\s{},:"]+')
_ESCAPED_SPACE = '<span class="esc">␣</span>'


def visible(text: str, keep: str = "") -> Markup:
    """A text as HTML that shows every character in it.

    Args:
        text: any text.
        keep: characters that stay as they are, such as line ends.
    """
    inner = text if keep else text.strip(" ")
    before = len(text) - len(text.lstrip(" ")) if not keep else 0
    after = len(text) - before - len(inner)
    out = [_ESCAPED_SPACE * before]
    for place, part in enumerate(_RARE.split(inner)):
        # Every other part is of those that have to be looked at one by one.
        out.append(_each_visible(part, keep) if place % 2 else str(escape(part)))
    out.append(_ESCAPED_SPACE * after)
    return Markup("".join(out))  # noqa: S704 - every part was escaped


def _each_visible(text: str, keep: str) -> str:
    return "".join(
        char if char in keep or char.isprintable() else f'<span class="esc">{_name(char)}</span>'
        for char in text
    )


def _name(char: str) -> str:
    number = ord(char)
    simple = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
    return simple.get(char, f"\\u{{{number:x}}}")


def plain_name(text: str) -> str:
    """A text for a title or a label, with what cannot be seen written out."""
    return "".join(char if char.isprintable() else _name(char) for char in text)


def short(text: str, size: int = SHORT) -> Markup:
    """A text in a list: visible, and cut if it is long; whole in the title."""
    if len(text) <= size:
        return Markup('<bdi class="text">{}</bdi>').format(visible(text))
    shown = visible(text[: size - 1])
    return Markup('<bdi class="text" title="{}">{}…</bdi>').format(plain_name(text[:600]), shown)


def whole(text: str) -> Markup:
    """A text that is not cut."""
    return Markup('<bdi class="text">{}</bdi>').format(visible(text))


def milliseconds(value: Timestamp | int) -> int:
    """A time in milliseconds since 1970."""
    return value if isinstance(value, int) else value.ToMilliseconds()


def exact(ms: int) -> str:
    """A time to the millisecond, in UTC."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03d} UTC"


def span(seconds: float) -> str:
    """A length of time, in its two greatest units."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{int(seconds // 86_400)} d {int(seconds % 86_400 // 3600)} h"


def ago(value: Timestamp | int) -> Markup:
    """A time as people say it, the exact one in the title."""
    ms = milliseconds(value)
    if not ms:
        return Markup('<span class="none">–</span>')
    seconds = time.time() - ms / 1000
    if -1 < seconds < 1:
        text = "just now"
    elif seconds < 0:
        text = f"in {_rough(-seconds)}"
    else:
        text = f"{_rough(seconds)} ago"
    iso = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, exact(ms), text)


def age(value: Timestamp | int) -> Markup:
    """How long ago a time is, without the word; the exact time in the title."""
    ms = milliseconds(value)
    iso = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return Markup('<time data-age datetime="{}" title="{}">{}</time>').format(
        iso, f"since {exact(ms)}", _rough(time.time() - ms / 1000)
    )


def _rough(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def clock(value: Timestamp | int) -> Markup:
    """The time of the day, the exact one in the title."""
    ms = milliseconds(value)
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return Markup('<time class="clock" datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(timespec="milliseconds"),
        exact(ms),
        moment.strftime("%H:%M:%S.") + f"{ms % 1000:03d}",
    )


def duration(value: Duration) -> str:
    """A duration of the API."""
    return span(value.ToMilliseconds() / 1000)


def size(count: int) -> str:
    """A number of bytes."""
    if count < 1024:
        return f"{count} B"
    if count < 1024**2:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024**2:.1f} MiB"


def run_status(status: int) -> str:
    """The status of a run, as people say it."""
    return RunStatus.Name(status).removeprefix("RUN_STATUS_").lower()  # type: ignore[arg-type]


def hook_status(status: int) -> str:
    """The status of a hook, as people say it."""
    return HookStatus.Name(status).removeprefix("HOOK_STATUS_").lower()  # type: ignore[arg-type]


def trace_id(traceparent: str) -> str:
    """The id of the trace in a W3C ``traceparent``; empty if there is none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 else ""


def payload(value: Payload, most: int = SHOWN_BYTES) -> Markup:
    """A payload: JSON laid out, text as it is, other bytes in hexadecimal digits.

    Args:
        value: the payload.
        most: how many bytes of it to show.
    """
    data, kind = value.data, value.content_type
    if not data:
        return Markup('<span class="none">empty</span>')
    note = Markup('<span class="kind">{} · {}</span>').format(
        plain_name(kind or "no content type"), size(len(data))
    )
    text = _text_of(data, most)
    if text is None:
        lines = [data[i : i + 16].hex(" ") for i in range(0, min(len(data), _HEX_BYTES), 16)]
        body, cut = escape("\n".join(lines)), len(data) > _HEX_BYTES
    else:
        cut = len(data) > most
        if _is_json(kind) and not cut:
            text = _pretty(text)
        body = visible(text, keep="\n\t")
    more = Markup('\n<span class="cut">… the rest is not shown</span>') if cut else ""
    return Markup(
        '<figure class="payload"><figcaption>{}</figcaption><pre>{}{}</pre></figure>'
    ).format(note, body, more)


def failure_details(value: Payload) -> Markup:
    """The details of a failure: a traceback in them as its lines, the rest folded up.

    The Python client leaves ``{"traceback": …}``; others leave what they like.
    """
    trace = _traceback(value)
    if not trace:
        return payload(value)
    return Markup(
        '<figure class="payload"><figcaption><span class="kind">traceback</span></figcaption>'
        '<pre>{}</pre></figure><details id="failure"><summary>All details</summary>{}</details>'
    ).format(visible(trace.rstrip()[:SHOWN_BYTES], keep="\n\t"), payload(value))


def _traceback(value: Payload) -> str:
    if not _is_json(value.content_type) or len(value.data) > 4 * SHOWN_BYTES:
        return ""
    try:
        details = json.loads(value.data)
    except (ValueError, RecursionError):
        return ""
    trace = details.get("traceback") if isinstance(details, dict) else None
    return trace if isinstance(trace, str) else ""


def brief(value: Payload, most: int = 80) -> Markup:
    """A payload in one line."""
    if not value.data:
        return Markup('<span class="none">empty</span>')
    text = _text_of(value.data, 4 * most)
    if text is None:
        return Markup('<span class="none">{} of bytes</span>').format(size(len(value.data)))
    cut = "…" if len(text) > most or len(value.data) > 4 * most else ""
    return Markup('<code class="brief"><bdi>{}{}</bdi></code>').format(visible(text[:most]), cut)


def _text_of(data: bytes, most: int) -> str | None:
    """The first bytes as text; None if they are none."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(data[:most], final=len(data) <= most)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _is_json(kind: str) -> bool:
    media = kind.partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")


def _pretty(text: str) -> str:
    """JSON laid out anew, with its numbers and strings as they were written."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    out: list[str] = []
    depth = used = 0
    before = ""
    for part in _JSON_TOKEN.findall(text):
        if part in "]}":
            depth -= 1
        if before in ("[", "{", ",") or part in "]}":
            if before + part not in ("[]", "{}"):
                out.append("\n" + "  " * depth)
                used += 2 * depth
        elif before == ":":
            out.append(" ")
        if part in "[{":
            depth += 1
        # Deep nesting would be mostly spaces.
        if used > 4 * SHOWN_BYTES:
            return text
        out.append(part)
        before = part
    return "".join(out)


def address(path: str, **query: str | int) -> str:
    """An address within the console; what is empty is left out."""
    parts = [f"{name}={quote(str(value), safe='')}" for name, value in query.items() if value != ""]
    return f"{path}?{'&'.join(parts)}" if parts else path
