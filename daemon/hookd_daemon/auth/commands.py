"""The commands ``hookd keys create``, ``list`` and ``revoke``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from json import dumps
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import ValidationError

from hookd_daemon import config
from hookd_daemon.auth import keys
from hookd_daemon.auth.keyfile import KeyFile, KeyFileError
from hookd_daemon.auth.keys import Key
from hookd_daemon.auth.roles import Role
from hookd_daemon.config import ConfigError, StartupError
from hookd_daemon.values import parse_duration_ms, shorten

app = App(
    name="keys",
    help="Create, list and revoke API keys; a daemon that runs notices within a second.",
)

DataDir = Annotated[
    Path | None, Parameter(help="Directory of the data. Default: hookd-data. [HOOKD_DATA_DIR]")
]
ConfigFile = Annotated[
    Path | None, Parameter(name="--config", help="TOML file that names it. [HOOKD_CONFIG]")
]


@app.command
def create(
    *,
    project: Annotated[str | None, Parameter(help="The only project it is for.")] = None,
    all_projects: Annotated[
        bool, Parameter(help="For all projects; only with --role=admin.", negative="")
    ] = False,
    role: Annotated[
        str,
        Parameter(
            help="resume-only: deliver payloads. service: everything but the daemon itself. "
            "admin: that, too."
        ),
    ] = "service",
    name: Annotated[str, Parameter(help="What it is for, for people.")] = "",
    expires: Annotated[
        str | None, Parameter(help="How long it is valid, as 90d. Default: until it is revoked.")
    ] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Create a key and print it, once: only a hash of it is kept."""
    if role not in list(Role):
        raise ConfigError(f"--role: must be one of {', '.join(Role)}, not {shorten(role)}")
    if all_projects == (project is not None):
        raise ConfigError("--project or --all-projects: give one of them")
    if all_projects and role != Role.ADMIN:
        raise ConfigError("--all-projects: only a key with --role=admin can be for all projects")
    now = _now()
    try:
        text, key = keys.make(
            project=project,
            role=Role(role),
            name=name,
            now=now,
            expires_at=None if expires is None else now + _span(expires),
        )
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        rule = {
            "project": "must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter "
            "or a digit",
            "name": "must be at most 100 visible ASCII characters",
        }[str(field)]
        raise ConfigError(f"--{field}: {rule}") from None
    file = _file(data_dir, config_file)
    with _told(), file.change() as kept:
        kept.append(key)
    scope = "all projects" if project is None else f"project {project}"
    print(
        f"hookd: key {key.id}, {role}, {scope}, in {file.path}; it is shown this once",
        file=sys.stderr,
    )
    print(text)


@app.command(name="list")
def list_keys(
    *,
    json: Annotated[bool, Parameter(help="One JSON object a line.", negative="")] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """List all keys, also those that are revoked or expired."""
    with _told():
        file = _file(data_dir, config_file)
        found = file.read()
    if not found:
        print(f"hookd: there are no keys in {file.path}", file=sys.stderr)
    now = _now()
    if json:
        for key in found:
            facts = key.model_dump(mode="json", exclude={"sha256"})
            print(dumps({**facts, "state": key.state(now)}))
        return
    heads = ("ID", "STATE", "ROLE", "PROJECT", "CREATED", "EXPIRES", "NAME")
    rows = [heads, *(_row(key, now) for key in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


@app.command
def revoke(
    key_id: str,
    /,
    *,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Revoke a key, by its id as `hookd keys list` shows it.

    It lets no call in any more, and ends the streams and waits that it has open.
    """
    with _told(), _file(data_dir, config_file).change() as kept:
        found = next((place for place, key in enumerate(kept) if key.id == key_id), None)
        if found is None:
            raise StartupError(f"there is no key {shorten(key_id)}; see hookd keys list")
        if kept[found].revoked_at is None:
            kept[found] = kept[found].model_copy(update={"revoked_at": _now()})
    print(f"hookd: key {key_id} is revoked", file=sys.stderr)


@contextmanager
def _told() -> Iterator[None]:
    """Says errors of the file as the command line says its own."""
    try:
        yield
    except KeyFileError as error:
        raise StartupError(str(error)) from None


def _file(data_dir: Path | None, config_file: Path | None) -> KeyFile:
    return KeyFile(config.data_dir({"data_dir": data_dir}, config=config_file))


def _row(key: Key, now: datetime) -> tuple[str, ...]:
    return (
        key.id,
        key.state(now),
        str(key.role),
        key.project or "(all)",
        _shown(key.created_at),
        _shown(key.expires_at),
        key.name,
    )


def _shown(time: datetime | None) -> str:
    return "never" if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _span(text: str) -> timedelta:
    try:
        span = timedelta(milliseconds=parse_duration_ms(text))
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--expires: {error}, not {shorten(text)}") from None
    if not timedelta() < span <= timedelta(days=36_500):
        raise ConfigError(f"--expires: must be longer than 0 and at most 36500d, not {text}")
    return span
