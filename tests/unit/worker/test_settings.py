"""The settings of a worker, its name in logs, and its errors there."""

import os
from datetime import timedelta

import pytest
from hookd.errors import InvalidArgumentError
from hookd.worker.settings import settings
from hookd.worker.words import in_words, said

GOOD = {
    "name": "w",
    "max_turns": 1,
    "max_steps": 1,
    "max_cached_runs": 0,
    "turn_timeout": 1,
    "step_grace": 0,
}


def test_settings():
    found = settings(**{**GOOD, "turn_timeout": timedelta(minutes=1), "step_grace": "5s"})
    assert (found.turn_timeout, found.step_grace) == (60.0, 5.0)
    assert found.name == "w"
    assert settings(**{**GOOD, "name": None}).name.endswith(f":{os.getpid()}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "ä" * 200),
        ("max_turns", 0),
        ("max_turns", 1.5),
        ("max_steps", -1),
        ("max_steps", 10_001),
        ("max_cached_runs", -1),
        ("max_cached_runs", True),
        ("turn_timeout", 0),
        ("turn_timeout", "soon"),
        ("step_grace", -1),
    ],
)
def test_settings_out_of_range(field, value):
    with pytest.raises(InvalidArgumentError) as caught:
        settings(**{**GOOD, field: value})
    assert caught.value.violations[0].field == field


def test_errors_in_one_line():
    assert in_words(ValueError("two\nlines")) == "ValueError: two lines"
    assert in_words(ValueError()) == "ValueError"
    assert len(said("E", "x" * 10_000)) < 600

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert in_words(Mute()) == "Mute"
