"""Says when the process has no file descriptor left.

gRPC takes no new connections then, and says nothing about it.
"""

from __future__ import annotations

import errno
import os

from hookd_daemon.logs import get_logger

log = get_logger(__name__)


class Descriptors:
    """Looks whether a file could be opened."""

    def __init__(self) -> None:
        self._short = False

    def look(self) -> None:
        """Tries it, and says when it has changed."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            if not self._short:
                log.warning(
                    "no file descriptor is left: new connections wait until there is one",
                    error=error.strerror,
                    limit="see ulimit -n",
                )
            self._short = True
        else:
            if self._short:
                log.info("there are file descriptors again")
            self._short = False
