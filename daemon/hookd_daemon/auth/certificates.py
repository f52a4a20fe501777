"""The certificates of TLS, for gRPC and HTTP, read again when their files change."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc

from hookd_daemon.auth.mark import Mark, mark
from hookd_daemon.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")


class CertificateError(Exception):
    """A file of TLS cannot be used; the message names it and its setting."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the files held when they fitted together."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext

    def for_grpc(self) -> grpc.ServerCertificateConfiguration:
        pairs = [(self.key, self.certificate)]
        return grpc.ssl_server_certificate_configuration(pairs, self.client_ca)


class Certificates:
    """The certificate of the daemon, its key, and whom it trusts as clients.

    New files count for new connections. Those that are open stay as they are.

    Args:
        certificate: PEM file with the certificate and what leads to its root.
        key: PEM file with its private key.
        client_ca: PEM file with the authorities of clients: then a client
            needs a certificate of one of them. None: clients need none.

    Raises:
        CertificateError: a file cannot be read, or they do not fit together.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._trouble = ""
        self._marks = self._look_at_files()
        self._loaded = self._load()
        # One of its own for HTTP: the callback that moves connections must not
        # be on those that they are moved to.
        self._first = self._load().context
        self._first.sni_callback = self._move

    def look(self) -> None:
        """Reads the files again if they have changed; keeps what it has if they are not usable."""
        try:
            marks = self._look_at_files()
            if marks == self._marks:
                return
            loaded = self._load()
            # Files are replaced one after the other, and these belong together.
            if marks != self._look_at_files():
                return
        except CertificateError as error:
            # Said once, and not twice a second.
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error("the certificates stay as they were", error=str(error))  # noqa: TRY400
            return
        self._marks, self._loaded, self._trouble = marks, loaded, ""
        log.info("read the certificates again")

    def _files(self) -> dict[str, Path]:
        files = {"tls_cert": self._certificate, "tls_key": self._key}
        if self._client_ca is not None:
            files["tls_client_ca"] = self._client_ca
        return files

    def _look_at_files(self) -> tuple[Mark, ...]:
        return tuple(_reading(name, path, mark) for name, path in self._files().items())

    def _load(self) -> _Loaded:
        files = self._files()
        found = {name: _reading(name, path, Path.read_bytes) for name, path in files.items()}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Older versions can take a session up again without asking for the
        # client's certificate anew.
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        for name, path in files.items():
            what = b"PRIVATE KEY-----" if name == "tls_key" else b"-----BEGIN CERTIFICATE-----"
            if what not in found[name]:
                kind = "a private key" if name == "tls_key" else "a certificate"
                raise CertificateError(f"{path} does not hold {kind} in PEM (see {_flag(name)})")
        if b"ENCRYPTED" in found["tls_key"]:
            raise CertificateError(f"{self._key} has a passphrase (see --tls-key)")
        try:
            # Whatever the file holds, nobody is asked for a passphrase.
            context.load_cert_chain(self._certificate, self._key, password="")
        except (ssl.SSLError, OSError) as error:
            raise CertificateError(
                f"{self._certificate} and {self._key} cannot be used together: {_why(error)} "
                "(see --tls-cert and --tls-key)"
            ) from None
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except (ssl.SSLError, OSError):
                raise CertificateError(
                    f"{self._client_ca} cannot be used, it is damaged (see --tls-client-ca)"
                ) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return _Loaded(found["tls_cert"], found["tls_key"], found.get("tls_client_ca"), context)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """What a gRPC server is given; it asks for the current files at each new connection."""
        given = self._loaded

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # In a thread of gRPC's own.
            nonlocal given
            loaded = self._loaded
            if loaded is given:
                return None
            given = loaded
            return loaded.for_grpc()

        return grpc.dynamic_ssl_server_credentials(
            given.for_grpc(),
            fetch,  # type: ignore[arg-type]  # the stubs do not know that None is "no change"
            require_client_authentication=self._client_ca is not None,
        )

    def http_context(self) -> ssl.SSLContext:
        """What an HTTP server is given; each new connection is moved to the current files."""
        return self._first

    def _move(self, connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        # Called at every handshake, also when the client names no server.
        connection.context = self._loaded.context


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _reading(name: str, path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except OSError as error:
        raise CertificateError(
            f"cannot read {path}: {error.strerror or error} (see {_flag(name)})"
        ) from None


def _why(error: OSError) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate"
    return "what is in them is damaged"
