"""The command ``hookctl worker``."""

import asyncio
import logging
import signal
import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from hookd.cli.context import Context
from hookd.cli.target import load
from hookd.worker.worker import Worker, worker_for
from hookd.workflows import guards

Hidden = Annotated[Context, Parameter(parse=False)]
Level = Literal["debug", "info", "warning", "error"]

_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s"
_TIME = "%Y-%m-%d %H:%M:%S"
_log = logging.getLogger("hookd.worker")


async def worker(
    target: str,
    /,
    *,
    context: Hidden,
    name: str | None = None,
    max_turns: int | None = None,
    max_steps: int | None = None,
    log_level: Level = "info",
) -> None:
    """Execute workflows and steps until it is told to end.

    SIGTERM and SIGINT let what is under way finish for a while; what is not
    done then goes to other workers. A second signal ends it at once.

    Args:
        target: What to serve, as MODULE or MODULE:ATTRIBUTE. All workflows and
            steps in the module; or the attribute, which is a Worker, one
            definition, or several definitions and modules.
        context: The client and where to print.
        name: What the worker is called, for people; the machine and the
            process when absent.
        max_turns: How many runs it goes on with at a time.
        max_steps: How many steps it executes at a time.
        log_level: How much it says.
    """
    # Before the target is imported: it may take names such as time.time out of
    # their modules.
    guards.install()
    found = load(target)
    _set_up_logs(log_level)
    settings = {"name": name, "max_turns": max_turns, "max_steps": max_steps}
    given = {key: value for key, value in settings.items() if value is not None}
    serving = worker_for(found, context.client, given)
    _stop_on_signals(serving)
    await serving.run()


def _set_up_logs(level: Level) -> None:
    """Shows logs, unless the program of the user shows them already."""
    number = getattr(logging, level.upper())
    logging.getLogger("hookd").setLevel(number)
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_FORMAT, _TIME))
        root.addHandler(handler)
        # What other libraries say to themselves is not asked for.
        root.setLevel(max(number, logging.INFO))


def _stop_on_signals(worker: Worker) -> None:
    loop = asyncio.get_running_loop()

    def stop(name: str) -> None:
        _log.info("Got %s; a second one ends the worker at once", name)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        worker.stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number.name)


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
