"""Settings of the daemon: flags, environment, a TOML file and defaults, in that order.

The layers are merged here by hand, before validation, because only then does
every value still know where it came from: an error names the very flag,
variable or key that has to be changed.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import sys
import tomllib
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from hookd_daemon import checks
from hookd_daemon.auth.keyfile import FILE_NAME as KEY_FILE
from hookd_daemon.values import (
    Address,
    parse_address,
    parse_networks,
    shorten,
)

ENV_PREFIX = "HOOKD_"
CONFIG_ENV = "HOOKD_CONFIG"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]
#: The settings that say how much a project may have.
Quota = Literal["max_active_hooks", "max_active_runs", "max_payload_bytes", "max_calls_per_second"]


class StartupError(Exception):
    """A reason not to start that the operator can act upon, said in one line.

    Attributes:
        exit_status: What the process exits with.
    """

    exit_status = 1


class ConfigError(StartupError):
    """A setting is malformed, out of range or contradicts another."""

    exit_status = 2


def _default_backup_dir(validated: dict[str, Any]) -> Path:
    # Beside the data, not inside: hard links need the same file system, and
    # nothing but the store has business inside its directory.
    return Path(f"{validated.get('data_dir', Path('hookd-data'))}-backups")


def _default_secrets_dir(validated: dict[str, Any]) -> Path:
    return Path(validated.get("data_dir", Path("hookd-data"))) / "secrets"


def _default_log_format() -> LogFormat:
    return "console" if sys.stderr.isatty() else "json"


_Flag = Annotated[bool, BeforeValidator(checks.flag)]
_Path = Annotated[Path, BeforeValidator(checks.path)]
_Retention = Annotated[str, BeforeValidator(checks.retention)]
_NeverOrLong = Annotated[float | None, checks.never_or_seconds(0.1, 36_500 * 86_400)]
_Quota = Annotated[int, checks.whole(0, 2**53)]


class _Source(NamedTuple):
    """Where a value was given: by a flag or variable of this name, or in a file."""

    name: str = ""
    file: Path | None = None

    def describe(self, loc: list[str]) -> str:
        return self.name or f"{'.'.join(loc)} in {self.file}"


def _flag_name(field: str) -> str:
    return "--" + field.replace("_", "-")


class ProjectSettings(BaseModel):
    """What may differ from project to project (TOML table ``[projects.NAME]``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retention: _Retention | None = None
    max_active_hooks: _Quota | None = None
    max_active_runs: _Quota | None = None
    max_payload_bytes: _Quota | None = None
    max_calls_per_second: _Quota | None = None


class Settings(BaseModel):
    """Everything an operator can choose; see the fields' descriptions.

    Use `load` to read the layers; the constructor takes values as they are
    written in any of them and applies the same checks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: _Path = Field(
        default=Path("hookd-data"),
        description="Directory of the data; made if it is not there.",
    )
    listen: Annotated[str, BeforeValidator(checks.listen)] = Field(
        default="127.0.0.1:4665",
        description="Address of the gRPC API, HOST:PORT; port 0 picks a free one.",
    )
    http: Annotated[str | None, BeforeValidator(checks.http)] = Field(
        default="127.0.0.1:4666",
        description="Address of the console, the JSON API (/v1/docs), webhooks, /metrics, /healthz "
        'and /readyz, HOST:PORT; port 0 picks a free one, "" turns them off.',
    )
    public_url: Annotated[str | None, BeforeValidator(checks.public_url)] = Field(
        default=None,
        description="What the URLs of webhooks begin with, as others reach --http: "
        "https://hooks.example.com, also with a path. Default: the address of --http itself.",
    )
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(parse_networks)] = Field(
        default_factory=tuple,
        description="Addresses or networks of proxies, with commas between them, whose "
        "X-Forwarded-For is believed. Default: none.",
    )
    secrets_dir: _Path = Field(
        default_factory=_default_secrets_dir,
        description="Directory of the secrets of webhooks, see hookd secrets. "
        "Default: DATA_DIR/secrets.",
    )
    backup_dir: _Path = Field(
        default_factory=_default_backup_dir,
        description="Directory below which backups are made. Default: DATA_DIR-backups.",
    )
    retention: _Retention = Field(
        default="7d",
        description='How long an ended run is kept: a duration as 7d, 1h30m, 500ms, or "keep", '
        'or "drop" (removed at once).',
    )
    projects: dict[str, ProjectSettings] = Field(default_factory=dict)
    max_calls_in_flight: Annotated[int, checks.whole(1, 1_000_000)] = Field(
        default=1024,
        description="Calls being answered at one time; more are refused at once with "
        "RESOURCE_EXHAUSTED (1 to 1000000).",
    )
    max_streams: Annotated[int, checks.whole(1, 1_000_000)] = Field(
        default=20_000,
        description="Streams and long waits open at one time (1 to 1000000).",
    )
    max_token_bytes: Annotated[int, checks.whole(1, 4096)] = Field(
        default=512, description="Longest token accepted, in bytes of UTF-8 (1 to 4096)."
    )
    max_active_hooks: _Quota = Field(
        default=0, description="Tokens that a project may have taken at one time; 0 for any number."
    )
    max_active_runs: _Quota = Field(
        default=0,
        description="Runs of a project that have not ended, at one time; 0 for any number.",
    )
    max_payload_bytes: _Quota = Field(
        default=0,
        description="Bytes of payloads kept for a project's runs until they are removed; 0 for "
        "any number.",
    )
    max_calls_per_second: _Quota = Field(
        default=0,
        description="Calls that a project may make per second, and at once; 0 for any number.",
    )
    drain_timeout: Annotated[float, checks.seconds(0, 3600)] = Field(
        default=10.0,
        description="How long a stopping daemon waits for calls in flight: seconds, or a "
        "duration (0 to 1h).",
    )
    worker_lease: Annotated[float, checks.seconds(0.1, 3600)] = Field(
        default=15.0,
        description="How long a worker may be silent before its work is offered to others: "
        "seconds, or a duration (100ms to 1h).",
    )
    fail_unserved_after: _NeverOrLong = Field(
        default=None,
        description="Fail a run when no worker has served its workflow, or a step that it waits "
        'for, for so long: seconds, a duration, or "never". Default: never.',
    )
    log_level: Annotated[LogLevel, checks.choice(*get_args(LogLevel))] = Field(
        default="info", description="Least severe log level written: debug, info, warning, error."
    )
    log_format: Annotated[LogFormat, checks.choice(*get_args(LogFormat))] = Field(
        default_factory=_default_log_format,
        description="json (one object a line) or console. Default: console on a terminal.",
    )
    log_tokens: _Flag = Field(
        default=False,
        description="Write raw tokens into logs and spans. A token is a bearer secret: without "
        "this, only a short hash of it is written.",
    )
    tls_cert: _Path | None = Field(
        default=None,
        description="PEM file with the daemon's certificate: turns TLS on, for gRPC and HTTP. "
        "Read again when it changes.",
    )
    tls_key: _Path | None = Field(
        default=None, description="PEM file with the private key of --tls-cert."
    )
    tls_client_ca: _Path | None = Field(
        default=None,
        description="PEM file with authorities: clients then need a certificate of one of them.",
    )
    require_keys: _Flag = Field(
        default=False,
        description="Require an API key of every caller, even before the first one is created.",
    )
    insecure: _Flag = Field(
        default=False,
        description="Allow addresses other machines can reach, without TLS or keys.",
    )
    ready_fd: Annotated[int | None, BeforeValidator(checks.open_descriptor)] = Field(
        default=None,
        description="File descriptor that gets one line of JSON with the addresses in use once "
        "the daemon serves; closed after.",
    )
    ready_file: _Path | None = Field(
        default=None,
        description="File that gets the same line, in one step.",
    )

    @property
    def listen_address(self) -> Address:
        """Host and port of the gRPC API."""
        return parse_address(self.listen)

    @property
    def http_address(self) -> Address | None:
        """Host and port of the HTTP endpoints; None if they are off."""
        return None if self.http is None else parse_address(self.http)

    @property
    def keys_required(self) -> bool:
        """Whether callers need an API key even if there is none.

        Where other machines reach the daemon that is so whatever becomes of
        the file of the keys, unless the operator insists.
        """
        found = (self.listen_address, self.http_address)
        reached = any(a is not None and not _is_loopback(a.host) for a in found)
        return self.require_keys or (reached and not self.insecure)

    def retention_ms(self, project: str) -> int | None:
        """Returns how long an ended run of a project is kept.

        Args:
            project: The project's name.

        Returns:
            Milliseconds; 0 to remove it at once, None to keep it for good.
        """
        own = self.projects.get(project)
        return checks.retention_ms(
            self.retention if own is None or own.retention is None else own.retention
        )

    def quota(self, name: Quota, project: str) -> int:
        """Returns how much of something a project may have; 0 for as much as it likes.

        Args:
            name: The setting.
            project: The project's name.
        """
        own = self.projects.get(project)
        chosen: int | None = None if own is None else getattr(own, name)
        default: int = getattr(self, name)
        return default if chosen is None else chosen

    def describe(self) -> dict[str, Any]:
        """Returns what is in force, as JSON types, for the log line at start.

        There are no secrets among the settings: keys, certificates and secrets
        are named by their files. A secret that comes must be left out here.
        """
        described = self.model_dump(mode="json", exclude={"projects"})
        described["projects"] = {
            name: own.model_dump(mode="json", exclude_none=True)
            for name, own in self.projects.items()
        }
        return described


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Settings:
    """Reads the settings from all layers.

    Args:
        flags: Values given on the command line, by field name; None counts as
            not given.
        environ: The environment; the process's own by default. An empty
            variable counts as not set, except for ``HOOKD_HTTP``, where empty
            means off.
        config: The TOML file; ``HOOKD_CONFIG`` by default.

    Returns:
        The checked settings.

    Raises:
        ConfigError: A value is bad; the message names where it was given.
    """
    values, sources = _layers(flags, environ, config)
    settings = _checked(values, sources)
    _check_together(settings, sources)
    return settings


def data_dir(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Path:
    """Reads from all layers only where the data is, for commands that do not serve.

    Args:
        flags: See `load`.
        environ: See `load`.
        config: See `load`.

    Raises:
        ConfigError: The value is bad; the message names where it was given.
    """
    return _only({"data_dir"}, flags, environ, config).data_dir


def secrets_dir(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Path:
    """Reads from all layers only where the secrets are; see `data_dir`.

    Raises:
        ConfigError: The value is bad; the message names where it was given.
    """
    return _only({"data_dir", "secrets_dir"}, flags, environ, config).secrets_dir


def _only(
    fields: Set[str],
    flags: Mapping[str, object] | None,
    environ: Mapping[str, str] | None,
    config: Path | None,
) -> Settings:
    values, sources = _layers(flags, environ, config)
    return _checked({field: values[field] for field in values if field in fields}, sources)


def _layers(
    flags: Mapping[str, object] | None,
    environ: Mapping[str, str] | None,
    config: Path | None,
) -> tuple[dict[str, object], dict[str, _Source]]:
    """Merges the layers; gives the values, and where each comes from."""
    environ = os.environ if environ is None else environ
    if config is None and environ.get(CONFIG_ENV):
        config = Path(environ[CONFIG_ENV])
    values: dict[str, object] = {}
    sources: dict[str, _Source] = {}
    if config is not None:
        for key, value in _read_toml(config).items():
            values[key] = value
            sources[key] = _Source(file=config)
    for field in Settings.model_fields:
        variable = ENV_PREFIX + field.upper()
        text = environ.get(variable)
        if field != "projects" and text is not None and (text or field == "http"):
            values[field] = text
            sources[field] = _Source(name=variable)
    for field, value in (flags or {}).items():
        if value is not None:
            values[field] = value
            sources[field] = _Source(name=_flag_name(field))
    return values, sources


def _checked(values: Mapping[str, object], sources: Mapping[str, _Source]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        # The default of one field not being made is only a consequence of another's error.
        causes = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        raise ConfigError("; ".join(_explain(e, sources) for e in causes)) from None


def _read_toml(path: Path) -> dict[str, object]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    for key in content:
        if key not in Settings.model_fields:
            near = difflib.get_close_matches(key, Settings.model_fields, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(f"{path}: there is no setting {shorten(key)}{hint}")
    return content


def _explain(error: ErrorDetails, sources: Mapping[str, _Source]) -> str:
    loc = [str(part) for part in error["loc"] if part != "[key]"]
    source = sources[loc[0]].describe(loc)
    if error["type"] == "value_error":
        reason = str(error["ctx"]["error"])
    elif error["type"] == "extra_forbidden":
        return f"{source}: there is no such setting"
    elif error["type"] in ("dict_type", "model_type", "model_attributes_type"):
        reason = "must be a table"
    else:
        reason = error["msg"]
    return f"{source}: {reason}, not {shorten(error['input'])}"


def _check_together(settings: Settings, sources: Mapping[str, _Source]) -> None:
    """Checks what no single value shows."""

    def source(field: str) -> str:
        return sources.get(field, _Source(name=_flag_name(field))).describe([field])

    for field, needed in (
        ("tls_cert", "tls_key"),
        ("tls_key", "tls_cert"),
        ("tls_client_ca", "tls_cert"),
    ):
        if getattr(settings, field) is not None and getattr(settings, needed) is None:
            raise ConfigError(f"{source(field)}: needs {_flag_name(needed)}, too")
    missing = []
    if settings.tls_cert is None:
        missing.append("TLS (--tls-cert and --tls-key)")
    if not settings.require_keys and not (settings.data_dir / KEY_FILE).exists():
        missing.append("keys (hookd keys create, or --require-keys)")
    addresses = {"listen": settings.listen_address, "http": settings.http_address}
    for field, address in addresses.items():
        if settings.insecure or address is None or _is_loopback(address.host):
            continue
        if missing:
            raise ConfigError(
                f"{source(field)}: {address} can be reached by other machines, and this needs "
                f"{' and '.join(missing)}; listen on 127.0.0.1, or add --insecure if the network "
                "is trusted"
            )
    if settings.backup_dir.absolute() == settings.data_dir.absolute():
        raise ConfigError(f"{source('backup_dir')}: this is the data directory itself")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        # Any other name may resolve to anything, now or later.
        return host == "localhost"
