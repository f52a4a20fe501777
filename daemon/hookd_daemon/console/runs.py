"""The list of runs: filters, pages, and the search by id."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hookd.v1 import run_service_pb2 as pb
from hookd.v1.common_pb2 import (
    RUN_STATUS_CANCELLED,
    RUN_STATUS_COMPLETED,
    RUN_STATUS_FAILED,
    RUN_STATUS_PENDING,
    RUN_STATUS_RUNNING,
    Run,
    RunStatus,
)
from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.api import messages, validate
from hookd_daemon.console.visit import Visit
from hookd_daemon.core.reading import RunFilter
from hookd_daemon.core.searching import Found, runs_that_begin, runs_with_text

if TYPE_CHECKING:
    from hookd_daemon.console.routes import Console

PAGE = 50
#: The search looks through so many parts of ``IDS_AT_ONCE`` ids, then asks.
LOOKS = 10
#: So many runs whose ids begin so are shown.
MOST_BEGINNING = 20

STATUSES: dict[str, tuple[RunStatus.ValueType, ...]] = {
    "active": (RUN_STATUS_PENDING, RUN_STATUS_RUNNING),
    "pending": (RUN_STATUS_PENDING,),
    "running": (RUN_STATUS_RUNNING,),
    "completed": (RUN_STATUS_COMPLETED,),
    "failed": (RUN_STATUS_FAILED,),
    "cancelled": (RUN_STATUS_CANCELLED,),
}
PERIODS = {
    "15m": ("15 minutes", 900),
    "1h": ("hour", 3600),
    "24h": ("24 hours", 86_400),
    "7d": ("7 days", 604_800),
    "30d": ("30 days", 2_592_000),
}


@dataclass(slots=True)
class Search:
    """What a search by id has found.

    Attributes:
        beginning: runs whose ids begin with the text.
        containing: runs that have it elsewhere, newest first.
        looked: how many ids were looked at on this page.
        next: where to go on; empty at the end.
        back_to_ms: how far back the look went.
    """

    beginning: list[Run] = field(default_factory=list)
    containing: list[Run] = field(default_factory=list)
    looked: int = 0
    next: str = ""
    back_to_ms: int = 0


class Runs:
    """Makes the page; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def get(self, request: Request) -> Response:
        """The page."""
        reception = self._console.reception
        visit = reception.enter(request)
        text = visit.query("q").strip()
        asked = pb.ListRunsRequest(page_size=PAGE, workflow=visit.query("workflow").strip())
        asked.statuses.extend(STATUSES.get(visit.query("status"), ()))
        period = PERIODS.get(visit.query("within"))
        if period is not None:
            asked.created_after.FromSeconds(int(time.time()) - period[1])
        search = None
        if text:
            search = await self._search(visit, text, asked)
            listed, following = search.beginning + search.containing, search.next
        else:
            # A time that moves on would make every page one of another list.
            if visit.query("from"):
                asked.created_after.FromSeconds(visit.number("from"))
            asked.page_token = visit.query("page")
            answer = await self._console.asking(visit).list_runs(asked)
            listed, following = list(answer.runs), answer.next_page_token
        filters = {name: visit.query(name) for name in ("status", "workflow", "within", "q")}
        since = asked.created_after.seconds
        return reception.page(
            visit,
            "runs.html",
            title="Runs",
            filters=filters,
            filtered=any(filters.values()),
            runs=listed,
            search=search,
            next=visit.link("/console/runs", page=following, **filters, **{"from": since or ""})
            if following
            else "",
            first=visit.link("/console/runs", **filters) if visit.query("page") else "",
            statuses=list(STATUSES),
            periods=PERIODS,
        )

    async def _search(self, visit: Visit, text: str, asked: pb.ListRunsRequest) -> Search:
        asking = self._console.asking(visit)
        text = text[: validate.MAX_ID]
        wanted = RunFilter(
            statuses=list(asked.statuses),
            workflow=asked.workflow,
            since_ms=asked.created_after.ToMilliseconds(),
            before_ms=None,
        )
        done = Search()
        position = _position(visit.query("page"))
        if not position:
            first = await asking.look(
                "RunService/ListRuns", runs_that_begin, text, wanted, MOST_BEGINNING
            )
            done.beginning = _messages(first)
        known = {run.run_id for run in done.beginning}
        for _ in range(LOOKS):
            room = PAGE - len(done.containing)
            found = await asking.look(
                "RunService/ListRuns", runs_with_text, text, wanted, position, room
            )
            done.looked += found.looked
            done.back_to_ms = found.back_to_ms or done.back_to_ms
            done.containing += [run for run in _messages(found) if run.run_id not in known]
            position = found.position
            if not position or len(done.containing) >= PAGE:
                break
        done.next = base64.urlsafe_b64encode(position).decode() if position else ""
        return done


def _messages(found: Found) -> list[Run]:
    return [messages.run_message(view, brief=True) for view in found.views]


def _position(page: str) -> bytes:
    try:
        position = base64.urlsafe_b64decode(page.encode())
    except (binascii.Error, UnicodeEncodeError):
        return b""
    return position if len(position) == 16 else b""
