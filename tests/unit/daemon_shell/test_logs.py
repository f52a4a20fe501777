from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hookd_daemon import logs
from hookd_daemon.config import Settings
from opentelemetry.sdk.trace import TracerProvider


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def fail() -> None:
    raise RuntimeError("broken")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    logs.get_logger("hookd_daemon.some.module").info("run ended", run_id="r\n1", count=3)
    (line,) = lines(capsys)
    assert list(line)[:3] == ["time", "level", "event"]
    time = datetime.fromisoformat(line.pop("time"))
    assert time.tzinfo == UTC
    assert line == {
        "level": "info",
        "event": "run ended",
        "logger": "hookd_daemon.some.module",
        "run_id": "r\n1",
        "count": 3,
    }


def test_the_level_counts_for_us_and_for_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json", log_level="warning"))
    log = logs.get_logger("x")
    log.info("no")
    log.warning("yes")
    logging.getLogger("some.library").info("no")
    logging.getLogger("some.library").error("also %s", "yes")
    assert [line["event"] for line in lines(capsys)] == ["yes", "also yes"]


def test_libraries_log_in_the_same_format(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    logging.getLogger("uvicorn.error").info("too chatty")
    logging.getLogger("uvicorn.error").warning("something")
    logging.getLogger("grpc._server").error("else")
    found = [(line["logger"], line["level"], line["event"]) for line in lines(capsys)]
    assert found == [("uvicorn.error", "warning", "something"), ("grpc._server", "error", "else")]


def test_exceptions_are_part_of_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    try:
        fail()
    except RuntimeError:
        logs.get_logger("x").exception("failed")
        logging.getLogger("library").exception("failed too")
    ours, theirs = lines(capsys)
    assert "RuntimeError: broken" in ours["exception"]
    assert "RuntimeError: broken" in theirs["exception"]


def test_context_and_current_span_are_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    with structlog.contextvars.bound_contextvars(method="m"), tracer.start_as_current_span("s"):
        logs.get_logger("x").info("e")
    (line,) = lines(capsys)
    assert line["method"] == "m"
    assert len(line["trace_id"]) == 32
    assert len(line["span_id"]) == 16


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="console"))
    try:
        fail()
    except RuntimeError:
        logs.get_logger("x").exception("run failed", run_id="a\x1b[2J", hook_id="b\nc", count=1)
    err = capsys.readouterr().err
    assert "run failed" in err
    assert "count=1" in err
    assert "RuntimeError: broken" in err
    assert "\x1b[2J" not in err
    assert "run_id=a\\x1b[2J" in err
    assert "hook_id=b\\nc" in err


def test_configuring_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    logs.configure(Settings(log_format="json"))
    logging.getLogger("x").warning("once")
    assert len(lines(capsys)) == 1


def test_token_hash() -> None:
    value = logs.token_hash("default", "payment-42")
    assert value == "2b797f576cea"
    assert logs.token_hash("default", b"payment-42") == value
    assert logs.token_hash("other", "payment-42") != value
    # The project's end is marked: "a" + "bc" is not "ab" + "c".
    assert logs.token_hash("a", "bc") != logs.token_hash("ab", "c")
    assert len(logs.token_hash("default", "\ud800")) == 12


def test_raw_tokens_are_logged_only_when_that_is_on() -> None:
    logs.configure(Settings(log_format="json"))
    assert logs.token_field("p", "secret") == {"token_hash": logs.token_hash("p", "secret")}
    logs.configure(Settings(log_format="json", log_tokens=True))
    assert logs.token_field("p", b"secret\xff") == {
        "token_hash": logs.token_hash("p", b"secret\xff"),
        "token": "secret\\xff",
    }
