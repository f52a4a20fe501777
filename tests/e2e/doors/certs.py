"""Certificates for a test, made by openssl."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_numbers = itertools.count(1)
_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files and as bytes."""

    cert: Path
    key: Path

    @property
    def bytes(self) -> tuple[bytes, bytes]:
        """The private key and the certificate, in the order in which gRPC wants them."""
        return self.key.read_bytes(), self.cert.read_bytes()

    def put(self, cert: Path, key: Path) -> None:
        """Replaces files by these, one after the other, as tools that renew do."""
        for source, target in ((self.cert, cert), (self.key, key)):
            fresh = target.with_name(target.name + ".fresh")
            shutil.copyfile(source, fresh)
            fresh.rename(target)


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("there is no openssl to make certificates with")
        self._folder = folder
        self._own = self._make(["-addext", "basicConstraints=critical,CA:TRUE"])

    @property
    def file(self) -> Path:
        """Its own certificate."""
        return self._own.cert

    def issue(self) -> Pair:
        """A new certificate for this machine, as a server or as a client."""
        signed = ["-CA", str(self._own.cert), "-CAkey", str(self._own.key)]
        names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
        return self._make([*signed, "-addext", names, "-addext", "basicConstraints=CA:FALSE"])

    def _make(self, options: list[str]) -> Pair:
        name = f"test-{next(_numbers)}"
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        out = ["-subj", f"/CN={name}", "-out", str(pair.cert), "-keyout", str(pair.key)]
        subprocess.run(
            ["openssl", "req", "-x509", *_CURVE, *options, *out],
            check=True,
            capture_output=True,
            timeout=60,
        )
        return pair
