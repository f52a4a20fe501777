"""``hookd secrets``: names are shown, values never, and files are for their owner alone."""

from __future__ import annotations

import io
import json
import stat
import subprocess
from pathlib import Path

import pytest
from hookd_daemon import cli

from tests.support.daemon import HOOKD


def hookd(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command of ``hookd secrets``."""
    return subprocess.run(
        [HOOKD, "secrets", *words], input=given, text=True, capture_output=True, check=False
    )


def test_a_secret_is_set_listed_and_removed(tmp_path: Path) -> None:
    where = f"--data-dir={tmp_path / 'data'}"
    done = hookd("set", "github", "--project=shop", where, given="old one\n\n  new one \n")
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 secrets" in done.stderr
    assert "one" not in done.stderr.replace("of which each counts", "")
    file = tmp_path / "data" / "secrets" / "shop" / "github"
    assert file.read_bytes() == b"old one\nnew one\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (file.parent, file.parent.parent, tmp_path / "data"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert hookd("set", "github", where, given="x").returncode == 0
    listed = hookd("list", "--json", where)
    assert [json.loads(line) for line in listed.stdout.splitlines()] == [
        {"project": "default", "name": "github"},
        {"project": "shop", "name": "github"},
    ]
    assert "shop     github" in hookd("list", where).stdout
    assert hookd("remove", "github", "--project=shop", where).returncode == 0
    assert not file.exists()
    again = hookd("remove", "github", "--project=shop", where)
    assert (again.returncode, "there is no secret" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        (["../keys"], "x", "name of a secret"),
        (["."], "x", "name of a secret"),
        (["a/b"], "x", "name of a secret"),
        (["s", "--project=.."], "x", "project of a secret"),
        (["s"], "", "is empty"),
        (["s"], " \n\n", "is empty"),
        (["s"], "x\n" * 17, "at most 16"),
        (["s"], "x" * 65_537, "at most 65536 bytes"),
    ],
)
def test_what_is_no_secret(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    given: str,
    message: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    assert cli.main(["secrets", "set", *words, f"--secrets-dir={tmp_path / 's'}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("hookd: error: ")
    assert message in said
    assert not (tmp_path / "s").exists()


def test_the_directory_is_found_as_the_daemon_finds_it(tmp_path: Path) -> None:
    config = tmp_path / "hookd.toml"
    config.write_text(f"secrets_dir = '{tmp_path / 'from-file'}'\n")
    assert hookd("set", "s", f"--config={config}", given="x").returncode == 0
    assert (tmp_path / "from-file" / "default" / "s").exists()
    assert hookd("list", f"--secrets-dir={tmp_path / 'none'}").stdout == "PROJECT  NAME\n"


def test_a_secret_is_never_an_argument() -> None:
    done = hookd("set", "name", "value")
    assert done.returncode == 2
