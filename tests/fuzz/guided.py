"""Fuzzing that is led by coverage: ``python -m tests.fuzz.guided NAME [CORPUS] [-FLAG=VALUE …]``.

Atheris mutates bytes and keeps those with which code is reached that no others have reached.
NAME is one of the ``decoders``, or ``all``: then the first byte says which. CORPUS is a directory
with what was found before, and the flags are those of libFuzzer (``-help=1`` lists them). The
program tells the bytes with which a decoder fails, and ends with a status other than 0 then. Of
Rust nothing is measured.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["hookd", "hookd_daemon"]):
    from tests.fuzz.decoders import DECODERS, Decoder


def decoder_of(name: str) -> Decoder:
    """The decoder of a name; of ``all`` what leaves it to the first byte."""
    if name != "all":
        return DECODERS[name]
    every = list(DECODERS.values())

    def by_the_first_byte(data: bytes) -> None:
        if data and data[0] < len(every):
            every[data[0]](data[1:])

    return by_the_first_byte


if __name__ == "__main__":
    arguments = [sys.argv[0], *sys.argv[2:]]
    atheris.Setup(arguments, decoder_of(sys.argv[1]))
    atheris.Fuzz()
