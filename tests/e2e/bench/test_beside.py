"""The peers, and the load generator: found or said to be missing, and checked."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import client, matrix, packages, peers, processes, tools
from bench.client import Call, LoadError
from bench.plan import QUICK
from bench.processes import Server
from bench.tools import Tool

#: What the load generator prints for ten claims in two seconds.
ANSWER = """{
  "seconds": 2.0, "calls": 10, "operations": 10, "per_second": 5.0, "latency_ms": {"p50": 1.0},
  "timeline_max_ms": [1.0], "client_cpu_seconds": 0.5, "server_cpu_seconds": 1.0,
  "outcomes": {"claimed": 10}, "errors": {}
}"""
SERVER = Server("127.0.0.1:1", os.getpid())
CALL = Call("redis", "claim", 4, 8, 2.0, 0.5)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a program: a shell script."""

    def write(name: str, script: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return write


def test_peers_that_are_not_here_are_left_out_by_name(tmp_path):
    found, left_out = peers.available(tmp_path, lambda _name: None)
    assert found == {}
    assert left_out.keys() == {"Redis", "PostgreSQL", "etcd"}
    assert "redis-server is not installed" in left_out["Redis"]


def test_a_peer_that_does_not_start_is_left_out_with_what_it_said(tmp_path, program):
    script = program(
        "redis-server", '[ "$1" = --version ] && echo v=9.9.9 || { echo woe; exit 1; }'
    )

    def find(name: str) -> Tool | None:
        return Tool(script, {}) if name == "redis-server" else None

    found, left_out = peers.available(tmp_path, find)
    assert found == {}
    assert "did not start" in left_out["Redis"]
    assert "woe" in left_out["Redis"]


def test_a_program_of_a_package_is_found_with_its_libraries(tmp_path):
    for file in ("usr/bin/redis-server", "usr/lib/some/libx.so.1"):
        path = tmp_path / "root" / file
        path.parent.mkdir(parents=True)
        path.touch()
    nowhere = {"path": str(tmp_path), "system": tmp_path}
    tool = tools.find("redis-server", build=tmp_path, **nowhere)
    assert tool is not None
    assert tool.path == tmp_path / "root" / "usr/bin/redis-server"
    assert tool.env == {"LD_LIBRARY_PATH": str(tmp_path / "root" / "usr/lib/some")}
    assert tools.find("etcd", build=tmp_path, **nowhere) is None


def test_what_cannot_be_installed_is_named_and_hinders_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(packages.tools, "find", lambda _name, **_more: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = packages.install(tmp_path / "build")
    assert missing == {
        "redis-server": "this is no Debian",
        "postgres": "this is no Debian",
        "etcd": "this is no Debian; there is no Go",
    }


def test_there_may_be_no_load_generator(tmp_path):
    assert client.load_generator(tmp_path / "none") is None


def test_the_load_generator_is_asked_and_believed(program, tmp_path):
    binary = program("loadgen", f"echo \"$@\" > {tmp_path}/asked\ncat <<'END'\n{ANSWER}\nEND")
    measured = client.load_generator(binary)(SERVER, CALL)
    assert (measured.per_second, measured.operations) == (5.0, 10)
    assert (measured.server_us, measured.client_us) == (100_000, 50_000)
    assert (measured.server_cores, measured.client_cores) == (0.5, 0.25)
    asked = (tmp_path / "asked").read_text().split()
    # Never more connections than calls in flight.
    assert {"--target=redis", "--concurrency=4", "--connections=4"} <= set(asked)
    assert f"--pid={SERVER.pid}" in asked


def test_no_two_loads_have_tokens_in_common():
    assert CALL.seed != Call("redis", "claim", 4, 8, 2.0, 0.5).seed


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo '" + ANSWER.replace("{}", '{"refused": 3}') + "'", "refused"),
        ("echo 'cannot connect' >&2; exit 1", "cannot connect"),
        ("echo '" + ANSWER.replace('"operations": 10', '"operations": 0') + "'", "no call"),
    ],
)
def test_a_load_that_went_wrong_gives_no_figures(program, script, words):
    with pytest.raises(LoadError, match=words):
        client.load_generator(program("loadgen", script))(SERVER, CALL)


def test_a_load_that_a_peer_does_not_know_is_no_failure(program):
    binary = program("loadgen", """echo '{"unsupported": true}'""")
    assert client.load_generator(binary)(SERVER, CALL) is None


def test_lost_tokens_are_a_failure(monkeypatch, tmp_path):
    """A daemon that forgets one of five tokens when it is killed."""
    known = iter([5, 4])

    @contextlib.contextmanager
    def hookd(_folder: Path):
        yield SERVER

    def stats(_server: Server) -> SimpleNamespace:
        tokens = next(known)
        return SimpleNamespace(claims_total=5, active_tokens=tokens, recovered_tokens=tokens)

    monkeypatch.setattr(matrix.servers, "hookd", hookd)
    monkeypatch.setattr(matrix.servers, "kill", lambda _server: None)
    monkeypatch.setattr(matrix.admin, "stats", stats)
    answer = client.from_answer(CALL, client.json.loads(ANSWER.replace("10", "5")))
    one = matrix.Matrix(tmp_path, QUICK, lambda *_: answer, {}, lambda _what: None)
    load = next(load for load in QUICK.loads if load.name == "conflict")
    assert one.measure(load)["checked"]["after_kill"] == 4
    assert "4 after kill -9" in one.failures[0]


def test_the_processor_time_of_children_counts():
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {burn!r}], check=True)\n"
        "print('done', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"done\n"
        assert processes.cpu_seconds(process.pid) >= 0.25
        process.stdin.close()
