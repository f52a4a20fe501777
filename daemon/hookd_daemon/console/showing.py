"""How things are shown: times, texts that may hold anything, payloads."""

from __future__ import annotations

import json
import time
import unicodedata
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
#: JSON up to so many bytes is laid out anew.
PRETTY_BYTES = 64 * 1024
_HEX_BYTES = 256
#: Control, format, surrogate, private and unassigned characters, separators:
#: what cannot be seen, or turns around what can. Plain spaces can, but at an end.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def visible(text: str, keep: str = "") -> Markup:
    """A text as HTML that shows every character in it.

    Args:
        text: any text.
        keep: characters that stay as they are, such as line ends.
    """
    out: list[str] = []
    plain: list[str] = []
    first, last = len(text) - len(text.lstrip(" ")), len(text.rstrip(" "))
    for place, char in enumerate(text):
        at_an_end = not keep and char == " " and not first <= place < last
        if not at_an_end and (char in keep or char == " " or not _is_unseen(char)):
            plain.append(char)
            continue
        out.append(str(escape("".join(plain))))
        plain.clear()
        out.append(f'<span class="esc">{_name(char)}</span>')
    out.append(str(escape("".join(plain))))
    return Markup("".join(out))  # noqa: S704 - every part was escaped


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in _UNSEEN


def _name(char: str) -> str:
    number = ord(char)
    simple = {" ": "␣", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
    return simple.get(char, f"\\u{{{number:x}}}")


def plain_name(text: str) -> str:
    """A text for a title or a label, with what cannot be seen written out."""
    return "".join(_name(char) if char != " " and _is_unseen(char) else char for char in text)


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


def payload(value: Payload) -> Markup:
    """A payload: JSON laid out, text as it is, other bytes in hexadecimal digits."""
    data, kind = value.data, value.content_type
    if not data:
        return Markup('<span class="none">empty</span>')
    note = Markup('<span class="kind">{} · {}</span>').format(
        plain_name(kind or "no content type"), size(len(data))
    )
    try:
        text = data[: PRETTY_BYTES if len(data) <= PRETTY_BYTES else SHOWN_BYTES].decode(
            errors="strict" if len(data) <= PRETTY_BYTES else "ignore"
        )
    except UnicodeDecodeError:
        text = ""
    if not text or ("\0" in text and not _is_json(kind)):
        lines = [data[i : i + 16].hex(" ") for i in range(0, min(len(data), _HEX_BYTES), 16)]
        body, cut = escape("\n".join(lines)), len(data) > _HEX_BYTES
    else:
        text = _pretty(text) if _is_json(kind) and len(data) <= PRETTY_BYTES else text
        cut = len(text) > SHOWN_BYTES or len(data) > PRETTY_BYTES
        body = visible(text[:SHOWN_BYTES], keep="\n\t")
    more = Markup('\n<span class="cut">… the rest is not shown</span>') if cut else ""
    return Markup(
        '<figure class="payload"><figcaption>{}</figcaption><pre>{}{}</pre></figure>'
    ).format(note, body, more)


def brief(value: Payload, most: int = 80) -> Markup:
    """A payload in one line."""
    try:
        text = value.data[: 4 * most].decode(errors="ignore")
    except UnicodeDecodeError:  # pragma: no cover - errors are ignored
        text = ""
    if not value.data:
        return Markup('<span class="none">empty</span>')
    if not text or "\0" in text:
        return Markup('<span class="none">{} of bytes</span>').format(size(len(value.data)))
    cut = "…" if len(text) > most else ""
    return Markup('<code class="brief"><bdi>{}{}</bdi></code>').format(visible(text[:most]), cut)


def _is_json(kind: str) -> bool:
    media = kind.partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def address(path: str, **query: str | int) -> str:
    """An address within the console; what is empty is left out."""
    parts = [f"{name}={quote(str(value), safe='')}" for name, value in query.items() if value != ""]
    return f"{path}?{'&'.join(parts)}" if parts else path
