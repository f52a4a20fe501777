"""Puts the console together, and gives its routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from hookd_daemon.api.backend import Backend
from hookd_daemon.console.actions import Actions
from hookd_daemon.console.asking import Asking
from hookd_daemon.console.conflicts import Conflicts
from hookd_daemon.console.hooks import HookPage, Hooks
from hookd_daemon.console.live import Live, LivePage
from hookd_daemon.console.overview import Overview
from hookd_daemon.console.queues import Queues
from hookd_daemon.console.run import RunPage
from hookd_daemon.console.runs import Runs
from hookd_daemon.console.samples import Samples
from hookd_daemon.console.sessions import Sessions
from hookd_daemon.console.sign_in import SignIn
from hookd_daemon.console.static import Files
from hookd_daemon.console.visit import FormRefusedError, Reception, Visit
from hookd_daemon.errors import HookdError
from hookd_daemon.http.calls import Calls
from hookd_daemon.http.guard import Guard
from hookd_daemon.store.tx import Topic

Page = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages are made with.

    Attributes:
        backend: the store, the time, the conflicts.
        calls: answers calls of the API.
        reception: lets people in.
        samples: what the charts show.
        workers: how many workers are connected.
        guard: refuses what pages of other sites send.
    """

    backend: Backend
    calls: Calls
    reception: Reception
    samples: Samples
    workers: Callable[[], int]
    guard: Guard

    def asking(self, visit: Visit) -> Asking:
        """Asks in the name of a visitor."""
        return Asking(self.calls, self.backend, visit)


def build_console(
    backend: Backend,
    calls: Calls,
    guard: Guard,
    samples: Samples,
    *,
    secure: bool,
    projects: Callable[[], list[tuple[str, int]]],
    workers: Callable[[], int],
) -> Console:
    """Makes the console.

    Args:
        backend: the store, the time, the conflicts.
        calls: answers calls of the API.
        guard: refuses what pages of other sites send.
        samples: what the charts show.
        secure: browsers reach it by HTTPS.
        projects: the projects that have tokens taken.
        workers: how many workers are connected.
    """
    reception = Reception(calls.door, Sessions(), secure=secure, projects=projects)
    return Console(backend, calls, reception, samples, workers, guard)


def console_routes(console: Console) -> list[BaseRoute]:
    """The routes of the console."""
    overview, conflicts, queues = Overview(console), Conflicts(console), Queues(console)
    runs, run = Runs(console), RunPage(console)
    hooks, hook = Hooks(console), HookPage(console)
    actions, sign_in = Actions(console), SignIn(console)

    async def no_topics(_: Visit) -> Sequence[Topic]:
        return ()

    def no_mark() -> object:
        return None

    live = Live(
        console.reception,
        console.guard,
        console.calls.gate,
        console.backend,
        {
            "overview": LivePage(overview.fragments, overview.mark, no_topics),
            "conflicts": LivePage(conflicts.fragments, conflicts.mark, no_topics),
            "queues": LivePage(queues.fragments, queues.mark, no_topics),
            "run": LivePage(run.fragments, no_mark, run.topics),
            "hook": LivePage(hook.fragments, no_mark, hook.topics),
        },
    )

    def page(path: str, get: Page, post: Page | None = None) -> Route:
        methods = ["GET"] if post is None else ["GET", "POST"]

        async def answer(request: Request) -> Response:
            try:
                console.guard.check(request.method, request.headers)
                if post is not None and request.method == "POST":
                    return await post(request)
                return await get(request)
            except HookdError as error:
                return console.reception.refuse(request, error)
            except FormRefusedError as error:
                visit = console.reception.anybody(request)
                return console.reception.problem(visit, error.status, error.message)

        return Route(path, answer, methods=methods)

    async def front_door(_request: Request) -> Response:
        # What people try who do not know that it is at the root.
        return console.reception.go("/")

    return [
        page("/", overview.get),
        page("/console", front_door),
        page("/console/", front_door),
        page("/console/conflicts", conflicts.get),
        page("/console/runs", runs.get),
        page("/console/run", run.get),
        page("/console/hooks", hooks.get),
        page("/console/hook", hook.get),
        page("/console/queues", queues.get),
        page("/console/cancel", actions.cancel, actions.cancel),
        page("/console/dispose", actions.dispose, actions.dispose),
        page("/console/resume", actions.resume, actions.resume),
        page("/console/sign-in", sign_in.get, sign_in.post),
        page("/console/sign-out", sign_in.get, sign_in.out),
        Route("/console/live/{page}", _Application(live.serve), methods=["GET"]),
        Route("/console/static/{name}", Files().get),
    ]


class _Application:
    """An ASGI application; Starlette takes a function for one that gets a request."""

    def __init__(self, serve: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(scope, receive, send)
