"""HTTP/2 frames, made by hand: right ones to begin with, and wrong ones (RFC 9113, RFC 7541)."""

from __future__ import annotations

import random

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK, PADDED = 0x1, 0x4, 0x1, 0x8


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    """One frame."""
    size = len(content).to_bytes(3, "big")
    return size + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def headers(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """A block of headers, each a literal that is not indexed; at most 126 bytes each."""
    block = b""
    for name, value in pairs:
        block += b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    return block


def call(path: bytes, message: bytes, stream: int = 1, more: bytes = b"") -> bytes:
    """All frames of a unary gRPC call, with the beginning of the connection."""
    block = headers(
        [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", b"localhost"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        ]
    )
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return (
        PREFACE
        + frame(SETTINGS, 0, 0)
        + frame(HEADERS, END_HEADERS, stream, block + more)
        + frame(DATA, END_STREAM, stream, body)
    )


def noise(dice: random.Random, count: int) -> bytes:
    """Some frames of any kind, flags, stream and content; lengths may be wrong."""
    made = b""
    for _ in range(count):
        content = dice.randbytes(dice.choice((0, 1, 4, 5, 8, 9, 40, 300)))
        one = bytearray(
            frame(
                dice.choice((*range(11), dice.randrange(256))),
                dice.choice((0, 1, 4, 5, 8, dice.randrange(256))),
                dice.choice((0, 1, 1, 2, 3, 2**31 - 1, dice.getrandbits(32))),
                content,
            )
        )
        if dice.random() < 0.2:
            one[0:3] = dice.randbytes(3)
        made += bytes(one)
    return made


def spoil(dice: random.Random, data: bytes, begin: int) -> bytes:
    """Changes, cuts or doubles some bytes behind ``begin``."""
    raw = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(begin, len(raw) + 1)
        match dice.randrange(4):
            case 0 if at < len(raw):
                raw[at] ^= 1 << dice.randrange(8)
            case 1:
                del raw[at:]
            case 2:
                raw[at:at] = raw[at : at + 9]
            case _:
                raw[at:at] = dice.randbytes(dice.randint(1, 9))
    return bytes(raw)
