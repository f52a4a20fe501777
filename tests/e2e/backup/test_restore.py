"""A backup of a quiet daemon is that daemon; and where a restore does not write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hookd.v1.common_pb2 import HOOK_STATUS_HELD, HookSpec
from hookd.v1.stream_service_pb2 import WriteChunksRequest
from hookd_daemon.restore import RestoreError, restore
from hookd_daemon.store.rocks.manifest import Manifest

from tests.e2e.backup.conftest import TAKEN
from tests.e2e.backup.copies import (
    backup,
    hookctl_backup,
    hookd_restore,
    restored,
    unfinished,
)
from tests.support.api import Api, json_payload, refusal, seconds
from tests.support.daemon import Daemon
from tests.support.snapshot import check_whole, snapshot

PROJECTS = ("default", "orders", "mails")


def fill(api: Api) -> None:
    """Something of everything."""
    api.start("work", claims=[HookSpec(token="taken", hook_id="hook")])
    api.resume("taken", '"one"', "payload-1")
    api.resume("taken", '"two"', "payload-2")
    for chunk in range(3):
        api.streams.WriteChunks(
            WriteChunksRequest(
                project=api.project,
                run_id="work",
                position=chunk,
                chunks=[json_payload(str(chunk))],
            )
        )
    api.claim("work", None, "made-by-the-daemon")
    api.claim("work", "given up", "disposed")
    api.dispose("work", "disposed")
    api.start("loser")
    assert refusal(api.claim, "loser", "taken", "lost").reason == "HOOK_CONFLICT"
    api.start("held")
    api.claim("held", "late", "holder", hold_after=seconds(3600))
    api.complete("held", '"done"')
    api.fail(api.start("failed").run.run_id)
    api.cancel(api.start("cancelled").run.run_id, "no more")
    api.start("pending", external=False)


def test_a_restored_daemon_equals_the_original(daemon: Daemon, tmp_path: Path) -> None:
    before = {}
    for project in PROJECTS:
        api = Api(daemon.channel(), project)
        fill(api)
        before[project] = snapshot(api)
    made = hookctl_backup(daemon.address, "quiet")
    assert made.returncode == 0, made.stderr
    # What the original does afterwards is none of the copy's business.
    original = Api(daemon.channel())
    later = [original.claim("work", f"later-{n}").hook.revision for n in range(5)]
    original.complete("work")
    # A backup can be carried elsewhere.
    os.rename(made.stdout.strip(), elsewhere := tmp_path / "elsewhere")

    with restored(elsewhere, tmp_path / "copy") as copy:
        for project in PROJECTS:
            api = Api(copy.channel(), project)
            found = snapshot(api)
            assert found == before[project]
            check_whole(api, found)
            check_goes_on(api, max(later))
        assert "Traceback" not in copy.log
    # They share nothing: what one does changes none of the others.
    assert original.hook("late").status == HOOK_STATUS_HELD
    assert restore(elsewhere, tmp_path / "again").tokens == len(PROJECTS) * 3


def check_goes_on(api: Api, greatest: int) -> None:
    """Retries of before get their first answers; what is new is new everywhere."""
    hook = api.claim("work", "taken", "hook")
    assert hook.already_exists
    again = api.resume("taken", '"two"', "payload-2")
    assert (again.duplicate, again.payload_seq) == (True, 2)
    assert refusal(api.claim, "loser", "taken", "lost").conflict is not None
    assert refusal(api.claim, "loser", "late").conflict is not None
    # The original has given these revisions to others since.
    assert api.claim("loser", "fresh").hook.revision > greatest
    assert api.payloads("work", "hook", 2) == ['"one"', '"two"']
    api.complete("work")
    assert api.claim("loser", "taken").hook.token == "taken"


def test_an_empty_target_is_used(good: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = hookd_restore(good, tmp_path / "empty")
    assert (done.returncode, done.stderr) == (0, "")
    assert f" {TAKEN} tokens taken" in done.stdout
    assert (tmp_path / "empty" / "format").exists()
    assert unfinished(tmp_path) == []


def test_a_target_that_holds_something_is_refused(good: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("1")
    for where, why in (
        (target, "is not empty"),
        (target / "precious", "is not a directory"),
        (good, "is in the backup itself"),
        (good / "new", "is in the backup itself"),
        (Path("/proc"), "is a mount point"),
    ):
        with pytest.raises(RestoreError, match=why):
            restore(good, where)
    done = hookd_restore(good, target)
    assert done.returncode == 1
    assert done.stderr.startswith("hookd: error: ")
    assert "is not empty; name a directory" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in target.iterdir()] == ["precious"]
    # The refusals have not harmed the backup.
    Manifest.read(good).check(good)


def test_the_directory_of_a_daemon_is_no_target_and_no_backup(
    shared_daemon: Daemon, good: Path, tmp_path: Path
) -> None:
    with pytest.raises(RestoreError, match="is not empty"):
        restore(good, shared_daemon.data_dir)
    with pytest.raises(RestoreError, match="is no backup"):
        restore(shared_daemon.data_dir, tmp_path / "new")
    assert Api(shared_daemon.channel()).start().run.run_id


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty directory"])
def test_what_is_no_backup_is_refused(tmp_path: Path, what: str) -> None:
    source = tmp_path / "source"
    if what == "a file":
        source.write_text("1")
    elif what == "an empty directory":
        source.mkdir()
    with pytest.raises(RestoreError, match="is no backup"):
        restore(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("which", ["format", "backup"])
def test_a_backup_of_a_newer_hookd_is_refused(good: Path, tmp_path: Path, which: str) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(good, newer)
    known = Manifest.read(newer).model_copy(update={which: 1000, "hookd": "77.0"})
    known.write(newer)
    with pytest.raises(RestoreError, match=r"1000, and this hookd knows only .*; use that one"):
        restore(newer, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_taken_or_would_be_cleaned_up(shared_daemon: Daemon) -> None:
    api = Api(shared_daemon.channel())
    assert (backup(api, "named") / "manifest.sha256").is_file()
    told = refusal(backup, api, "named")
    assert (told.reason, list(told.fields)) == ("INVALID_ARGUMENT", ["name"])
    assert "there is a backup named already" in told.message
    told = refusal(backup, api, "x.incomplete")
    assert "must not end with" in told.message
    # And one is made from the time when none is given.
    assert backup(api, "").is_dir()
