"""Something whose time has come stands in the way of a call."""

from __future__ import annotations

from hookd_daemon.records.v1.records_pb2 import TimerRecord


class OverdueError(Exception):
    """The call must be tried again after this timer has fired.

    A lease, a ttl and a hold end on the millisecond, also when the sweep of the
    timers is late. Ending them is a commit of its own, so that it stays when
    the call itself is refused.

    Attributes:
        timer: what has to be done first.
    """

    def __init__(self, timer: TimerRecord) -> None:
        super().__init__("a timer is overdue")
        self.timer = timer
