"""A request of somebody who looks at the console: who he is, and where he is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hookd_daemon.api import validate
from hookd_daemon.auth.door import Caller, Door
from hookd_daemon.auth.roles import LEAST, Role
from hookd_daemon.console.headers import PRIVATE
from hookd_daemon.console.rendering import render
from hookd_daemon.console.sessions import LONGEST_S, Sessions
from hookd_daemon.console.showing import address
from hookd_daemon.errors import (
    Code,
    HookdError,
    InvalidArgumentError,
    UnauthenticatedError,
)

COOKIE = "hookd_console"
#: A form may have so many bytes: a payload of 4 MiB may take three times as many.
MOST_FORM_BYTES = 12 * 1024 * 1024 + 64 * 1024
#: And as many for whoever has not signed in.
MOST_SIGN_IN_BYTES = 8 * 1024
#: What was done, for the page that a form leads to; nothing else is shown.
DONE = {
    "cancelled": "The run was cancelled, and its tokens are free.",
    "cancelled-before": "The run had been cancelled before.",
    "disposed": "The hook was disposed, and its token is free.",
    "disposed-before": "The hook had given up its token before.",
    "resumed": "The payload was delivered.",
    "resumed-before": "This payload had been delivered before; nothing was added.",
    "signed-out": "You are signed out.",
    "ended": "Your session has ended: sign in again.",
}
STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.FAILED_PRECONDITION: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNAVAILABLE: 503,
}
TITLES = {
    400: "That cannot be asked",
    403: "Not with this key",
    404: "Not found",
    409: "Too late",
    413: "Too large",
    429: "Too much at once",
    503: "Not available",
}


class FormRefusedError(Exception):
    """A form did not come from a page of the console, or is too large."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class Visit:
    """A request, with who made it.

    Attributes:
        request: the request.
        caller: who asks.
        project: the project that he looks at.
        secret: what his browser bears; forms are bound to it.
        form_token: what forms bring back.
        signed_in: he has signed in, and can sign out.
        is_new: his browser bears no secret yet.
        projects: projects to choose from.
    """

    request: Request
    caller: Caller
    project: str
    secret: str
    form_token: str
    signed_in: bool
    is_new: bool
    projects: list[str] = field(default_factory=list)

    def query(self, name: str, usual: str = "") -> str:
        """A parameter of the address."""
        return self.request.query_params.get(name, usual)

    def number(self, name: str) -> int:
        """A parameter that is a number; 0 if it is none."""
        text = self.query(name)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0

    def may(self, method: str) -> bool:
        """Whether his role allows a call of the API, as ``RunService/GetRun``."""
        return self.caller.role.covers(LEAST[f"/hookd.v1.{method}"])

    @property
    def may_look(self) -> bool:
        """Whether he may see runs and hooks."""
        return self.caller.role.covers(Role.SERVICE)

    @property
    def sees_all(self) -> bool:
        """Whether he may see what is about the whole daemon."""
        return self.caller.role.covers(Role.ADMIN) and not self.caller.project

    def link(self, path: str, **query: str | int) -> str:
        """An address of the console in the project that he looks at."""
        project = "" if self.project == validate.DEFAULT_PROJECT else self.project
        return address(path, project=project, **query)


