"""What waits for workers, and which workers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookd.v1.worker_service_pb2 import QUEUE_KIND_WORKFLOW
from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.console.live import Fragments
from hookd_daemon.console.visit import Visit

if TYPE_CHECKING:
    from hookd_daemon.console.routes import Console


class Queues:
    """Makes the page; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def get(self, request: Request) -> Response:
        """The page."""
        visit = self._console.reception.enter(request)
        return self._console.reception.page(
            visit, "queues.html", title="Queues", fragments=await self.fragments(visit)
        )

    def mark(self) -> object:
        """Another one every other second."""
        return self._console.samples.count // 2

    async def fragments(self, visit: Visit) -> Fragments:
        """The queues."""
        answer = await self._console.asking(visit).queues()
        return {
            "queues": self._console.reception.fragment(
                "parts/queues.html", visit, queues=answer.queues, workflow=QUEUE_KIND_WORKFLOW
            )
        }
