"""hookctl: its options, its commands, and how it ends."""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter

from hookd.cli import daemon, hooks, queues, runs
from hookd.cli.context import Context, duration
from hookd.cli.exits import HELP, Exit, exit_code
from hookd.cli.output import Output, shown
from hookd.client import DEFAULT_ADDRESS, DEFAULT_PROJECT, connect
from hookd.errors import HookdError

_CONNECTION = Group("Connection", sort_key=100)


def _version() -> str:
    try:
        return f"hookctl {version('hookd')}"
    except PackageNotFoundError:
        return "hookctl (not installed)"


app = App(
    name="hookctl",
    help="Look into a hookd daemon and work on its runs and hooks.",
    help_epilogue=HELP,
    version=_version,
)
app.command(runs.app)
app.command(hooks.app)
queues.register(app)
# Whoever looks at runs need not load what executes them.
app.command("hookd.cli.worker:worker", help="Execute workflows and steps until it is told to end.")
daemon.register(app)


@app.meta.default
def launch(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    address: Annotated[
        str, Parameter(group=_CONNECTION, env_var="HOOKD_ADDRESS")
    ] = DEFAULT_ADDRESS,
    project: Annotated[
        str, Parameter(group=_CONNECTION, env_var="HOOKD_PROJECT")
    ] = DEFAULT_PROJECT,
    api_key: Annotated[str | None, Parameter(group=_CONNECTION, env_var="HOOKD_API_KEY")] = None,
    timeout: Annotated[str, Parameter(group=_CONNECTION)] = "10s",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Look into a hookd daemon and work on its runs and hooks.

    Args:
        words: The command.
        address: The daemon.
        project: The isolation scope.
        api_key: Better given in the environment: other users see a command line.
        timeout: How long to try to get an answer: 30, 500ms, 1m.
        json: Print one JSON document, or JSON lines where it watches.
    """
    command, bound, hidden = app.parse_args(words, exit_on_error=False, print_error=False)
    if "context" not in hidden:
        command(*bound.args, **bound.kwargs)  # Help, or the version.
        return

    async def run() -> None:
        async with connect(
            address,
            project=project,
            api_key=api_key,
            timeout=duration(timeout, "--timeout"),
        ) as client:
            context = Context(client, Output(json=json))
            await command(*bound.args, **bound.kwargs, context=context)

    asyncio.run(run())


def run(words: Sequence[str]) -> int:
    """Runs the command line; gives what to exit with."""
    try:
        app.meta(list(words), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return _complain(str(error), Exit.USAGE)
    except HookdError as error:
        return _complain(str(error), exit_code(error))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has seen enough. Python must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.OK


def main() -> None:
    """The command ``hookctl``."""
    sys.exit(run(sys.argv[1:]))


def _complain(message: str, code: Exit) -> int:
    line = shown(" ".join(message.split()))
    sys.stderr.write(f"hookctl: {line}\n")
    return code
