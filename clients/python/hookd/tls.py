"""How the connection to the daemon is protected."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from hookd.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WORDS = {"true": True, "1": True, "yes": True, "on": True}
_WORDS |= {"false": False, "0": False, "no": False, "off": False}

# "localhost", "[::1]:4665", "ipv4:127.0.0.1:4665", "dns:///localhost:4665"
_ONE_HOST = re.compile(r"(?:dns:(?:///)?|ipv4:|ipv6:)?(?P<host>\[[^],/]+\]|[^]:,/\[]+)(?::[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of a connection with TLS, all in PEM."""

    ca: str | Path | None = None
    """The authorities that the daemon's certificate may come from; those of gRPC when None."""
    cert: str | Path | None = None
    """The client's certificate, for a daemon that asks for one."""
    key: str | Path | None = None
    """The private key of ``cert``."""


def choose(tls: bool | Tls | None, environ: Mapping[str, str] | None = None) -> Tls | bool | None:
    """Gives what was chosen, in the program or in the environment.

    Returns:
        The files; False when somebody insists on plaintext; None when nobody
        said anything.
    """
    if tls is None:
        environ = os.environ if environ is None else environ
        files = {name: environ.get(f"HOOKD_TLS_{name.upper()}") for name in ("ca", "cert", "key")}
        word = environ.get("HOOKD_TLS", "").strip().lower()
        if word and word not in _WORDS:
            raise InvalidArgumentError.of("HOOKD_TLS", "must be true or false")
        if any(files.values()) and _WORDS.get(word, True):
            return Tls(**{name: path or None for name, path in files.items()})
        tls = _WORDS.get(word)
    return Tls() if tls is True else tls


def credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Reads the files.

    Raises:
        InvalidArgumentError: A file cannot be read, or is not what it should be.
    """
    if (tls.cert is None) != (tls.key is None):
        raise InvalidArgumentError.of("tls", "cert and key go together")
    # gRPC itself would only say, at the first call, that it cannot connect.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca = cert = key = None
    if tls.ca is not None:
        ca = _read("tls.ca", tls.ca)
        try:
            context.load_verify_locations(tls.ca)
        except (ssl.SSLError, OSError):
            raise InvalidArgumentError.of(
                "tls.ca", f"there is no certificate in PEM in {tls.ca}"
            ) from None
    if tls.cert is not None and tls.key is not None:
        cert, key = _read("tls.cert", tls.cert), _read("tls.key", tls.key)
        try:
            context.load_cert_chain(tls.cert, tls.key, password="")
        except (ssl.SSLError, OSError):
            raise InvalidArgumentError.of(
                "tls.cert",
                f"{tls.cert} and {tls.key} are not a certificate and its key in PEM, "
                "without a passphrase",
            ) from None
    return grpc.ssl_channel_credentials(ca, key, cert)


def is_loopback(address: str) -> bool:
    """Whether what is sent to an address stays on this machine."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    found = _ONE_HOST.fullmatch(address)
    if found is None:
        return False  # Whatever it is, and wherever it leads.
    host = found["host"].strip("[]")
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _read(field: str, path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidArgumentError.of(field, f"{path} cannot be read: {why}") from None
