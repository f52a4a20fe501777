"""What users would take instead of hookd, as durable: Redis, PostgreSQL, etcd.

Each is started on a free port of the loopback, with its data on the same disk
as hookd's, and syncs every commit before it answers.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench import tools
from bench.processes import Server, started
from bench.tools import Tool

#: The programs, and their names for people.
NAMES = {"redis-server": "Redis", "postgres": "PostgreSQL", "etcd": "etcd"}
#: As whom PostgreSQL may run, which refuses to be run by root.
USERS = ("postgres", "nobody")
_INITDB = ("--username=bench", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")


@dataclass(frozen=True)
class Peer:
    """A peer that is here.

    Attributes:
        target: how the load generator calls it.
        title: for people, with the version.
        settings: what makes it as durable, for the report.
        start: runs one with its data in this folder.
        own_connections: each call in flight has a connection of its own: there
            can be no two on one.
    """

    target: str
    title: str
    settings: str
    start: Callable[[Path], AbstractContextManager[Server]]
    own_connections: bool = False


def free_port() -> int:
    """A port of the loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def available(
    folder: Path, find: Callable[[str], Tool | None] = tools.find
) -> tuple[dict[str, Peer], dict[str, str]]:
    """The peers that can be run here.

    Args:
        folder: below which their data will be.
        find: finds programs.

    Returns:
        The peers by what the suite calls them, and why the others are left out.
    """
    found: dict[str, Peer] = {}
    left_out: dict[str, str] = {}
    for program, name in NAMES.items():
        tool = find(program)
        if tool is None:
            left_out[name] = f"{program} is not installed; `make bench` tries to"
            continue
        try:
            these = _PEERS[program](tool, folder)
            # Once, to see whether it can be run at all.
            with next(iter(these.values())).start(folder / f"try-{program}"):
                found |= these
        except subprocess.CalledProcessError as error:
            left_out[name] = f"{error}: {error.stderr!s:.500}"
        except (RuntimeError, OSError) as error:
            left_out[name] = str(error)
    return found, left_out


def _redis(tool: Tool, _folder: Path) -> dict[str, Peer]:
    version = tool.version().removeprefix("v=")

    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[Server]:
        folder.mkdir()
        port = free_port()
        options = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "daemonize": "no",
        }
        command = [str(tool.path)]
        for name, value in options.items():
            command += [f"--{name}", value]
        with started(
            command,
            folder / "log",
            until="Ready to accept connections",
            env=tool.environment(),
        ) as pid:
            yield Server(f"127.0.0.1:{port}", pid)

    settings = "appendonly yes, appendfsync always, no snapshots"
    return {
        "redis": Peer("redis", f"Redis {version}", settings, start),
        "redis-pool": Peer(
            "redis", f"Redis {version}, a connection for each call", settings, start, True
        ),
    }


def _postgres(tool: Tool, folder: Path) -> dict[str, Peer]:
    user = _servant(folder) if os.geteuid() == 0 else None

    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[Server]:
        folder.mkdir()
        rights: dict[str, object] = {}
        if user is not None:
            shutil.chown(folder, user.pw_uid, user.pw_gid)
            rights = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = folder / "data"
        subprocess.run(
            [
                tool.beside("initdb"),
                f"--pgdata={data}",
                "--username=bench",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            env=tool.environment(),
            cwd=folder,
            capture_output=True,
            check=True,
            **rights,  # type: ignore[call-overload]
        )
        port = free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "300",
            "fsync": "on",
            "synchronous_commit": "on",
            "wal_sync_method": "fdatasync",
        }
        command = [str(tool.path.resolve()), "-D", str(data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with started(
            command,
            folder.with_name(folder.name + ".log"),
            until="ready to accept connections",
            env=tool.environment(),
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
        ) as pid:
            yield Server(f"host=127.0.0.1 port={port} user=bench dbname=postgres", pid)

    settings = "fsync=on, synchronous_commit=on, wal_sync_method=fdatasync; else as it comes"
    title = f"PostgreSQL {tool.version()}"
    return {"postgres": Peer("postgres", title, settings, start, own_connections=True)}


def _servant(folder: Path) -> pwd.struct_passwd:
    """Another user than root, who can reach the folder.

    Raises:
        RuntimeError: there is none.
    """
    for above in folder.absolute().parents:
        if not above.stat().st_mode & stat.S_IXOTH:
            raise RuntimeError(f"it does not run as root, and others cannot enter {above}")
    for name in USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("it does not run as root, and there is no other user")


def _etcd(tool: Tool, _folder: Path) -> dict[str, Peer]:
    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[Server]:
        folder.mkdir()
        port = free_port()
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
        command = [
            str(tool.path),
            f"--data-dir={folder / 'data'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        ]
        with started(
            command,
            folder / "log",
            until="ready to serve client requests",
            env=tool.environment() | {"ETCD_UNSUPPORTED_ARCH": os.uname().machine},
        ) as pid:
            yield Server(f"127.0.0.1:{port}", pid)

    settings = "one member, as it comes: a synced log"
    return {"etcd": Peer("etcd", f"etcd {tool.version()}", settings, start)}


_PEERS: dict[str, Callable[[Tool, Path], dict[str, Peer]]] = {
    "redis-server": _redis,
    "postgres": _postgres,
    "etcd": _etcd,
}