class Reception:
    """Lets people in, and gives them pages.

    Args:
        door: knows the keys.
        sessions: who is signed in.
        secure: browsers reach the console by HTTPS.
        projects: projects that there are.
    """

    def __init__(self, door: Door, sessions: Sessions, *, secure: bool, projects: Any) -> None:
        self.door = door
        self.sessions = sessions
        self._secure = secure
        self._projects = projects

    def enter(self, request: Request) -> Visit:
        """Says who asks.

        Raises:
            UnauthenticatedError: he has to sign in.
            InvalidArgumentError: there can be no such project.
        """
        secret = request.cookies.get(COOKIE, "")
        session = self.sessions.find(secret) if secret else None
        if self.door.required and session is None:
            raise UnauthenticatedError.missing()
        caller = session.caller if session is not None else self.door.bearer_of("")
        try:
            self.door.check(caller, "the console", Role.RESUME_ONLY)
        except UnauthenticatedError:
            self.sessions.end(secret)
            raise
        visit = self.anybody(request)
        visit.caller = caller
        visit.signed_in = session is not None
        named = request.query_params.get("project", "")
        visit.project = validate.project(named or caller.project)
        if caller.project:
            visit.projects = [caller.project]
        elif visit.sees_all:
            visit.projects = self._known_projects(visit.project)
        return visit

    def _known_projects(self, current: str) -> list[str]:
        known = {name for name, _ in self._projects()[:200]}
        return sorted({validate.DEFAULT_PROJECT, current, *known})

    def anybody(self, request: Request) -> Visit:
        """A visit of whoever it is: he may see nothing but the page to sign in."""
        secret = request.cookies.get(COOKIE, "")
        is_new = not 20 <= len(secret) <= 100 or not secret.isascii()
        if is_new:
            secret = self.sessions.new_secret()
        return Visit(
            request,
            Caller(None),
            validate.DEFAULT_PROJECT,
            secret,
            self.sessions.form_token(secret),
            signed_in=False,
            is_new=is_new,
        )

    async def form(self, visit: Visit, most: int = MOST_FORM_BYTES) -> dict[str, str]:
        """Reads the form that was sent, if it came from a page of ours.

        Args:
            visit: who has sent it.
            most: how many bytes it may have.

        Raises:
            FormRefusedError: it did not, or is too large.
        """
        data = bytearray()
        async for part in visit.request.stream():
            data += part
            if len(data) > most:
                raise FormRefusedError(413, f"This form has at most {most} bytes.")
        try:
            fields = parse_qs(
                data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
            )
        except ValueError:
            raise FormRefusedError(400, "This is no form of the console.") from None
        sent = {name: values[0] for name, values in fields.items()}
        if not self.sessions.is_form_token(visit.secret, sent.get("form_token", "")):
            raise FormRefusedError(
                403, "This form is not from your session. Go back, reload the page, try again."
            )
        return sent

    def page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
        """Gives him a page."""
        html = render(
            template,
            visit=visit,
            done=DONE.get(visit.query("done"), ""),
            here=visit.request.url.path,
            **values,
        )
        answer = HTMLResponse(html, status, headers=dict(PRIVATE))
        if visit.is_new:
            self.set_cookie(answer, visit.secret)
        return answer

    def fragment(self, template: str, visit: Visit, **values: Any) -> str:
        """A part of a page."""
        return render(template, visit=visit, **values)

    def set_cookie(self, answer: Response, secret: str) -> None:
        """Has a browser bear a secret."""
        answer.set_cookie(
            COOKIE,
            secret,
            max_age=LONGEST_S,
            path="/",
            httponly=True,
            secure=self._secure,
            samesite="strict",
        )

    def go(self, target: str) -> Response:
        """Leads him to another page of the console."""
        return RedirectResponse(target, 303, headers=dict(PRIVATE))

    def refuse(self, request: Request, error: HookdError) -> Response:
        """Tells him what is wrong, or has him sign in."""
        visit = self.anybody(request)
        if isinstance(error, UnauthenticatedError):
            return self._to_sign_in(request)
        try:
            visit = self.enter(request)
        except InvalidArgumentError:
            pass  # it is what is told
        except UnauthenticatedError:
            return self._to_sign_in(request)
        status = STATUS.get(error.code, 500)
        message = error.message.removesuffix(f". See {error.page()}")
        return self.problem(visit, status, message)

    def problem(self, visit: Visit, status: int, message: str) -> Response:
        """A page that says what is wrong."""
        title = TITLES.get(status, "Something went wrong")
        return self.page(visit, "problem.html", status, title=title, message=message)

    def _to_sign_in(self, request: Request) -> Response:
        url: URL = request.url
        wanted = url.path + (f"?{url.query}" if url.query else "")
        if request.method != "GET":
            wanted = "/"
        done = "ended" if request.cookies.get(COOKIE) else ""
        return self.go(address("/console/sign-in", done=done, next="" if wanted == "/" else wanted))
