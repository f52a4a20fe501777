"""The conflicts since the daemon's start, the last one first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.api.recent import MOST_CONFLICTS, RecentConflict
from hookd_daemon.console.live import Fragments
from hookd_daemon.console.visit import Visit
from hookd_daemon.core.inspecting import statuses_of

if TYPE_CHECKING:
    from hookd_daemon.console.routes import Console

#: So many stand on the page.
MOST_ROWS = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A conflict in the list.

    Attributes:
        conflict: what happened.
        owner_status: how the owner stands now; how it stood then if it is gone.
        owner_gone: its run is there no more.
        loser_status: how the loser stands now; 0 when there is no such run.
    """

    conflict: RecentConflict
    owner_status: int
    owner_gone: bool
    loser_status: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The list.

    Attributes:
        rows: the last ones.
        matching: how many there are in the project that fit.
        kept: how many are kept of the project.
    """

    rows: list[Row]
    matching: int
    kept: int


async def rows_of(console: Console, visit: Visit, text: str, most: int) -> Rows:
    """The last conflicts of a project whose tokens, or runs, have a text in them."""
    asking = console.asking(visit)
    asking.check("HookService/ListHooks")
    kept = [
        one
        for one in console.backend.conflicts.newest_first()
        if (one.detail.project or "default") == visit.project
    ]
    fitting = [
        one for one in kept if text in one.detail.token or text in (one.loser, one.detail.run_id)
    ]
    shown = fitting[:most]
    named = [run_id for one in shown for run_id in (one.loser, one.detail.run_id)]
    statuses = await asking.look("HookService/ListHooks", statuses_of, named)
    rows = [
        Row(
            one,
            statuses.get(one.detail.run_id, one.detail.run_status),
            one.detail.run_id not in statuses,
            statuses.get(one.loser, 0),
        )
        for one in shown
    ]
    return Rows(rows, len(fitting), len(kept))


class Conflicts:
    """Makes the page; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def get(self, request: Request) -> Response:
        """The page."""
        visit = self._console.reception.enter(request)
        return self._console.reception.page(
            visit,
            "conflicts.html",
            title="Conflicts",
            text=visit.query("q"),
            fragments=await self.fragments(visit),
            since_ms=self._console.backend.booted_ms,
            most=MOST_CONFLICTS,
        )

    def mark(self) -> object:
        """Another one when there is one more, or every few seconds: owners end."""
        return self._console.backend.conflicts.changes, self._console.samples.count // 3

    async def fragments(self, visit: Visit) -> Fragments:
        """The list."""
        text = visit.query("q")
        rows = await rows_of(self._console, visit, text, MOST_ROWS)
        return {
            "conflicts": self._console.reception.fragment(
                "parts/conflicts.html", visit, list=rows, text=text
            )
        }
