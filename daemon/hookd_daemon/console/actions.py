"""What people can do: each action is asked for on a page, and done by its form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hookd.v1.common_pb2 import HOOK_STATUS_ACTIVE, Hook, Payload
from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.api.backend import random_text
from hookd_daemon.console.visit import Visit
from hookd_daemon.errors import Code, HookdError, PermissionDeniedError
from hookd_daemon.logs import get_logger, token_field

if TYPE_CHECKING:
    from hookd_daemon.console.routes import Console

log = get_logger(__name__)

JSON, TEXT = "application/json", "text/plain; charset=utf-8"


def note(visit: Visit, action: str, run_id: str, token: str = "", **facts: object) -> None:
    """Logs what somebody has done, or was refused."""
    key = visit.caller.key
    log.info(
        "console action",
        action=action,
        project=visit.project,
        run_id=run_id,
        key=None if key is None else key.id,
        **(token_field(visit.project, token) if token else {}),
        **facts,
    )


class Actions:
    """Asks, and acts; see ``Console`` for what it is made with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def _allow(self, visit: Visit, method: str) -> None:
        if not visit.may(method):
            raise PermissionDeniedError.of_role(method.replace(".", "/"), visit.caller.role)

    async def cancel(self, request: Request) -> Response:
        """Cancels a run."""
        reception = self._console.reception
        visit = reception.enter(request)
        self._allow(visit, "RunService/CancelRun")
        asking, run_id = self._console.asking(visit), visit.query("run")
        back = visit.link("/console/run", run=run_id)
        if request.method != "POST":
            run = (await asking.run(run_id)).run
            hooks = (await asking.list_hooks(run_id=run_id, limit=50)).hooks
            return reception.page(
                visit,
                "cancel.html",
                title="Cancel a run",
                run=run,
                tokens=[hook for hook in hooks if hook.status == HOOK_STATUS_ACTIVE],
                back=back,
            )
        form = await reception.form(visit)
        try:
            answer = await asking.cancel(run_id, form.get("reason", "").strip())
        except HookdError as error:
            note(visit, "cancel run", run_id, refused=error.reason)
            raise
        note(visit, "cancel run", run_id, already=answer.already_cancelled)
        return reception.go(f"{back}&done=cancelled{'-before' * answer.already_cancelled}")

    async def dispose(self, request: Request) -> Response:
        """Gives up a hook."""
        reception = self._console.reception
        visit = reception.enter(request)
        self._allow(visit, "HookService/DisposeHook")
        run_id, hook_id = visit.query("run"), visit.query("hook")
        asking = self._console.asking(visit)
        back = visit.link("/console/hook", run=run_id, hook=hook_id)
        hook = (await asking.hook(run_id, hook_id)).hook
        if request.method != "POST":
            return reception.page(
                visit, "dispose.html", title="Dispose a hook", hook=hook, back=back
            )
        await reception.form(visit)
        try:
            answer = await asking.dispose(run_id, hook_id)
        except HookdError as error:
            note(visit, "dispose hook", run_id, hook.token, refused=error.reason)
            raise
        note(visit, "dispose hook", run_id, hook.token, already=answer.already_disposed)
        return reception.go(f"{back}&done=disposed{'-before' * answer.already_disposed}")

    async def resume(self, request: Request) -> Response:
        """Delivers a payload: to a hook that was chosen, or to a token that is typed in."""
        reception = self._console.reception
        visit = reception.enter(request)
        self._allow(visit, "HookService/ResumeHook")
        hook = await self._chosen(visit)
        if request.method != "POST":
            return self._ask_for_payload(visit, hook)
        form = await reception.form(visit)
        token = form.get("token", "") if hook is None else hook.token
        # Browsers end the lines of a form as they are ended in letters.
        text = form.get("payload", "").replace("\r\n", "\n")
        kind = form.get("content_type") or JSON
        wrong = _what_is_wrong(token, text, kind)
        if wrong:
            return self._ask_for_payload(visit, hook, form, wrong)
        payload = Payload(content_type=kind, data=text.encode())
        run_id = "" if hook is None else hook.run_id
        try:
            answer = await self._console.asking(visit).resume(
                token, form.get("payload_id", ""), payload
            )
        except HookdError as error:
            note(visit, "resume hook", run_id, token, refused=error.reason)
            if error.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND):
                message = error.message.removesuffix(f". See {error.page()}")
                return self._ask_for_payload(visit, hook, form, message)
            raise
        note(
            visit,
            "resume hook",
            answer.run_id,
            token,
            payload_seq=answer.payload_seq,
            duplicate=answer.duplicate,
        )
        done = "resumed-before" if answer.duplicate else "resumed"
        if not visit.may_look:
            return reception.go(visit.link("/console/resume", done=done))
        back = visit.link("/console/hook", run=answer.run_id, hook=answer.hook_id)
        return reception.go(f"{back}&done={done}")

    async def _chosen(self, visit: Visit) -> Hook | None:
        run_id, hook_id = visit.query("run"), visit.query("hook")
        if not (run_id and hook_id):
            return None
        return (await self._console.asking(visit).hook(run_id, hook_id)).hook

    def _ask_for_payload(
        self,
        visit: Visit,
        hook: Hook | None,
        form: dict[str, str] | None = None,
        wrong: str = "",
    ) -> Response:
        form = form or {}
        back = visit.link("/console/hooks") if visit.may_look else ""
        if hook is not None:
            back = visit.link("/console/hook", run=hook.run_id, hook=hook.hook_id)
        return self._console.reception.page(
            visit,
            "resume.html",
            400 if wrong else 200,
            title="Resume a hook",
            hook=hook,
            token=form.get("token", ""),
            payload=form.get("payload", ""),
            content_type=form.get("content_type", JSON),
            # The same form twice is the same delivery twice.
            payload_id=form.get("payload_id") or f"console-{random_text()}",
            kinds=(JSON, TEXT),
            wrong=wrong,
            back=back,
        )


def _what_is_wrong(token: str, text: str, kind: str) -> str:
    if not token:
        return "Which token? Type it in."
    if kind == JSON:
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            return f"The payload is no JSON: {error}. Text needs the content type text/plain."
    return ""
