"""Who is at what, and what of it nobody needs any more."""

from __future__ import annotations

from hookd_daemon.core import topics
from hookd_daemon.core.queues import STEP, WORKFLOW
from hookd_daemon.dispatch.work import State, Work
from hookd_daemon.store.tx import Subscription, Topic


class Holding:
    """The work that is leased; listens for the ends of steps and of their runs.

    Args:
        news: listens.

    Attributes:
        leased: the work that is leased.
        counts: how much of it there is, by kind.
    """

    def __init__(self, news: Subscription) -> None:
        self.leased: set[Work] = set()
        self.counts = {WORKFLOW: 0, STEP: 0}
        self._news = news
        self._needed: dict[Topic, set[Work]] = {}

    def begin(self, work: Work) -> None:
        """Work is leased from now on."""
        work.state = State.LEASED
        self.leased.add(work)
        self.counts[work.entry.kind] += 1
        if work.entry.kind == STEP:
            self.listen(work)

    def end(self, work: Work) -> None:
        """Work is with nobody any more; it may not have been leased."""
        if work in self.leased:
            self.leased.remove(work)
            self.counts[work.entry.kind] -= 1
        for topic in _topics(work):
            works = self._needed.get(topic)
            if works is not None:
                works.discard(work)
                if not works:
                    del self._needed[topic]
                    self._news.ignore(topic)

    def listen(self, work: Work) -> None:
        """Wants to know when a step is not needed any more."""
        for topic in _topics(work):
            works = self._needed.get(topic)
            if works is None:
                works = self._needed[topic] = set()
                self._news.listen(topic)
            works.add(work)

    def not_needed(self, topic: Topic) -> list[Work]:
        """The work that nobody needs since this topic was named."""
        return list(self._needed.get(topic, ()))


def _topics(work: Work) -> tuple[Topic, Topic]:
    entry = work.entry
    return topics.run_ended(entry.run_uid), topics.step_dropped(entry.run_uid, entry.step_id)
