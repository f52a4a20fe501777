"""What a handler knows of the call it answers, whatever the server is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager

from hookd_daemon.api.sharing import Place


class CallContext(ABC):
    """One call."""

    __slots__ = ()

    @property
    @abstractmethod
    def metadata(self) -> Mapping[str, str]:
        """What the caller sent beside the request; keys in lower case, text values only."""

    @property
    def project(self) -> str:
        """The only project that the caller may name; empty for any."""
        return ""

    @abstractmethod
    def time_remaining(self) -> float | None:
        """Seconds until the caller gives up; None when it has set no deadline."""

    @abstractmethod
    def long_wait(self) -> AbstractContextManager[None]:
        """Says that the call is going to wait for something to happen.

        Such calls count among the streams, and not among the calls in flight.

        Raises:
            LimitExceededError: there are too many streams and waits.
        """

    def accepted(self) -> None:  # noqa: B027 - most have no use for it
        """Is told that a stream is going to be answered, though maybe nothing comes for long."""

    def has_place(self, place: Place) -> None:  # noqa: B027 - most have no use for it
        """Is told of its place among the calls of its project, which it leaves while it waits."""
