"""Every planted bug can still be planted; that each is noticed, ``make test-mutants`` sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.patches import PatchError, patched, read_patch

ROOT = Path(__file__).parents[3]
PATCHES = sorted((ROOT / "tests" / "mutants").glob("*.patch"))

PATCH = """\
# Tests: tests/a.py
# Bug: Two is three.
--- a/code.py
+++ b/code.py
@@ -10,3 +10,3 @@
 one = 1
-two = 2
+two = 3

"""


def test_there_are_planted_bugs() -> None:
    assert len(PATCHES) >= 8


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_it_applies_and_its_tests_are_there(path: Path) -> None:
    patch = read_patch(path)
    for file, text in patched(patch, ROOT).items():
        assert text != file.read_text()
    for test in patch.tests:
        name, *parts = test.split("::")
        text = (ROOT / name).read_text()
        for part in parts:
            assert f" {part.split('[')[0]}" in text, f"{name} has no {part}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "bug.patch").write_text(PATCH)
    (tmp_path / "code.py").write_text("zero = 0\none = 1\ntwo = 2\n\nthree = 3\n")
    return tmp_path


def test_a_hunk_is_put_where_its_lines_stand(tree: Path) -> None:
    patch = read_patch(tree / "bug.patch")
    assert (patch.name, patch.tests, patch.bug) == ("bug", ["tests/a.py"], "Two is three.")
    assert not patch.is_native
    text = patched(patch, tree)[tree / "code.py"]
    assert text == "zero = 0\none = 1\ntwo = 3\n\nthree = 3\n"
    assert "two = 2" in (tree / "code.py").read_text(), "it is only said what would be"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("one = 1\ntwo = 4\n\n", "are not there any more"),
        ("one = 1\ntwo = 2\n\n" * 2, "are there 2 times"),
        ("if True:\n  one = 1\none = 1\ntwo = 2\n\n if\n", "is no Python any more"),
        (None, "there is no code.py any more"),
    ],
    ids=["changed", "twice", "broken", "gone"],
)
def test_a_patch_that_does_not_fit_says_why(tree: Path, code: str | None, said: str) -> None:
    if code is None:
        (tree / "code.py").unlink()
    else:
        (tree / "code.py").write_text(code)
    with pytest.raises(PatchError, match=said):
        patched(read_patch(tree / "bug.patch"), tree)


@pytest.mark.parametrize(
    "text",
    [PATCH.replace("# Tests", "# Test"), PATCH.replace("# Bug", "# Bag"), "", PATCH[:-2]],
    ids=["no tests", "no bug", "empty", "cut"],
)
def test_a_patch_that_cannot_be_read_says_why(tree: Path, text: str) -> None:
    (tree / "bug.patch").write_text(text)
    with pytest.raises(PatchError, match=r"bug\.patch"):
        read_patch(tree / "bug.patch")
