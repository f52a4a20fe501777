"""Which versions of a workflow's code are connected, and which were a moment ago."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hookd_daemon.dispatch.work import QueueKey
from hookd_daemon.logs import get_logger

log = get_logger(__name__)

#: A run waits so long for the version that has begun it after the last worker
#: with it is gone, or after the daemon's start: it may come again.
KEPT_S = 10.0
#: Versions that are gone are cleared away when there are so many.
MANY = 1_000


class Versions:
    """Counts the workers with each version of a workflow.

    Args:
        time: the time, in seconds.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._began = time()
        self._here: dict[QueueKey, Counter[str]] = {}
        self._gone: dict[tuple[QueueKey, str], float] = {}

    def came(self, queue: QueueKey, version: str) -> None:
        """A worker with a version is there."""
        here = self._here.setdefault(queue, Counter())
        here[version] += 1
        if here[version] == 1 and len(here) > 1:
            log.warning(
                "workers with different versions of a workflow are connected",
                project=queue[0],
                workflow=queue[2],
                versions=sorted(here),
            )

    def went(self, queue: QueueKey, version: str) -> None:
        """A worker with a version is gone."""
        here = self._here[queue]
        here[version] -= 1
        if here[version]:
            return
        del here[version]
        if not here:
            del self._here[queue]
        now = self._time()
        if len(self._gone) >= MANY:
            self._gone = {k: since for k, since in self._gone.items() if since + KEPT_S > now}
        self._gone[queue, version] = now

    def kept_for(self, queue: QueueKey, version: str) -> float | None:
        """For whom the runs are that a version has begun.

        Returns:
            None when they are for all; 0 when they are for the workers with
            that version; else nobody gets them for so many seconds.
        """
        if not version:
            return None
        if version in self._here.get(queue, ()):
            return 0
        since = self._gone.get((queue, version), self._began)
        left = max(since, self._began) + KEPT_S - self._time()
        return left if left > 0 else None
