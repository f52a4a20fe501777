"""Lets callers in: who they are, what they may call, and for how long.

Looking a key up takes a hash and a comparison, a few microseconds: there is no
cache that could be wrong.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from hookd_daemon.auth import keys
from hookd_daemon.auth.keyfile import DamagedKeysError, KeyFile, KeyFileError
from hookd_daemon.auth.keys import Key
from hookd_daemon.auth.mark import Mark
from hookd_daemon.auth.roles import Role
from hookd_daemon.auth.spare import Spare
from hookd_daemon.auth.watch import LOOK_S
from hookd_daemon.errors import PermissionDeniedError, UnauthenticatedError
from hookd_daemon.logs import get_logger

log = get_logger(__name__)

#: What the digest of a key with an unknown id is held against: the time that
#: the answer takes must not tell which ids there are.
_NOBODY = bytes(32)


class Sent(Protocol):
    """What a caller sent."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What was sent beside the request; keys in lower case."""


class Caller:
    """Who calls: the bearer of a key, or anybody as long as no keys are required.

    Attributes:
        key: what is kept of the key; None for anybody.
        project: the only project that it may name; empty for any.
        role: what it may call.
        stays: the streams and waits that it has open.
    """

    __slots__ = ("_digest", "_until", "key", "project", "role", "stays")

    def __init__(self, key: Key | None) -> None:
        self.key = key
        self.project = "" if key is None else key.project or ""
        self.role = Role.ADMIN if key is None else key.role
        self.stays: set[Stay] = set()
        self._digest = _NOBODY if key is None else bytes.fromhex(key.sha256)
        expires_at = None if key is None else key.expires_at
        self._until = float("inf") if expires_at is None else expires_at.timestamp() * 1000

    def bears(self, digest: bytes) -> bool:
        """Whether this is the digest of its key; takes the same time whatever it is."""
        return hmac.compare_digest(digest, self._digest)

    def expired(self, now_ms: int) -> bool:
        """Whether its key has expired."""
        return now_ms >= self._until

    @contextmanager
    def stay(self) -> Iterator[Stay]:
        """Has the block end, with an error, when the key is not valid any more.

        Raises:
            UnauthenticatedError: the key was revoked, or has expired.
        """
        stay = Stay()
        self.stays.add(stay)
        try:
            yield stay
            stay.check()
        except asyncio.CancelledError:
            stay.check()
            raise
        finally:
            self.stays.discard(stay)


class Stay:
    """A call that lasts: a stream, or a wait. Made in the task that answers it."""

    __slots__ = ("_ended", "_inside", "_task")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._inside = True
        self._ended = False

    def end(self) -> None:
        """Ends it: at once if it is waiting here, else when it comes back."""
        self._ended = True
        if self._inside and self._task is not None:
            self._task.cancel()

    def leave(self) -> None:
        """The task is somebody else's from here on, and is not disturbed."""
        self._inside = False

    def come_back(self) -> None:
        """The task is ours again.

        Raises:
            UnauthenticatedError: it was to end meanwhile.
        """
        self._inside = True
        if self._ended:
            self._inside = False
            raise UnauthenticatedError.no_more()

    def check(self) -> None:
        """Says why it was ended, if it was.

        Raises:
            UnauthenticatedError: it was ended.
        """
        if self._ended and self._inside:
            self._inside = False
            if self._task is not None:
                self._task.uncancel()
            raise UnauthenticatedError.no_more() from None


