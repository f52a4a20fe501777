"""Hooks: the tokens that are taken, and each hook by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hookd.v1.common_pb2 import Hook
from hookd.v1.events_pb2 import Event
from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.api import validate
from hookd_daemon.console.live import Fragments
from hookd_daemon.console.visit import Visit
from hookd_daemon.core import topics
from hookd_daemon.core.delivery import read_payloads
from hookd_daemon.core.inspecting import count_unseen, topics_of
from hookd_daemon.errors import HookNotFoundError, InvalidArgumentError
from hookd_daemon.store.tx import Topic

if TYPE_CHECKING:
    from hookd_daemon.console.routes import Console

PAGE = 50
PAYLOADS = 20


class Hooks:
    """Makes the list; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def get(self, request: Request) -> Response:
        """The page."""
        reception = self._console.reception
        visit = reception.enter(request)
        asking = self._console.asking(visit)
        text, page = visit.query("q"), visit.query("page")
        answer = await asking.list_hooks(prefix=text, limit=PAGE, page=page)
        exact: Hook | None = None
        if text and not page:
            with contextlib.suppress(HookNotFoundError, InvalidArgumentError):
                exact = (await asking.hook_with(text)).hook
        others = [hook for hook in answer.hooks if exact is None or hook.token != exact.token]
        shown = [exact, *others] if exact is not None else others
        unseen = {
            (hook.run_id, hook.hook_id): await asking.look(
                "HookService/GetHook", count_unseen, hook.run_id, hook.hook_id
            )
            for hook in shown
            if hook.payload_count
        }
        return reception.page(
            visit,
            "hooks.html",
            title="Hooks",
            text=text,
            exact=exact,
            hooks=others,
            unseen=unseen,
            next=visit.link("/console/hooks", q=text, page=answer.next_page_token)
            if answer.next_page_token
            else "",
            first=visit.link("/console/hooks", q=text) if page else "",
        )


class HookPage:
    """Makes the page of a hook; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def get(self, request: Request) -> Response:
        """The page."""
        visit = self._console.reception.enter(request)
        return self._console.reception.page(
            visit,
            "hook.html",
            title=f"Hook {visit.query('hook')}",
            run_id=visit.query("run"),
            hook_id=visit.query("hook"),
            fragments=await self.fragments(visit),
        )

    async def topics(self, visit: Visit) -> Sequence[Topic]:
        """What tells of news of the hook."""
        uid, _ = await self._console.asking(visit).look(
            "RunService/GetRun", topics_of, visit.query("run")
        )
        return [topics.hook(uid, visit.query("hook")), topics.run_log(uid), topics.run_ended(uid)]

    async def fragments(self, visit: Visit) -> Fragments:
        """The facts, and a page of payloads, newest first."""
        asking, part = self._console.asking(visit), self._console.reception.fragment
        run_id, hook_id = visit.query("run"), visit.query("hook")
        validate.identifier("hook", hook_id)
        hook = (await asking.hook(run_id, hook_id)).hook
        before = visit.number("before") or hook.payload_count + 1
        after = max(before - 1 - PAYLOADS, 0)
        events: list[Event] = []
        if before - 1 > after:
            _, events = await asking.look(
                "HookService/GetHook", read_payloads, run_id, hook_id, after, before - 1 - after
            )
        unseen = None
        if hook.payload_count:
            unseen = await asking.look("HookService/GetHook", count_unseen, run_id, hook_id)
        return {
            "facts": part("parts/hook_facts.html", visit, hook=hook, unseen=unseen),
            "payloads": part(
                "parts/payloads.html",
                visit,
                hook=hook,
                payloads=events[::-1],
                unseen_after=hook.payload_count - (unseen or 0),
                next=visit.link("/console/hook", run=run_id, hook=hook_id, before=after + 1)
                if after
                else "",
                first=visit.link("/console/hook", run=run_id, hook=hook_id)
                if visit.number("before")
                else "",
            ),
        }
