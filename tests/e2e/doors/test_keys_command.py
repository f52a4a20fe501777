"""``hookd keys``, as an operator uses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from hookd.v1.run_service_pb2 import ListRunsRequest
from hookd_daemon import cli

from tests.e2e.doors.keys import ask, hookd_keys, id_of
from tests.support.concurrency import eventually
from tests.support.daemon import HOOKD, running

LIST_RUNS = "/hookd.v1.RunService/ListRuns"


def test_a_key_from_its_creation_to_its_end_while_the_daemon_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(tmp_path) as daemon:
        channel = daemon.channel()

        def code(key: str | None) -> grpc.StatusCode | None:
            return ask(channel, LIST_RUNS, ListRunsRequest(project="orders"), key).code

        assert code(None) is None
        made = hookd_keys(data, "create", "--project=orders", "--name=billing, eu")
        key = made.stdout.strip()
        assert re.fullmatch(r"hkd_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
        assert made.stdout == f"{key}\n"
        assert key not in made.stderr
        assert "service, project orders" in made.stderr
        assert "shown this once" in made.stderr
        assert code(key) is None
        eventually(lambda: code(None) == grpc.StatusCode.UNAUTHENTICATED, within=5)
        listed = hookd_keys(data, "list")
        heads, row = listed.stdout.splitlines()
        assert heads.split() == ["ID", "STATE", "ROLE", "PROJECT", "CREATED", "EXPIRES", "NAME"]
        assert row.split(maxsplit=6)[:4] == [id_of(key), "active", "service", "orders"]
        assert row.split(maxsplit=6)[5:] == ["never", "billing, eu"]
        assert key.split("_", 2)[2] not in listed.stdout
        hookd_keys(data, "revoke", id_of(key))
        hookd_keys(data, "revoke", id_of(key))  # twice is no mistake
        eventually(lambda: code(key) == grpc.StatusCode.UNAUTHENTICATED, within=5)
        (facts,) = map(json.loads, hookd_keys(data, "list", "--json").stdout.splitlines())
        assert facts["id"] == id_of(key)
        assert facts["state"] == "revoked"
        assert "sha256" not in facts
        assert code(None) == grpc.StatusCode.UNAUTHENTICATED


def test_a_list_of_no_keys_says_where_there_are_none(tmp_path: Path) -> None:
    """It may be another directory than the daemon's."""
    listed = hookd_keys(tmp_path / "typo", "list", "--json")
    assert listed.stdout == ""
    assert listed.stderr == f"hookd: there are no keys in {tmp_path / 'typo' / 'keys.json'}\n"
    assert not (tmp_path / "typo").exists()


def test_keys_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda n: hookd_keys(tmp_path, "create", f"--project=p{n}"), range(4))
    ids = {id_of(done.stdout) for done in made}
    rows = hookd_keys(tmp_path, "list").stdout.splitlines()[1:]
    assert {row.split()[0] for row in rows} == ids
    assert len(ids) == 4


def test_the_data_directory_is_named_as_for_serve(tmp_path: Path) -> None:
    """Also where the other settings would not let it serve: the first key is made before."""
    config = tmp_path / "hookd.toml"
    config.write_text(f'data_dir = "{tmp_path / "there"}"\nlisten = "0.0.0.0:1"\n')
    environment = {**os.environ, "HOOKD_CONFIG": str(config)}
    command = [HOOKD, "keys", "create", "--all-projects", "--role=admin", "--expires=90d"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "there" / "keys.json").exists()


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["create"], 2, "--project or --all-projects: give one of them"),
        (["create", "--project=a", "--all-projects"], 2, "give one of them"),
        (["create", "--all-projects"], 2, "--role=admin"),
        (["create", "--project=a", "--role=root"], 2, "--role: must be one of resume-only"),
        (["create", "--project=a b"], 2, "--project: must be 1 to 64 letters"),
        (["create", "--project="], 2, "--project: must be 1 to 64 letters"),
        (["create", "--project=a", "--name=\x1b[2J"], 2, "--name: must be at most 100"),
        (["create", "--project=a", "--expires=soon"], 2, "--expires: must be a duration"),
        (["create", "--project=a", "--expires=0s"], 2, "--expires: must be longer than 0"),
        (["create", "--project=a", "--expires=99999999999d"], 2, "--expires: "),
        (["revoke", "0123456789ab"], 1, "there is no key '0123456789ab'"),
        (["revoke"], 2, "revoke"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, why: str
) -> None:
    assert cli.main(["keys", *words, f"--data-dir={tmp_path}"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hookd: error: ")
    assert err.count("\n") == 1
    assert why in err
    assert "\x1b" not in err
    assert words[0] == "revoke" or not (tmp_path / "keys.json").exists()
