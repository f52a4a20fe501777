"""A run: its facts, its log, and all that belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hookd.v1.events_pb2 import Event
from hookd.v1.stream_service_pb2 import Stream, StreamChunk
from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.console.live import Fragments
from hookd_daemon.console.visit import Visit
from hookd_daemon.core import topics
from hookd_daemon.core.inspecting import StepView, list_children, list_steps, topics_of
from hookd_daemon.store.tx import Topic

if TYPE_CHECKING:
    from hookd_daemon.console.routes import Console

EVENTS = 50
HOOKS = 50
STEPS = 100
CHILDREN = 50
#: So many streams are shown with so many of their last chunks.
STREAMS = 5
CHUNKS = 20

STEP_STATES = {0: "waiting", 1: "retrying", 2: "ended", 3: "cancelled"}
_OUTCOMES = {"step_completed": "completed", "step_failed": "failed", "step_retrying": "ended"}


def state_of(step: StepView) -> str:
    """How a step stands, as people say it."""
    state = STEP_STATES[step.record.state]
    if state == "ended" and step.tries:
        return _OUTCOMES[step.tries[-1].WhichOneof("data") or ""]
    if state == "waiting" and step.record.leased_ms:
        return "running"
    return state


class RunPage:
    """Makes the page; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def get(self, request: Request) -> Response:
        """The page."""
        visit = self._console.reception.enter(request)
        return self._console.reception.page(
            visit,
            "run.html",
            title=f"Run {visit.query('run')}",
            run_id=visit.query("run"),
            fragments=await self.fragments(visit),
        )

    async def topics(self, visit: Visit) -> Sequence[Topic]:
        """What tells of news of the run."""
        uid, namespaces = await self._console.asking(visit).look(
            "RunService/GetRun", topics_of, visit.query("run")
        )
        return [
            topics.run_log(uid),
            topics.run_ended(uid),
            *(topics.stream(uid, namespace) for namespace in namespaces),
        ]

    async def fragments(self, visit: Visit) -> Fragments:
        """All of the page."""
        asking, part = self._console.asking(visit), self._console.reception.fragment
        run_id = visit.query("run")
        answer = await asking.run(run_id, waits=True)
        run = answer.run
        hooks = await asking.list_hooks(run_id=run_id, limit=HOOKS, page=visit.query("hooks"))
        steps = await asking.look("RunService/GetRun", list_steps, run_id, STEPS)
        children = await asking.look("RunService/GetRun", list_children, run_id, CHILDREN)
        return {
            "facts": part("parts/run_facts.html", visit, run=run, waits=answer.waits),
            "timeline": await self._timeline(visit, run_id, run.last_seq),
            "hooks": part(
                "parts/run_hooks.html",
                visit,
                run=run,
                hooks=hooks.hooks,
                more=visit.link("/console/run", run=run_id, hooks=hooks.next_page_token)
                if hooks.next_page_token
                else "",
            ),
            "steps": part(
                "parts/steps.html",
                visit,
                steps=[(step, state_of(step)) for step in steps],
                more=len(steps) == STEPS,
            ),
            "streams": part(
                "parts/streams.html", visit, streams=await self._streams(visit, run_id)
            ),
            "children": part("parts/children.html", visit, run=run, children=children),
            "values": part("parts/run_values.html", visit, run=run),
        }

    async def _timeline(self, visit: Visit, run_id: str, last_seq: int) -> str:
        """A page of the log, its newest or its oldest event first."""
        oldest_first = visit.query("order") == "oldest"
        following: dict[str, str | int] | None
        asking = self._console.asking(visit)
        if oldest_first:
            after = visit.number("after")
            events = list((await asking.events(run_id, after, EVENTS)).events)
            end = events[-1].seq if events else after
            following = {"order": "oldest", "after": end} if end < last_seq else None
            is_first = after == 0
        else:
            before = visit.number("before") or last_seq + 1
            after = max(before - 1 - EVENTS, 0)
            events = await self._between(visit, run_id, after, before)
            following = {"before": after + 1} if after else None
            is_first = before > last_seq
        return self._console.reception.fragment(
            "parts/timeline.html",
            visit,
            run_id=run_id,
            events=[(event, event.WhichOneof("data") or "unknown") for event in events],
            last_seq=last_seq,
            oldest_first=oldest_first,
            is_first=is_first,
            next=visit.link("/console/run", run=run_id, **following) if following else "",
        )

    async def _between(self, visit: Visit, run_id: str, after: int, before: int) -> list[Event]:
        """The events between two positions, newest first; large ones come in several answers."""
        asking, events = self._console.asking(visit), list[Event]()
        while after + 1 < before:
            got = (await asking.events(run_id, after, before - 1 - after)).events
            if not got:
                break
            events += got
            after = got[-1].seq
        return events[::-1]

    async def _streams(
        self, visit: Visit, run_id: str
    ) -> list[tuple[Stream, list[StreamChunk] | None]]:
        asking = self._console.asking(visit)
        streams = (await asking.list_streams(run_id)).streams
        return [
            (
                stream,
                await asking.last_chunks(run_id, stream.namespace, CHUNKS)
                if place < STREAMS
                else None,
            )
            for place, stream in enumerate(streams)
        ]
