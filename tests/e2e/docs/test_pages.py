"""The reading of the pages, which the tests of the examples rest on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.docs import pages
from tests.e2e.docs.pages import blocks, differs


def _page(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pages, "ROOT", folder)
    page = folder / "page.md"
    page.write_text(text)
    return page


def test_an_output_belongs_to_the_block_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "# A\n\n```python\nprint(1)\n```\n\n```output unordered\n1\n```\n\n```text\nx\n```\n"
    code, shown = blocks(_page(tmp_path, text, monkeypatch))
    assert (code.kind, code.text, code.where) == ("python", "print(1)\n", "page.md:3")
    assert code.expected is not None
    assert (code.expected.text, code.expected.option) == ("1\n", "unordered")
    assert (shown.kind, shown.expected) == ("text", None)


@pytest.mark.parametrize(
    "text",
    [
        "```output\n1\n```\n",
        "```python\nprint(1)\n```\n\nand then\n\n```output\n1\n```\n",
        "```text\n1\n```\n```output\n1\n```\n",
    ],
    ids=["nothing above", "words between", "above is no code"],
)
def test_an_output_without_its_block_is_refused(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="belongs to no block"):
        blocks(_page(tmp_path, text, monkeypatch))


def test_a_block_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="has no end"):
        blocks(_page(tmp_path, "```python\nprint(1)\n", monkeypatch))


@pytest.mark.parametrize(
    ("expected", "printed", "unordered", "same"),
    [
        ("a\nb\n", "a\nb\n", False, True),
        ("a\nb\n", "b\na\n", False, False),
        ("a\nb\n", "b\na\n", True, True),
        ("a\n", "a\na\n", False, False),
        ("a\n", "a\na\n", True, False),
        ("a\na\n", "a\n", True, False),
        ("run_… ended\n", "run_12 ended\n", False, True),
        ("run_… ended\n", "run_12 began\n", False, False),
        ("a.c\n", "abc\n", False, False),
        ("a\n", "", False, False),
    ],
)
def test_differs(expected: str, printed: str, unordered: bool, same: bool) -> None:
    assert (differs(expected, printed, unordered=unordered) is None) is same
