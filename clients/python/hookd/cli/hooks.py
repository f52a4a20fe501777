"""The commands ``hookctl hooks``."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from hookd.cli.context import Context, duration, json_value
from hookd.payload import Payload

app = App(name="hooks", help="Look at hooks and their tokens, resume and dispose them.")

Hidden = Annotated[Context, Parameter(parse=False)]

_COLUMNS = ("token", "status", "run_id", "hook_id", "workflow", "payload_count", "created_at")


@app.command(name="list")
async def list_hooks(
    *, context: Hidden, run: str | None = None, prefix: str | None = None, limit: int = 50
) -> None:
    """List the hooks that hold a token, or all hooks of a run.

    Args:
        context: The client and where to print.
        run: All hooks of this run, whatever their status.
        prefix: Only hooks whose token begins so.
        limit: At most so many; 0 for all. Not for the hooks of a run.
    """
    if run is not None:
        found = context.client.get_run(run).hooks()
    else:
        found = context.client.list_hooks(token_prefix=prefix, limit=limit or None)
    context.output.rows(_COLUMNS, [hook async for hook in found])


@app.command
async def get(token: str, /, *, context: Hidden, wait: str = "0") -> None:
    """Show the hook that holds a token.

    Args:
        token: The token.
        context: The client and where to print.
        wait: Wait at most so long for a hook that has it: 30, 500ms, 1h30m.
    """
    hook = await context.client.get_hook_by_token(token, wait=duration(wait, "--wait"))
    context.output.record(await hook.info())


@app.command
async def resume(
    token: str,
    payload: Annotated[str, Parameter(allow_leading_hyphen=True)] = "null",
    /,
    *,
    context: Hidden,
    payload_id: str | None = None,
    content_type: str | None = None,
    wait: str = "0",
) -> None:
    """Deliver a payload to the hook that holds a token.

    Args:
        token: The token.
        payload: The payload, as JSON; "-" reads it from the standard input.
        context: The client and where to print.
        payload_id: The id of this delivery: with the same id it arrives once.
        content_type: Send the payload as it is, as this media type.
        wait: Wait at most so long for a hook that has the token: 30, 500ms, 1h30m.
    """
    data = sys.stdin.buffer.read() if payload == "-" else payload.encode(errors="surrogateescape")
    value = (
        json_value(data.decode(errors="replace"), "PAYLOAD")
        if content_type is None
        else Payload(data, content_type)
    )
    result = await context.client.resume_hook(
        token, value, payload_id=payload_id, wait=duration(wait, "--wait")
    )
    what = "Was delivered before" if result.duplicate else "Delivered"
    context.output.say(
        f"{what}: payload {result.payload_seq} of hook {result.hook_id} of run {result.run_id}",
        result,
    )


@app.command
async def dispose(token: str, /, *, context: Hidden) -> None:
    """Dispose the hook that holds a token; the token is free at once.

    Args:
        token: The token.
        context: The client and where to print.
    """
    hook = await context.client.get_hook_by_token(token)
    disposed = await hook.dispose()
    context.output.say(
        f"Disposed hook {hook.hook_id} of run {hook.run.run_id}",
        {"run_id": hook.run.run_id, "hook_id": hook.hook_id, "disposed": disposed},
    )
