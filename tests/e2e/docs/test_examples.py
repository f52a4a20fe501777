"""Every example on the pages of the documentation runs, and prints what the page says.

See ``pages`` for what is an example.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf import json_format, symbol_database
from google.protobuf.message_factory import GetMessageClass
from hookd import ambient_client
from hookd.v1.errors_pb2 import ErrorReason
from hookd_daemon.config import load
from hookd_daemon.errors import HookdError

from tests.e2e.docs.pages import KINDS, ROOT, Block, blocks, differs, pages
from tests.support.api import unique
from tests.support.daemon import Daemon

PATIENCE = 60.0
NODE_MODULES = ROOT / "tests" / "node" / "node_modules"
PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_examples_run(
    page: Path, shared_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKD_ADDRESS", shared_daemon.address)
    monkeypatch.setenv("HOOKD_PROJECT", unique("docs"))
    monkeypatch.setenv("HOOKD_URL", f"http://{shared_daemon.http}")
    monkeypatch.delenv("HOOKD_API_KEY", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NODE_PATH", str(NODE_MODULES))
    monkeypatch.setenv("TZ", "UTC")
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    known = set(sys.modules)
    with contextlib.ExitStack() as page_ends:
        page_ends.callback(_forget_modules, folder, known)
        for block in blocks(page):
            match block.kind:
                case "python" if block.option:
                    (folder / block.option).write_text(block.text)
                case "python":
                    _compare(block, _run_python(block))
                case "js":
                    _compare(block, _run_program(block, ["node", "-"]))
                case "console":
                    _run_console(block, folder)
                case "toml":
                    _load(block, folder)
                case "sh":
                    _check_shell(block)
                    for words in _workers(block):
                        page_ends.enter_context(_working(words, folder))
                case kind:
                    assert kind in KINDS, f"{block.where}: a block of what kind? ({kind})"


def _forget_modules(folder: Path, known: set[str]) -> None:
    """Takes the files of a page out of what is imported: other pages use the same names."""
    for name in set(sys.modules) - known:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(f"{folder}{os.sep}"):
            del sys.modules[name]


def _workers(block: Block) -> list[list[str]]:
    commands = (shlex.split(line, comments=True) for line in block.text.splitlines())
    return [words for words in commands if words[:2] == ["hookctl", "worker"]]


@contextlib.contextmanager
def _working(words: list[str], folder: Path) -> Iterator[None]:
    """Runs a worker, which must end well when it is asked to."""
    log = folder.parent / "worker.log"
    with (
        log.open("ab") as output,
        subprocess.Popen(words, cwd=folder, stdout=output, stderr=output) as worker,
    ):
        try:
            yield
            worker.terminate()
            assert worker.wait(PATIENCE) == 0, log.read_text()
        finally:
            worker.kill()


def _compare(block: Block, printed: str) -> None:
    if block.expected is None:
        assert not printed, f"{block.where}: the page does not say that it prints\n{printed}"
        return
    unordered = block.expected.option == "unordered"
    difference = differs(block.expected.text, printed, unordered=unordered)
    assert difference is None, f"{block.expected.where}: {difference}"


def _run_python(block: Block) -> str:
    code = compile(
        "\n" * block.line + block.text,
        str(block.page),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    names: dict[str, object] = {"__name__": "__main__"}

    async def run() -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await eval(code, names)
        finally:
            await ambient_client().close()

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(run())
        else:
            exec(code, names)
    return printed.getvalue()


def _run_program(block: Block, words: list[str], environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        words,
        input=block.text,
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{block.where}: {done.stdout}{done.stderr}"
    return done.stdout


def _run_console(block: Block, folder: Path) -> None:
    """Runs the commands of a block in one shell, and compares what each prints."""
    commands: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        elif line.startswith("> "):
            command, expected = commands.pop()
            commands.append((f"{command}\n{line[2:]}", expected))
        else:
            commands[-1][1].append(line)
    mark = "-- the next command --"
    script = f"\necho; echo '{mark}'\n".join(command for command, _ in commands)
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}\necho; echo '{mark}'"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    outputs = done.stdout.split(f"\n{mark}\n")
    assert len(outputs) == len(commands) + 1, f"{block.where}: {done.stdout}"
    for (command, expected), printed in zip(commands, outputs, strict=False):
        difference = differs("\n".join(expected), printed.rstrip("\n"))
        assert difference is None, f"{block.where}: $ {command}\n{difference}"


def _load(block: Block, folder: Path) -> None:
    file = folder / "hookd.toml"
    file.write_text(block.text)
    load(environ={}, config=file)


def _check_shell(block: Block) -> None:
    """Checks what can be checked without running it: make targets, calls of grpcurl."""
    makefile = (ROOT / "Makefile").read_text()
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"]:
            target = words[-1]
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{block.where}: {line}"
        if words[:1] == ["grpcurl"] and "-d" in words:
            service, _, method = words[-1].partition("/")
            found = symbol_database.Default().pool.FindServiceByName(service)
            request = GetMessageClass(found.methods_by_name[method].input_type)()
            json_format.Parse(words[words.index("-d") + 1], request)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.relative_to(ROOT)}: there is no {target}"
        if anchor:
            assert anchor in _anchors(file), f"{page.relative_to(ROOT)}: there is no {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def _kinds_of(error: type[HookdError]) -> list[type[HookdError]]:
    return [kind for sub in error.__subclasses__() for kind in (sub, *_kinds_of(sub))]


@pytest.mark.parametrize("error", _kinds_of(HookdError), ids=lambda error: error.reason)
def test_a_page_says_what_is_on_the_wire(error: type[HookdError]) -> None:
    page = (ROOT / error.page()).read_text()
    assert f"| gRPC status | `{error.code.name}` |" in page
    assert f"reason `{error.reason}` |" in page
    assert f"`{error.code.name}`" in _index_row(error.reason)


def _index_row(reason: str) -> str:
    index = (ROOT / "docs" / "errors" / "README.md").read_text()
    (row,) = (line for line in index.splitlines() if line.startswith(f"| [{reason}]"))
    return row


def test_every_reason_has_its_page() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in dict(ErrorReason.items())}
    names = {f"{r.lower().replace('_', '-')}.md" for r in reasons - {"UNSPECIFIED"}}
    folder = ROOT / "docs" / "errors"
    assert {page.name for page in folder.glob("*.md")} == names | {"README.md"}
    index = (folder / "README.md").read_text()
    for name in names:
        assert f"({name})" in index
        assert (folder / name).read_text().startswith(f"# {name[:-3].upper().replace('-', '_')}\n")
