"""The command `hookd`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError
from hookd.command_line import too_many_words

from hookd_daemon import config
from hookd_daemon.auth.commands import app as keys_app
from hookd_daemon.config import ConfigError, Settings, StartupError
from hookd_daemon.secrets.commands import app as secrets_app


def _version() -> str:
    try:
        return f"hookd {version('hookd-daemon')}"
    except PackageNotFoundError:
        return "hookd (not installed)"


app = App(
    name="hookd",
    help="The hookd daemon: durable workflow runs and hooks with unique tokens, over gRPC.",
    version=_version,
    version_flags=["--version"],
    help_flags=["--help", "-h"],
)
app.command(keys_app)
app.command(secrets_app)


def _option(field: str, group: str, *, boolean: bool = False) -> Parameter:
    """Describes a flag from the setting of the same name.

    Flags are taken as text: the settings check and explain all values alike,
    wherever they come from.
    """
    info = Settings.model_fields[field]
    text = info.description or ""
    if info.default is not None and info.default_factory is None and not boolean:
        text += (
            f" Default: {info.default:g}."
            if isinstance(info.default, float)
            else f" Default: {info.default}."
        )
    return Parameter(
        help=f"{text} [{config.ENV_PREFIX}{field.upper()}]",
        group=group,
        negative="" if not boolean else None,
    )


@app.command
def serve(
    *,
    config_file: Annotated[
        Path | None,
        Parameter(
            name="--config",
            help="TOML file with settings, by the names of the flags with underscores, and a "
            "table [projects.NAME] for what differs per project. [HOOKD_CONFIG]",
            group="Data",
        ),
    ] = None,
    data_dir: Annotated[str | None, _option("data_dir", "Data")] = None,
    backup_dir: Annotated[str | None, _option("backup_dir", "Data")] = None,
    secrets_dir: Annotated[str | None, _option("secrets_dir", "Data")] = None,
    retention: Annotated[str | None, _option("retention", "Data")] = None,
    listen: Annotated[str | None, _option("listen", "Network")] = None,
    http: Annotated[str | None, _option("http", "Network")] = None,
    public_url: Annotated[str | None, _option("public_url", "Network")] = None,
    trusted_proxies: Annotated[str | None, _option("trusted_proxies", "Network")] = None,
    tls_cert: Annotated[str | None, _option("tls_cert", "Network")] = None,
    tls_key: Annotated[str | None, _option("tls_key", "Network")] = None,
    tls_client_ca: Annotated[str | None, _option("tls_client_ca", "Network")] = None,
    require_keys: Annotated[bool | None, _option("require_keys", "Network", boolean=True)] = None,
    insecure: Annotated[bool | None, _option("insecure", "Network", boolean=True)] = None,
    max_calls_in_flight: Annotated[str | None, _option("max_calls_in_flight", "Limits")] = None,
    max_streams: Annotated[str | None, _option("max_streams", "Limits")] = None,
    max_token_bytes: Annotated[str | None, _option("max_token_bytes", "Limits")] = None,
    max_active_hooks: Annotated[str | None, _option("max_active_hooks", "Quotas")] = None,
    max_active_runs: Annotated[str | None, _option("max_active_runs", "Quotas")] = None,
    max_payload_bytes: Annotated[str | None, _option("max_payload_bytes", "Quotas")] = None,
    max_calls_per_second: Annotated[str | None, _option("max_calls_per_second", "Quotas")] = None,
    drain_timeout: Annotated[str | None, _option("drain_timeout", "Limits")] = None,
    worker_lease: Annotated[str | None, _option("worker_lease", "Workers")] = None,
    fail_unserved_after: Annotated[str | None, _option("fail_unserved_after", "Workers")] = None,
    log_level: Annotated[str | None, _option("log_level", "Logs")] = None,
    log_format: Annotated[str | None, _option("log_format", "Logs")] = None,
    log_tokens: Annotated[bool | None, _option("log_tokens", "Logs", boolean=True)] = None,
    ready_fd: Annotated[str | None, _option("ready_fd", "Supervision")] = None,
    ready_file: Annotated[str | None, _option("ready_file", "Supervision")] = None,
) -> int:
    """Serve the API until SIGTERM or SIGINT, then drain and exit 0.

    Flags win over the environment (HOOKD_* as shown), which wins over the TOML
    file, which wins over the defaults. Traces and metrics are exported when the
    standard OTEL_* variables name an OTLP endpoint.
    """
    flags: dict[str, Any] = dict(locals())
    settings = config.load(flags, config=flags.pop("config_file"))

    # Core writes lines of its own to stderr, which are no JSON; what matters of
    # them reaches us as exceptions. Read when gRPC is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Loading makes next to no garbage, and looking for it took a sixth of the
    # time of a start. The server collects again once it serves.
    gc.disable()
    with _without("rich"):
        # Late, so that --help and a bad flag need no store and no gRPC.
        from hookd_daemon import server  # noqa: PLC0415

    try:
        return server.run(settings)
    finally:
        gc.enable()


@contextmanager
def _without(library: str) -> Iterator[None]:
    """Has imports go on as if a library were not installed, unless it is loaded already.

    structlog loads rich, with which it could draw tracebacks, wherever it finds
    it; the daemon's are plain, and rich takes longer to load than structlog.
    """
    hidden = library not in sys.modules
    if hidden:
        sys.modules[library] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[library]


@app.command
def restore(
    backup: Path,
    /,
    *,
    data_dir: Annotated[Path, Parameter(group="Data")],
) -> None:
    """Make a data directory from a backup, after checking that it is whole.

    Args:
        backup: The directory that `hookctl backup` has made, or a copy of it.
        data_dir: The new data directory; must not be there, or be empty.
    """
    # Late, as in serve.
    from hookd_daemon.restore import restore as make  # noqa: PLC0415

    made = make(backup, data_dir)
    print(
        f"{data_dir} is as it was at {made.manifest.made_at}: {len(made.manifest.files)} files, "
        f"{made.manifest.size} bytes, {made.tokens} tokens taken"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Words after the program's name; the process's own by default.

    Returns:
        The exit status: 0 after an orderly end, 1 if the daemon failed, 2 if
        it was asked for something that makes no sense.
    """
    try:
        result = app(
            arguments if arguments is None else list(arguments),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except UnusedCliTokensError as error:
        return _complain(too_many_words("hookd", error), ConfigError.exit_status)
    except CycloptsError as error:
        return _complain(" ".join(str(error).split()), ConfigError.exit_status)
    except StartupError as error:
        return _complain(str(error), error.exit_status)
    return result if isinstance(result, int) else 0


def _complain(message: str, status: int) -> int:
    # Whatever was quoted from the outside, this stays one line.
    line = "".join(c if c.isprintable() else "�" for c in message)
    print(f"hookd: error: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
