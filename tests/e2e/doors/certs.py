"""Certificates for a test."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization as pem

_numbers = itertools.count(1)


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

    def close(self, key: Path, passphrase: bytes) -> None:
        """Writes its key, encrypted, into another file."""
        opened = pem.load_pem_private_key(self.key.read_bytes(), None)
        encryption = pem.BestAvailableEncryption(passphrase)
        key.write_bytes(opened.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, encryption))


class Authority:
    """Signs certificates; they are in a folder, as its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        """Its own certificate."""
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self) -> Pair:
        """A new certificate for this machine, as a server or as a client."""
        made = self._authority.issue_cert("127.0.0.1", "localhost")
        name = f"test-{next(_numbers)}"
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(pair.cert)
        made.private_key_pem.write_to_path(pair.key)
        return pair
