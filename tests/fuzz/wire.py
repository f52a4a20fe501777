"""Protobuf on the wire, well made and badly made, as hypothesis draws it.

Messages are built from the inside to the outside, and each level may be
spoiled. So damage comes to be at every depth, mostly with lengths around it
that are right, and what is spoiled is still nearly a message.
"""

from __future__ import annotations

from hypothesis import strategies as st

Bytes = st.SearchStrategy[bytes]

#: What is put somewhere: fields that are not known, of every kind of the wire;
#: numbers without an end; lengths beyond the end; groups; texts that are none.
ODD = (
    b"\x08\x00",
    b"\x0a\x00",
    b"\x12\x00",
    b"\x1a\x00",
    b"\xf8\x07\x96\x01",
    b"\xf9\x07" + b"\xff" * 8,
    b"\xfa\x07\x03abc",
    b"\xfd\x07" + b"\xff" * 4,
    b"\xfb\x07\x08\x01\xfc\x07",
    b"\x0b\x0c",
    b"\x0b",
    b"\x0c",
    b"\x0e",
    b"\x00\x01",
    b"\x02\x00",
    b"\x08" + b"\xff" * 9 + b"\x01",
    b"\x08" + b"\xff" * 10,
    b"\x08" + b"\x80" * 9 + b"\x02",
    b"\x88\x80\x80\x80\x00\x01",
    b"\x8a\x80\x80\x80\x00\x01a",
    b"\x0a\x81\x80\x80\x80\x00a",
    b"\x0a" + b"\xff" * 9 + b"\x01",
    b"\x0a\xff\xff\xff\xff\x07",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x12\x7f",
    b"\x0a\x02\xc3\x28",
    b"\x12\x03\xed\xa0\x80",
    b"\x12\x02\xc0\x80",
    b"\x0a\x01\xff",
    b"\x12\x04\xf4\x90\x80\x80",
    b"\xf8\xff\xff\xff\x0f\x00",
    b"\xf8\xff\xff\xff\x7f\x00",
    b"\x0d\x01\x02",
    b"\x09\x01",
)


def varint(value: int, padding: int = 0) -> bytes:
    """A number in base 128, with so many digits more than it needs."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    for _ in range(padding):
        digits[-1] |= 0x80
        digits.append(0)
    return bytes(digits)


def number(field: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(field << 3) + varint(value)


def sized(field: int, value: bytes, padding: int = 0) -> bytes:
    """A field that is a text, bytes or a message."""
    return varint(field << 3 | 2) + varint(len(value), padding) + value


@st.composite
def spoiled(draw: st.DrawFn, well_made: Bytes, *, often: int = 2) -> bytes:
    """Bytes of which some, now and then, are changed, cut, doubled or added.

    Args:
        draw: given by hypothesis.
        well_made: what they are before.
        often: in so many of ten cases.
    """
    data = draw(well_made)
    if draw(st.integers(0, 9)) >= often:
        return data
    for _ in range(draw(st.integers(1, 3))):
        data = draw(_changed(data))
    return data


@st.composite
def _changed(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    end = draw(st.integers(at, min(len(data), at + 12)))
    match draw(st.sampled_from(("bit", "cut", "drop", "double", "odd", "odd", "at-end", "noise"))):
        case "bit" if at < len(data):
            bit = 1 << draw(st.integers(0, 7))
            return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
        case "cut":
            return data[:at]
        case "drop":
            return data[:at] + data[end:]
        case "double":
            return data[:end] + data[at:]
        case "odd":
            return data[:at] + draw(st.sampled_from(ODD)) + data[at:]
        case "at-end":
            return data + draw(st.sampled_from(ODD))
        case _:
            return data[:at] + draw(st.binary(max_size=12)) + data[end:]


@st.composite
def message(draw: st.DrawFn, *fields: Bytes, often: int = 2) -> bytes:
    """A message of some fields, mostly in their order and each once, and now and then spoiled."""
    parts = [draw(field) for field in fields]
    if draw(st.integers(0, 9)) == 0:
        parts = draw(st.permutations(parts))
    if draw(st.integers(0, 9)) == 0 and parts:
        parts.append(draw(st.sampled_from(parts)))
    if draw(st.integers(0, 9)) == 0 and parts:
        parts.pop(draw(st.integers(0, len(parts) - 1)))
    return draw(spoiled(st.just(b"".join(parts)), often=often))


@st.composite
def nested(draw: st.DrawFn, field: int, content: Bytes) -> bytes:
    """A field that holds what another strategy makes; its length may have too many digits."""
    return sized(field, draw(content), draw(st.sampled_from((0,) * 18 + (1, 4))))
