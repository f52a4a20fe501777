"""The overview: how the daemon stands, and how the project does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hookd.v1 import run_service_pb2 as runs
from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.console.charts import draw
from hookd_daemon.console.conflicts import rows_of
from hookd_daemon.console.live import Fragments
from hookd_daemon.console.visit import Visit
from hookd_daemon.core.inspecting import numbers_of

if TYPE_CHECKING:
    from hookd_daemon.console.routes import Console

_LATEST = 6


class Overview:
    """Makes the overview; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def get(self, request: Request) -> Response:
        """The page."""
        console = self._console
        visit = console.reception.enter(request)
        if not visit.may_look:
            return console.reception.go(visit.link("/console/resume"))
        return console.reception.page(
            visit, "overview.html", fragments=await self.fragments(visit), title="Overview"
        )

    def mark(self) -> object:
        """Another one each second."""
        return self._console.samples.count

    async def fragments(self, visit: Visit) -> Fragments:
        """The charts, the numbers of the project, and what happened last."""
        console, part = self._console, self._console.reception.fragment
        asking = console.asking(visit)
        numbers = await asking.look("RunService/ListRuns", numbers_of)
        latest = await asking.list_runs(runs.ListRunsRequest(page_size=_LATEST))
        conflicts = await rows_of(console, visit, "", _LATEST)
        made = {
            "numbers": part("parts/numbers.html", visit, numbers=numbers),
            "latest-runs": part("parts/latest_runs.html", visit, runs=latest.runs),
            "latest-conflicts": part("parts/latest_conflicts.html", visit, rows=conflicts.rows),
        }
        if visit.sees_all:
            made["charts"] = part(
                "parts/charts.html", visit, charts=[draw(s) for s in console.samples.series()]
            )
            made["daemon"] = part(
                "parts/daemon.html",
                visit,
                booted_ms=console.backend.booted_ms,
                up=time.time() - console.backend.booted_ms / 1000,
                metrics=console.backend.metrics,
                workers=console.workers(),
            )
        return made
