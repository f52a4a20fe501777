"""``python -m bench.packages``: installs the peers that this machine lacks, below ``.build``.

Debian packages are downloaded and unpacked, with those that they need and that
are not here; nothing is installed in the system and nobody has to be root. etcd
can be built with Go instead. What cannot be had is left out, and said so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from bench import tools

#: The programs of the peers, and the Debian packages that have them.
PACKAGES = {"redis-server": "redis-server", "postgres": "postgresql", "etcd": "etcd-server"}
ETCD_MODULE = "go.etcd.io/etcd/server/v3"
#: Only asked what it would do, apt needs no lock.
_NO_ROOT = ("-o", "Debug::NoLocking=1")
PATIENCE = 900


def _run(command: list[str], folder: Path, **env: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RuntimeError(f"{' '.join(command[:2])}: {' '.join(last)}")
    return done.stdout


def from_debian(package: str, build: Path) -> None:
    """Unpacks a Debian package and what it needs into ``build/root``.

    Raises:
        RuntimeError: there is no apt, or no such package.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise RuntimeError("this is no Debian")
    downloads = build / "debs" / package
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir(parents=True)
    plan = _run(
        [
            "apt-get",
            "-s",
            "-o",
            "Debug::NoLocking=1",
            "install",
            "--no-install-recommends",
            package,
        ],
        downloads,
    )
    names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    _run(["apt-get", "download", *names], downloads)
    for file in downloads.glob("*.deb"):
        _run(["dpkg", "-x", str(file), str(build / "root")], downloads)


def etcd_from_go(build: Path) -> None:
    """Builds etcd into ``build/bin``.

    In a module of its own: etcd's own module cannot be given to ``go install``.

    Raises:
        RuntimeError: there is no Go, or it could not build.
    """
    if shutil.which("go") is None:
        raise RuntimeError("there is no Go")
    module = build / "etcd"
    shutil.rmtree(module, ignore_errors=True)
    module.mkdir(parents=True)
    _run(["go", "mod", "init", "peer"], module)
    _run(["go", "get", ETCD_MODULE], module)
    target = build / "bin" / "etcd"
    _run(["go", "build", "-o", str(target), ETCD_MODULE], module, CGO_ENABLED="0")


def install(build: Path = tools.BUILD) -> dict[str, str]:
    """Installs what is missing.

    Args:
        build: where.

    Returns:
        What could not be had, and why.
    """
    missing: dict[str, str] = {}
    for program, package in PACKAGES.items():
        if tools.find(program, build=build) is not None:
            continue
        ways = [partial(from_debian, package, build)]
        if program == "etcd":
            ways.append(partial(etcd_from_go, build))
        why = []
        for way in ways:
            try:
                way()
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                why.append(str(error))
            else:
                break
        else:
            missing[program] = "; ".join(why)
    return missing


if __name__ == "__main__":
    for name, reason in install().items():
        print(f"bench: {name} is left out: {reason}", file=sys.stderr)
