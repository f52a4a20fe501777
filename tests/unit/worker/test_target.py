"""What ``hookctl worker`` is told to serve, and what it says when that cannot be."""

import sys
import types
from pathlib import Path

import pytest
from hookd.cli.app import run
from hookd.cli.target import load
from hookd.errors import InvalidArgumentError
from hookd.worker import Worker
from hookd.worker.worker import worker_for

SHOP = """
from hookd.workflows.definition import step, workflow
from hookd.worker import Worker

@workflow
async def buy(): ...

@step
def charge(): ...

both = [buy, charge]
serving = Worker(both, name="mine", max_turns=3, max_steps=5)
nothing = 42

class inner:
    only = charge
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A directory with modules of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    write("shop_app.py", SHOP)
    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_modules_and_what_is_in_them(shop):
    module = load("shop_app")
    assert isinstance(module, types.ModuleType)
    assert load("shop_app:both") is module.both
    assert load("shop_app:inner.only") is module.charge
    shop("pack/__init__.py", "")
    shop("pack/app.py", SHOP)
    assert load("pack.app").__name__ == "pack.app"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("lost_module", "there is no module lost_module in "),
        ("shop_app.lost", "there is no module shop_app.lost in "),
        ("lost.app", "there is no module lost in "),
        ("shop_app:lost", 'the module shop_app has no attribute "lost"'),
        ("shop_app.py", "such as shop.workflows, not 'shop_app.py'"),
        ("./shop_app", "must begin with the name of a module"),
        (":both", "must begin with the name of a module"),
        ("shop_app:nothing", "not int"),
        ("shop_app:inner", "not the type inner"),
        ("empty_app", "no @workflow and no @step in the module empty_app"),
        ("broken_app", "the module broken_app cannot be imported: ZeroDivisionError"),
        ("needy_app", "cannot be imported: ModuleNotFoundError: No module named 'lost_library'"),
        ("typo_app", "cannot be imported: SyntaxError"),
    ],
)
def test_targets_that_cannot_be_served(shop, capsys, target, says):
    shop("empty_app.py", "")
    shop("broken_app.py", "def f():\n    return 1 / 0\n\nf()\n")
    shop("needy_app.py", "import lost_library\n")
    shop("typo_app.py", "def :\n")
    code = run(["worker", target])
    out, err = capsys.readouterr()
    assert (int(code), out) == (2, "")
    assert says in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("hookctl: ")


def test_where_a_module_fails_is_shown(shop, capsys):
    shop("broken_app.py", "def f():\n    return 1 / 0\n\nf()\n")
    run(["worker", "broken_app"])
    _, err = capsys.readouterr()
    assert "in f\n    return 1 / 0" in err
    assert "importlib" not in err
    assert "target.py" not in err


async def test_a_worker_keeps_its_settings_unless_told_otherwise(shop):
    found = load("shop_app:serving")
    kept = worker_for(found, None, {})
    assert (kept.name, kept._settings.max_turns, kept._settings.max_steps) == ("mine", 3, 5)
    told = worker_for(found, None, {"max_turns": 1, "name": "other"})
    assert (told.name, told._settings.max_turns, told._settings.max_steps) == ("other", 1, 5)
    made = worker_for(load("shop_app"), None, {"max_steps": 2})
    assert isinstance(made, Worker)
    assert made._settings.max_steps == 2
    with pytest.raises(InvalidArgumentError):
        worker_for(found, None, {"max_turns": 0})
