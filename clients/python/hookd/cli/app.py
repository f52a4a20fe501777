"""hookctl: its options, its commands, and how it ends."""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError

from hookd.cli import daemon, hooks, queues, runs
from hookd.cli.context import Context, duration
from hookd.cli.exits import HELP, Exit, exit_code
from hookd.cli.output import Output, shown
from hookd.client import DEFAULT_ADDRESS, DEFAULT_PROJECT, connect
from hookd.command_line import too_many_words
from hookd.errors import HookdError, InvalidArgumentError, UnavailableError
from hookd.tls import Tls

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
    api_key_file: Annotated[
        str | None, Parameter(group=_CONNECTION, env_var="HOOKD_API_KEY_FILE")
    ] = None,
    tls: Annotated[bool | None, Parameter(group=_CONNECTION, env_var="HOOKD_TLS")] = None,
    tls_ca: Annotated[str | None, Parameter(group=_CONNECTION, env_var="HOOKD_TLS_CA")] = None,
    tls_cert: Annotated[str | None, Parameter(group=_CONNECTION, env_var="HOOKD_TLS_CERT")] = None,
    tls_key: Annotated[str | None, Parameter(group=_CONNECTION, env_var="HOOKD_TLS_KEY")] = None,
    timeout: Annotated[str, Parameter(group=_CONNECTION)] = "10s",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Look into a hookd daemon and work on its runs and hooks.

    Args:
        words: The command.
        address: The daemon.
        project: The isolation scope.
        api_key_file: A file with the API key; HOOKD_API_KEY is the key itself. There is no
            option for the key: other users see a command line.
        tls: TLS with the usual authorities; --no-tls insists on plaintext.
        tls_ca: TLS with these authorities: a PEM file.
        tls_cert: The client's certificate, for a daemon that asks for one: a PEM file.
        tls_key: The private key of --tls-cert: a PEM file.
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
            api_key=None if api_key_file is None else _read_key(api_key_file),
            tls=_chosen(tls, tls_ca, tls_cert, tls_key),
            timeout=duration(timeout, "--timeout"),
        ) as client:
            context = Context(client, Output(json=json))
            await command(*bound.args, **bound.kwargs, context=context)

    asyncio.run(run())


def _read_key(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        raise InvalidArgumentError.of("--api-key-file", f"{path} cannot be read") from None


def _chosen(
    tls: bool | None, ca: str | None, cert: str | None, key: str | None
) -> bool | Tls | None:
    if tls is not False and (ca or cert or key):
        return Tls(ca=ca, cert=cert, key=key)
    return tls


class _Waiting(logging.Handler):
    """Tells people at a terminal why nothing happens."""

    def emit(self, record: logging.LogRecord) -> None:
        _complain(record.getMessage(), Exit.UNAVAILABLE)


def _tell_of_retries() -> None:
    log = logging.getLogger("hookd.transport")
    log.addHandler(_Waiting())
    log.setLevel(logging.DEBUG)
    log.propagate = False


def run(words: Sequence[str]) -> int:
    """Runs the command line; gives what to exit with."""
    if sys.stderr.isatty():
        _tell_of_retries()
    try:
        app.meta(list(words), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except UnusedCliTokensError as error:
        return _complain(too_many_words("hookctl", error), Exit.USAGE)
    except CycloptsError as error:
        return _complain(str(error), Exit.USAGE)
    except HookdError as error:
        nobody = isinstance(error, UnavailableError) and error.reason == UnavailableError.reason
        hint = " (is it running there? see --address and HOOKD_ADDRESS)" if nobody else ""
        return _complain(f"{error}{hint}", exit_code(error))
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
