"""Tells whoever started the daemon that it serves, and where."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

from hookd_daemon.config import StartupError

if TYPE_CHECKING:
    from hookd_daemon.config import Settings


def announce(settings: Settings, *, grpc: str, http: str | None, **more: Any) -> None:
    """Writes one line of JSON to the descriptor and the file of the settings, if any.

    The descriptor is closed afterwards, so that its reader sees the end. The
    file appears in one step: whoever sees it sees the whole line.

    Args:
        settings: Where to write.
        grpc: Address of the gRPC API that is bound, ``HOST:PORT``.
        http: Address of the HTTP endpoints that is bound; None if they are off.
        more: Further members of the object, JSON types only.

    Raises:
        StartupError: The line could not be written.
    """
    line = json.dumps({"grpc": grpc, "http": http, "pid": os.getpid(), **more}) + "\n"
    if settings.ready_fd is not None:
        try:
            with os.fdopen(settings.ready_fd, "wb", closefd=True) as pipe:
                pipe.write(line.encode())
        except OSError as error:
            raise StartupError(f"cannot write to --ready-fd {settings.ready_fd}: {error}") from None
    if settings.ready_file is not None:
        try:
            _write_in_one_step(str(settings.ready_file), line.encode())
        except OSError as error:
            raise StartupError(f"cannot write --ready-file: {error}") from None


def retract(settings: Settings) -> None:
    """Removes the ready file, if there is one.

    To be called before starting, since a file left by a killed daemon names
    addresses that nobody serves, and again when stopping.
    """
    if settings.ready_file is not None:
        with contextlib.suppress(OSError):
            settings.ready_file.unlink()


def _write_in_one_step(path: str, content: bytes) -> None:
    directory, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory or ".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        # mkstemp makes it private; the supervisor may be another user.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
