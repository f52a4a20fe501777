"""The commands ``hookd secrets set``, ``list`` and ``remove``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from hookd_daemon import config
from hookd_daemon.config import StartupError
from hookd_daemon.secrets.files import MAX_BYTES, SecretError, SecretFiles

app = App(
    name="secrets",
    help="Set, list and remove the secrets of webhooks; a daemon that runs notices at once.",
)

Project = Annotated[str, Parameter(help="Whose secret it is.")]
DataDir = Annotated[
    Path | None, Parameter(help="Directory of the data. Default: hookd-data. [HOOKD_DATA_DIR]")
]
SecretsDir = Annotated[
    Path | None,
    Parameter(help="Directory of the secrets. Default: DATA_DIR/secrets. [HOOKD_SECRETS_DIR]"),
]
ConfigFile = Annotated[
    Path | None, Parameter(name="--config", help="TOML file that names it. [HOOKD_CONFIG]")
]


@app.command(name="set")
def set_secret(
    name: str,
    /,
    *,
    project: Project = "default",
    data_dir: DataDir = None,
    secrets_dir: SecretsDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Read a secret from standard input and keep it, in the place of the one before.

    Several lines are several secrets, and each counts: the old one and the new
    one, while senders change from one to the other.
    """
    files = _files(data_dir, secrets_dir, config_file)
    with _told():
        files.path(project, name)
        if sys.stdin.isatty():
            print("hookd: the secret, and Ctrl-D at the end:", file=sys.stderr)
        count = files.write(project, name, sys.stdin.buffer.read(MAX_BYTES + 1))
        where = files.path(project, name)
    secrets = "a secret" if count == 1 else f"{count} secrets, of which each counts"
    print(f"hookd: {where} has {secrets}", file=sys.stderr)


@app.command(name="list")
def list_secrets(
    *,
    json: Annotated[bool, Parameter(help="One JSON object a line.", negative="")] = False,
    data_dir: DataDir = None,
    secrets_dir: SecretsDir = None,
    config_file: ConfigFile = None,
) -> None:
    """List the names of all secrets, and not what they are."""
    files = _files(data_dir, secrets_dir, config_file)
    with _told():
        found = list(files.names())
    if json:
        for project, name in found:
            print(dumps({"project": project, "name": name}))
        return
    width = max(len("PROJECT"), *(len(project) for project, _ in found), 0)
    for project, name in [("PROJECT", "NAME"), *found]:
        print(f"{project.ljust(width)}  {name}")


@app.command
def remove(
    name: str,
    /,
    *,
    project: Project = "default",
    data_dir: DataDir = None,
    secrets_dir: SecretsDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Remove a secret; webhooks that are verified with it take no requests any more."""
    files = _files(data_dir, secrets_dir, config_file)
    with _told():
        files.remove(project, name)
    print(f"hookd: the secret {name} of project {project} is removed", file=sys.stderr)


@contextmanager
def _told() -> Iterator[None]:
    """Says errors of the files as the command line says its own."""
    try:
        yield
    except SecretError as error:
        raise StartupError(str(error)) from None


def _files(
    data_dir: Path | None, secrets_dir: Path | None, config_file: Path | None
) -> SecretFiles:
    flags = {"data_dir": data_dir, "secrets_dir": secrets_dir}
    return SecretFiles(config.secrets_dir(flags, config=config_file))
