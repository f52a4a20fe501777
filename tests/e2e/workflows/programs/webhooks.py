"""Workflows that are reached by a URL."""

from __future__ import annotations

from typing import Any, Literal

from hookd import (
    HookConflictError,
    WebhookRequest,
    WebhookResponse,
    create_hook,
    create_webhook,
    get_run,
    get_step_metadata,
    resume_hook,
    step,
    verify,
    workflow,
)

from tests.e2e.workflows.programs.marks import mark, wait_for_gate


@workflow
async def show_url(token: str | None = None) -> str:
    """Gives the URL, which is known before the daemon has heard of the hook."""
    url = create_webhook(token).url
    await no_work()
    return url


@step
async def no_work() -> None:
    """Makes a turn of what comes before it."""


@workflow
async def take_requests(token: str, count: int, metadata: Any = None) -> list[dict[str, Any]]:
    """Takes some requests, and gives all that was sent with each."""
    taken = []
    async with create_webhook(token, metadata=metadata) as webhook:
        async for request in webhook:
            taken.append(
                {
                    "method": request.method,
                    "path": request.path,
                    "params": list(request.params.pairs),
                    "kind": request.content_type,
                    "tags": request.headers.all("X-Tag"),
                    "body": request.body.hex(),
                    "from": request.remote_address,
                }
            )
            if len(taken) == count:
                return taken
    raise AssertionError("the webhook was disposed")


@workflow
async def payment_by_url(token: str) -> dict[str, Any]:
    """Takes one request, or hands over to whoever has the token, and gives what that gives."""
    webhook = create_webhook(token, respond_with=WebhookResponse(200, {"x-by": "hookd"}, "noted"))
    try:
        payment = await webhook
    except HookConflictError as conflict:
        owner = conflict.conflicting_run_id
        return {"delegated_to": owner, "result": await delegate(owner, token)}
    return {"payment": payment.json()}


@step
async def delegate(owner: str, token: str) -> Any:
    """Delivers what this run has brought to the owner, and waits for its result."""
    by = get_step_metadata().run_id
    await resume_hook(token, {"delegated": True}, payload_id=by)
    return await get_run(owner).return_value()


@workflow
async def answer_each(
    token: str, count: int, file: str | None = None, gate: str | None = None
) -> list[bool]:
    """Answers each request with what it has brought; before that it may wait in a step."""
    said = []
    async with create_webhook(token, respond_with="manual") as webhook:
        async for request in webhook:
            if file is not None and gate is not None:
                await linger_before_answer(file, gate)
            text = await shout(request)
            said.append(await request.respond(201, {"x-number": str(len(said))}, {"said": text}))
            if len(said) == count:
                break
    return said


@step
async def shout(request: WebhookRequest) -> str:
    """A request goes to a step as a whole."""
    return request.text().upper()


@step
async def linger_before_answer(file: str, gate: str) -> None:
    """Waits until somebody opens the gate."""
    mark(file, "linger")
    await wait_for_gate(gate)


@workflow
async def answer_twice(token: str) -> str:
    """Answers a request twice, and then what no answer is wanted for."""
    request = await create_webhook(token, respond_with="manual")
    request.respond(200, body="once")
    try:
        request.respond(200, body="twice")
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return f"{type(error).__name__}: {error}"
    return "no error"


@workflow
async def answer_at_last(token: str) -> str:
    """Answers when the webhook is disposed already, and ends in the same turn."""
    async with create_webhook(token, respond_with="manual") as webhook:
        request = await webhook
    request.respond(200, body="at last")
    return request.text()


@workflow
async def never_answer(token: str, end: str, how: Literal["manual"] = "manual") -> None:
    """Takes a request, and ends without an answer when it is told to."""
    webhook = create_webhook(token, respond_with=how)
    await webhook
    await create_hook(end)


@workflow
async def take_signed(token: str, secret: str) -> str:
    """Takes what GitHub has signed, and nothing else."""
    request = await create_webhook(token, verify=verify.github(secret))
    return request.headers["x-github-event"]
