"""The commands ``hookctl runs``."""

import dataclasses
from typing import Annotated, Literal

from cyclopts import App, Parameter

from hookd.cli.context import Context, duration, json_value
from hookd.cli.output import Lines, failure_lines, for_people, shown, without_tokens
from hookd.cli.waits import sentence, without_token
from hookd.errors import InvalidArgumentError
from hookd.requests import UNSET
from hookd.workflows.replay import export_log

app = App(name="runs", help="Look at runs, start and end them.")

Hidden = Annotated[Context, Parameter(parse=False)]
ShowTokens = Annotated[bool, Parameter(name="--show-tokens", negative="")]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]

_COLUMNS = ("run_id", "workflow", "status", "created_at", "ended_at", "last_seq")


@app.command(name="list")
async def list_runs(
    *,
    context: Hidden,
    status: Annotated[list[Status] | None, Parameter(negative="")] = None,
    workflow: str | None = None,
    limit: int = 50,
) -> None:
    """List runs, newest first.

    Args:
        context: The client and where to print.
        status: Only runs that stand so. May be given several times.
        workflow: Only runs of this workflow.
        limit: At most so many; 0 for all.
    """
    found = context.client.list_runs(status=status or (), workflow=workflow, limit=limit or None)
    context.output.rows(_COLUMNS, [run async for run in found])


@app.command
async def get(run_id: str, /, *, context: Hidden, show_tokens: ShowTokens = False) -> None:
    """Show a run and, while it is active, what it waits for.

    Args:
        run_id: The run.
        context: The client and where to print.
        show_tokens: Show tokens instead of their hashes.
    """
    run = context.client.get_run(run_id)
    info = await run.info()
    waits = [] if info.status.ended else await run.waits()
    if not show_tokens:
        waits = [without_token(wait, context.client.project) for wait in waits]
    facts = {field.name: getattr(info, field.name) for field in dataclasses.fields(info)}
    if context.output.json:
        facts["waits"] = waits
    else:
        facts["waits_for"] = Lines(sentence(wait) for wait in waits)
        if info.failure is not None:
            facts["failure"] = failure_lines(info.failure)
    context.output.record(facts)


@app.command
async def events(
    run_id: str, /, *, context: Hidden, after: int = 0, show_tokens: ShowTokens = False
) -> None:
    """Show the log of a run.

    Args:
        run_id: The run.
        context: The client and where to print.
        after: Begin after the event with this number.
        show_tokens: Show tokens instead of their hashes.
    """
    log = context.client.get_run(run_id).events(after)
    found = [
        event if show_tokens else without_tokens(event, context.client.project)
        async for event in log
    ]
    if not context.output.json:
        found = [for_people(event) for event in found]
    context.output.rows(("seq", "time", "type", "correlation_id", "data"), found)


@app.command
async def export(run_id: str, /, *, context: Hidden) -> None:
    """Print the log of a run with all its secrets, as a test replays it.

    Args:
        run_id: The run.
        context: The client and where to print.
    """
    context.output.text(await export_log(context.client.get_run(run_id)))


@app.command
async def watch(
    run_id: str, /, *, context: Hidden, after: int = 0, show_tokens: ShowTokens = False
) -> None:
    """Follow the log of a run until it ends. With --json, one event on each line.

    Args:
        run_id: The run.
        context: The client and where to print.
        after: Begin after the event with this number.
        show_tokens: Show tokens instead of their hashes.
    """
    run = context.client.get_run(run_id)
    # A watch waits for the daemon for ever; say first if nobody is there.
    await run.status()
    async for event in run.watch(after):
        context.output.event(
            event if show_tokens else without_tokens(event, context.client.project)
        )


@app.command
async def wait(run_id: str, /, *, context: Hidden, within: str | None = None) -> None:
    """Wait until a run has ended, and print its output. One that has none prints null.

    A run that failed or was cancelled is an error, with exit code 1.

    Args:
        run_id: The run.
        context: The client and where to print.
        within: Wait at most so long: 30, 500ms, 1h30m.
    """
    limit = None if within is None else duration(within, "--within")
    run = context.client.get_run(run_id)
    # As above: the wait survives a daemon that is gone.
    await run.status()
    output = await run.return_value(limit)
    context.output.say(
        "null" if output is None else shown(output),
        {"run_id": run_id, "status": "completed", "output": output},
    )


@app.command
async def cancel(run_id: str, /, *, context: Hidden, reason: str = "") -> None:
    """Cancel a run; its tokens are free at once.

    Args:
        run_id: The run.
        context: The client and where to print.
        reason: Why, for people.
    """
    await context.client.get_run(run_id).cancel(reason)
    context.output.say(f"Cancelled {run_id}", {"run_id": run_id, "status": "cancelled"})


@app.command
async def complete(run_id: str, /, *, context: Hidden, output: str = "null") -> None:
    """Complete a run that is driven from outside; its tokens are free at once.

    Args:
        run_id: The run.
        context: The client and where to print.
        output: The output, as JSON.
    """
    await context.client.get_run(run_id).complete(json_value(output, "--output"))
    context.output.say(f"Completed {run_id}", {"run_id": run_id, "status": "completed"})


@app.command
async def fail(run_id: str, /, *, context: Hidden, message: str = "", type: str = "Error") -> None:
    """Fail a run that is driven from outside; its tokens are free at once.

    Args:
        run_id: The run.
        context: The client and where to print.
        message: What happened, for people.
        type: The kind of error, for programs.
    """
    await context.client.get_run(run_id).fail(message, type=type)
    context.output.say(f"Failed {run_id}", {"run_id": run_id, "status": "failed"})


@app.command
async def start(
    workflow: str,
    /,
    *,
    context: Hidden,
    input: str | None = None,
    run_id: str | None = None,
    attribute: Annotated[list[str] | None, Parameter(negative="")] = None,
    external: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Start a run and print its id.

    Args:
        workflow: The name of the workflow.
        context: The client and where to print.
        input: The input, as JSON.
        run_id: The run's id; starting it again with the same content is no error.
        attribute: A name and a value, as name=value. May be given several times.
        external: No worker is offered the run: somebody drives it from outside.
    """
    pairs = [text.partition("=") for text in attribute or ()]
    if not all(equals for _, equals, _ in pairs):
        raise InvalidArgumentError.of("--attribute", "must be name=value")
    run = await context.client.start(
        workflow,
        input=UNSET if input is None else json_value(input, "--input"),
        run_id=run_id,
        attributes={name: value for name, _, value in pairs},
        external=external,
    )
    if run.started is not None:
        outcome = run.started.outcome
        context.output.say(run.run_id, {"run_id": run.run_id, "outcome": outcome})
