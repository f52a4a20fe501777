"""Signing in with an API key, and out."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.auth.roles import Role
from hookd_daemon.console.showing import address
from hookd_daemon.console.visit import MOST_SIGN_IN_BYTES, FormRefusedError
from hookd_daemon.errors import HookdError
from hookd_daemon.logs import get_logger

if TYPE_CHECKING:
    from hookd_daemon.console.routes import Console

log = get_logger(__name__)

#: Who is refused waits so many seconds for it, from the first to the second.
LEAST_HOLD_S, MOST_HOLD_S = 0.5, 1.0
#: So many may wait for it at one time; more are refused without a look.
MOST_ATTEMPTS = 8


class SignIn:
    """Begins sessions, and ends them; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._refusing = 0

    async def get(self, request: Request) -> Response:
        """The page to sign in."""
        return self._page(request)

    def _page(self, request: Request, status: int = 200, wrong: str = "") -> Response:
        reception = self._console.reception
        if not reception.door.required:
            return reception.go("/")
        visit = reception.anybody(request)
        return reception.page(
            visit,
            "sign_in.html",
            status,
            title="Sign in",
            wrong=wrong,
            next=_within_console(visit.query("next")),
        )

    async def post(self, request: Request) -> Response:
        """Signs in."""
        reception = self._console.reception
        visit = reception.anybody(request)
        form = await reception.form(visit, MOST_SIGN_IN_BYTES)
        remote = request.client.host if request.client else ""
        if self._refusing >= MOST_ATTEMPTS:
            log.warning("console sign-in refused", why="too many at once", remote=remote)
            return self._page(request, 429, "Too many people sign in. Try again in a moment.")
        try:
            caller = reception.door.bearer_of(form.get("key", "").strip())
            reception.door.check(caller, "the console", Role.RESUME_ONLY)
        except HookdError:
            log.warning("console sign-in refused", why="the key is not valid", remote=remote)
            self._refusing += 1
            try:
                await asyncio.sleep(random.uniform(LEAST_HOLD_S, MOST_HOLD_S))  # noqa: S311
            finally:
                self._refusing -= 1
            return self._page(request, 403, "This key is not valid.")
        secret = reception.sessions.begin(caller)
        key = None if caller.key is None else caller.key.id
        log.info("console sign-in", key=key, remote=remote)
        answer = reception.go(_within_console(form.get("next", "")) or "/")
        reception.set_cookie(answer, secret)
        return answer

    async def out(self, request: Request) -> Response:
        """Signs out."""
        reception = self._console.reception
        visit = reception.anybody(request)
        try:
            await reception.form(visit, MOST_SIGN_IN_BYTES)
        except FormRefusedError:
            # The session has ended already, with it what the form was bound to.
            return reception.go("/")
        session = reception.sessions.find(visit.secret)
        if session is not None and session.caller.key is not None:
            log.info("console sign-out", key=session.caller.key.id)
        reception.sessions.end(visit.secret)
        answer = reception.go(address("/console/sign-in", done="signed-out"))
        reception.set_cookie(answer, reception.sessions.new_secret())
        return answer


def _within_console(target: str) -> str:
    """An address if it is one of the console's own; else nothing."""
    inside = target == "/" or target.startswith(("/?", "/console/"))
    return target if inside and target.isprintable() and "\\" not in target else ""
