"""The fixtures, as pytest finds them in a project that has hookd-daemon installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

USES_IT = """
    async def test_first(hookd):
        await hookd.client.start("order", run_id="run-1")
        assert await hookd.client.get_run("run-1").status() == "pending"
        await hookd.skip("1d")

    async def test_second(hookd):
        assert [run async for run in hookd.client.list_runs()] == []
"""


def run_pytest(folder: Path, tests: str, *options: str) -> str:
    (folder / "test_it.py").write_text(dedent(tests))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_with_pytest_asyncio(mode: str, tmp_path: Path) -> None:
    tests = dedent(USES_IT)
    if mode == "strict":
        tests = "import pytest\npytestmark = pytest.mark.asyncio\n" + tests
    options = [f"asyncio_mode={mode}", "asyncio_default_fixture_loop_scope=function"]
    printed = run_pytest(tmp_path, tests, *(word for o in options for word in ("-o", o)))
    assert "2 passed" in printed


@pytest.mark.parametrize("options", [[], ["-p", "no:asyncio"]], ids=["both", "alone"])
def test_with_anyio(options: list[str], tmp_path: Path) -> None:
    tests = """
        import pytest

        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
    """
    if not options:
        options = ["-o", "asyncio_default_fixture_loop_scope=function"]
    assert "2 passed" in run_pytest(tmp_path, dedent(tests) + dedent(USES_IT), *options)


def test_settings_are_chosen_by_a_fixture(tmp_path: Path) -> None:
    tests = """
        import pytest
        from hookd import InvalidArgumentError

        @pytest.fixture
        def hookd_settings():
            return {"max_token_bytes": 4}

        async def test_it(hookd):
            async with hookd.client.open_run("order") as run:
                with pytest.raises(InvalidArgumentError):
                    await run.create_hook(token="12345")
    """
    options = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function"]
    printed = run_pytest(tmp_path, tests, *(word for o in options for word in ("-o", o)))
    assert "1 passed" in printed


def test_who_does_not_use_it_does_not_load_it(tmp_path: Path) -> None:
    tests = """
        import sys

        def test_it():
            loaded = {"grpc", "rocksdict", "hookd", "hookd_daemon.testing"} & set(sys.modules)
            assert "hookd_daemon.pytest_plugin" in sys.modules
            assert not loaded
    """
    options = ["-o", "asyncio_default_fixture_loop_scope=function"]
    assert "1 passed" in run_pytest(tmp_path, tests, *options)


def test_another_loop_scope_is_explained(tmp_path: Path) -> None:
    tests = """
        import pytest

        @pytest.mark.asyncio(loop_scope="module")
        async def test_it(hookd):
            with pytest.raises(RuntimeError, match="loop scope"):
                await hookd.skip("1d")
    """
    options = ["-o", "asyncio_default_fixture_loop_scope=function"]
    assert "1 passed" in run_pytest(tmp_path, tests, *options)
