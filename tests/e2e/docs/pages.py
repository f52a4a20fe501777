"""The pages of the documentation, and the blocks of code in them.

What a block is follows from the word after its fence:

``python``   a program. ``await`` may stand outside of functions, as it may in
             ``python -m asyncio``. It is run with HOOKD_ADDRESS and
             HOOKD_PROJECT set, and HOOKD_URL to that of the HTTP port. With the
             name of a file behind it, it is not run but written to the folder of
             the page, for what follows.
``js``       the same for Node, with ``@grpc/grpc-js`` and
             ``@grpc/proto-loader`` at hand, in the top directory.
``console``  lines after ``$`` are run by bash, all of a block in one shell
             in the folder of the page; the lines below each are what it prints.
``output``   what the ``python`` or ``js`` block right above prints. With
             ``unordered`` behind it, the lines may come in any order.
``toml``     a configuration of the daemon; it is loaded.
``sh``       what is typed to install or to start something. Not run, but the
             ``make`` targets must be there. Only ``hookctl worker`` is started,
             in the folder of the page, and works until the page ends.
``text``     shown, not run: what hookd says, as an example of its form.

In expected output ``…`` stands for anything within a line. The blocks of a
page are run in their order, in a project of the page's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
KINDS = {"python", "js", "console", "output", "toml", "sh", "text"}

_FENCE = re.compile(r"^```(.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code of a page.

    Attributes:
        page: the file.
        line: the line of its first fence.
        kind: the first word after the fence.
        option: what stands after that.
        text: the code.
        expected: the ``output`` block right below; None if there is none.
    """

    page: Path
    line: int
    kind: str
    option: str
    text: str
    expected: Block | None = None

    @property
    def where(self) -> str:
        """The place, as editors jump to it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """All pages of the documentation."""
    others = [ROOT / "clients" / "python" / "README.md", ROOT / "examples" / "README.md"]
    return [ROOT / "README.md", *others, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, those with their outputs in one."""
    found: list[Block] = []
    last_end = -2
    for block, end, blank in _fenced(page):
        if block.kind == "output":
            above = found[-1] if found else None
            if above is None or above.kind not in ("python", "js") or last_end + blank + 1 != end:
                raise ValueError(f"{block.where}: this output belongs to no block")
            found[-1] = Block(above.page, above.line, above.kind, above.option, above.text, block)
        else:
            found.append(block)
        last_end = block.line + block.text.count("\n") + 1
    return found


def _fenced(page: Path) -> Iterator[tuple[Block, int, int]]:
    """The blocks, each with the line of its fence, and how many blank lines are above it."""
    start: tuple[int, str] | None = None
    lines: list[str] = []
    blank = start_blank = 0
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if start is None and fence:
            start, lines, start_blank = (number, fence[1].strip()), [], blank
        elif start is not None and fence:
            kind, _, option = start[1].partition(" ")
            text = "".join(f"{line}\n" for line in lines)
            yield Block(page, start[0], kind, option, text), start[0], start_blank
            start = None
        elif start is not None:
            lines.append(line)
        blank = blank + 1 if not line.strip() else 0
    if start is not None:
        raise ValueError(f"{page}:{start[0]}: this block has no end")


def differs(expected: str, printed: str, *, unordered: bool = False) -> str | None:
    """Compares what was printed with what a page says; gives the first difference."""
    want, got = expected.splitlines(), [line.rstrip() for line in printed.splitlines()]
    if unordered:
        for line in want:
            match = next((g for g in got if _matches(line, g)), None)
            if match is None:
                return f"nothing like this was printed: {line}"
            got.remove(match)
        return f"this was printed, too: {got[0]}" if got else None
    for line, printed_line in zip(want, got, strict=False):
        if not _matches(line, printed_line):
            return f"expected: {line}\n printed: {printed_line}"
    if len(want) != len(got):
        return f"expected {len(want)} lines, printed were {len(got)}:\n{printed}"
    return None


def _matches(pattern: str, line: str) -> bool:
    parts = (re.escape(part) for part in pattern.rstrip().split("…"))
    return re.fullmatch(".*".join(parts), line) is not None
