"""No bytes make a decoder fail, but with the one error that its callers expect."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.decoders import DECODERS
from tests.fuzz.seeds import SEEDS
from tests.support.effort import effort, seed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", DECODERS)
def test_well_made_bytes(name: str) -> None:
    """The bytes from which others are made; the decoders fail neither with them nor with none."""
    assert SEEDS[name]
    for data in (b"", *SEEDS[name]):
        DECODERS[name](data)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not for every platform")
@pytest.mark.torture
def test_no_bytes_make_a_decoder_fail(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, name in enumerate(DECODERS):
        for place, data in enumerate(SEEDS[name]):
            (corpus / f"{name}-{place}").write_bytes(bytes([number]) + data)
    fuzzed = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.guided", "all", str(corpus)),
            # A seed of 0 would be one of its own.
            *(f"-seed={seed() % 2**32 + 1}", f"-runs={effort(10_000)}", "-max_len=4096"),
            *("-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={tmp_path}/"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    assert fuzzed.returncode == 0, fuzzed.stdout[-4000:]