class Door:
    """The keys in force, and the callers that bear them.

    Keys are required when there is a file of keys, whatever is in it, or when
    the operator says so. A door that requires keys does so until the
    daemon ends: neither a file that vanishes nor one that is damaged opens it.

    Args:
        file: the keys; looked at anew every half second.
        required: require a key of every caller even if there are none.
        now_ms: the time, in milliseconds since 1970.
        monotonic: seconds that only grow, for when to look.

    Raises:
        KeyFileError: the keys cannot be read.
    """

    def __init__(
        self,
        file: KeyFile,
        *,
        required: bool,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._required = required
        self._anybody = Caller(None)
        self._nobody = Caller(None)
        self._callers: dict[str, Caller] = {}
        self._mark: Mark = file.mark()
        self._trouble = ""
        self._spare = Spare()
        self._next_look = monotonic() + LOOK_S
        if self._mark is not None:
            self._take(file.read())

    @property
    def required(self) -> bool:
        """Whether a key is required."""
        return self._required

    @property
    def valid(self) -> int:
        """How many keys are valid now."""
        now_ms = self._now_ms()
        return sum(not caller.expired(now_ms) for caller in self._callers.values())

    def enter(self, path: str, least: Role, sent: Sent) -> Caller:
        """Lets a call in.

        Args:
            path: what is called, for the error.
            least: the least role that may call it.
            sent: what was sent beside the request.

        Raises:
            UnauthenticatedError: a valid key is required, and there is none.
            PermissionDeniedError: the key's role does not allow the call.
        """
        # On the way in, and not only in the background: so no call is let in
        # by what was revoked longer ago, however busy the event loop is.
        if self._monotonic() >= self._next_look:
            self.look()
        if not self._required:
            return self._anybody
        caller = self._identify(sent.metadata.get("authorization", ""))
        self._check_role(caller, path, least)
        return caller

    def check(self, caller: Caller, path: str, least: Role) -> None:
        """Lets somebody call who was identified before, by ``bearer_of``.

        Raises:
            UnauthenticatedError: his key is not valid any more.
            PermissionDeniedError: its role does not allow the call.
        """
        if self._monotonic() >= self._next_look:
            self.look()
        if self._required and (caller.key is None or not self._is_in_force(caller)):
            raise UnauthenticatedError.no_more()
        self._check_role(caller, path, least)

    def _check_role(self, caller: Caller, path: str, least: Role) -> None:
        if not caller.role.covers(least):
            raise PermissionDeniedError.of_role(path, caller.role)

    def _is_in_force(self, caller: Caller) -> bool:
        key = caller.key
        return (
            key is not None
            and self._callers.get(key.id) is caller
            and not caller.expired(self._now_ms())
        )

    def bearer_of(self, text: str) -> Caller:
        """Who bears a key; anybody's as long as no keys are required.

        Raises:
            UnauthenticatedError: the key is not valid.
        """
        if not self._required:
            return self._anybody
        return self._identify(f"Bearer {text}")

    def enter_for_metrics(self, sent: Sent) -> None:
        """Lets somebody see the metrics, which are about all projects.

        Raises:
            UnauthenticatedError: a valid key is required, and there is none.
            PermissionDeniedError: the key does not allow it.
        """
        if self.enter("/metrics", Role.ADMIN, sent).project:
            raise PermissionDeniedError.of_all_projects()

    def _identify(self, header: str) -> Caller:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthenticatedError.missing()
        text = text.strip()
        caller = self._bearer(text)
        # A key that was just made is good at once, and not at the next look.
        if caller is None and self.look():
            caller = self._bearer(text)
        if caller is None:
            raise UnauthenticatedError.invalid()
        return caller

    def _bearer(self, text: str) -> Caller | None:
        caller = self._callers.get(keys.id_of(text), self._nobody)
        bears = caller.bears(keys.digest(text))
        if not bears or caller is self._nobody or caller.expired(self._now_ms()):
            return None
        return caller

    def look(self) -> bool:
        """Reads the keys again if they have changed, and ends what is allowed no longer.

        Returns:
            Whether they had changed.
        """
        self._next_look = self._monotonic() + LOOK_S
        changed = False
        try:
            seen = self._file.mark()
            if seen != self._mark:
                found = self._read(seen)
                self._trouble = ""
                if seen is None:
                    log.error(
                        "the keys are gone: none is valid any more", file=str(self._file.path)
                    )
                self._take(found)
                changed = True
                log.info("read the keys again", valid=self.valid)
        except KeyFileError as error:
            # The keys from before stay in force. Said once, and not twice a second.
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error("the keys stay as they were", error=self._trouble)  # noqa: TRY400
        now_ms = self._now_ms()
        for caller in self._callers.values():
            if caller.stays and caller.expired(now_ms):
                _end(caller)
        return changed

    def _read(self, seen: Mark) -> list[Key]:
        """Reads the keys, and notes which file they are from.

        Not if it cannot be read now: a key that was revoked in it must go as
        soon as it can be.
        """
        try:
            with self._spare.lent():
                found = self._file.read()
        except DamagedKeysError:
            # As long as it is the same file, a second try would only cost time.
            self._mark = seen
            raise
        self._mark = seen
        return found

    def _take(self, found: list[Key]) -> None:
        before = self._callers
        active = [key for key in found if key.revoked_at is None]
        # Whoever has not changed keeps what he has open.
        self._callers = {
            key.id: before[key.id]
            if key.id in before and before[key.id].key == key
            else Caller(key)
            for key in active
        }
        for caller in before.values():
            if caller.key is not None and self._callers.get(caller.key.id) is not caller:
                _end(caller)
        if self._mark is not None and not self._required:
            self._required = True
            _end(self._anybody)


def _end(caller: Caller) -> None:
    if caller.stays:
        key = None if caller.key is None else caller.key.id
        log.info("ended open calls, their key is not valid", key=key, calls=len(caller.stays))
    for stay in tuple(caller.stays):
        stay.end()
