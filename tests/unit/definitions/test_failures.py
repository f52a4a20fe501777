"""Exceptions from a step to its workflow."""

import asyncio
import dataclasses
import datetime
import decimal
import sys
import traceback
import types
import uuid

import hookd
import pydantic
import pytest
from google.protobuf import json_format
from hookd import HookStatus, RunStatus
from hookd.payload import decode, encode
from hookd.v1 import common_pb2
from hookd.workflows.errors import (
    FatalError,
    HookPayloadError,
    NonDeterminismError,
    OutsideWorkflowError,
    RetryableError,
    StepFailedError,
    WorkflowRuleError,
)
from hookd.workflows.facts import UnknownFactError, pack, unpack
from hookd.workflows.failures import from_failure, to_failure
from hypothesis import given, settings
from hypothesis import strategies as st

THEN = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


class Declined(Exception):
    """Its constructor takes other things than its text."""

    def __init__(self, code: int, *, when: datetime.datetime) -> None:
        super().__init__(f"declined with {code}")
        self.code = code
        self.when = when
        made.append(code)


class Refused(Declined):
    def __str__(self) -> str:
        return f"{self.code} at {self.when:%Y}"


class Broken(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(5, "broken", path)
        self.path = path


class Slotted(Exception):
    __slots__ = ("extra",)


class Outer:
    class Inner(Exception):
        pass


class New(Exception):
    def __new__(cls, one, *, two):
        return super().__new__(cls, one)

    def __init__(self, one, *, two):
        super().__init__(one)
        self.two = two


made: list[int] = []


def raised(error):
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def carried(error):
    """Gives an exception as it arrives in the workflow, over the wire."""
    failure = to_failure(raised(error))
    wire = common_pb2.Failure.FromString(failure.SerializeToString())
    return from_failure(wire, step_name="charge", attempt=4)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        ValueError(),
        ValueError(1, "two", [3.5], None),
        KeyError("missing"),
        OSError(2, "No such file", "/tmp/x"),
        FileNotFoundError(2, "No such file", "/tmp/x"),
        ConnectionResetError("reset"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        SyntaxError("bad", ("file.py", 1, 2, "x = ", 1, 3)),
        ImportError("no", name="module", path="/x"),
        ZeroDivisionError("division by zero"),
        RecursionError("too deep"),
        TimeoutError("late"),
        LookupError({"a": (1, 2)}, {1, 2}, decimal.Decimal("1.10"), uuid.UUID(int=1), b"\xff"),
        Declined(51, when=THEN),
        Refused(51, when=THEN),
        Broken("/dev/x"),
        Outer.Inner("x"),
        New("x", two=5),
        FatalError("never"),
        RetryableError("later", retry_after="1m"),
        RetryableError("later", retry_after=THEN),
        hookd.HookConflictError(
            "tok\0en", "r", run_status=RunStatus.COMPLETED, workflow="w", claimed_at=THEN
        ),
        hookd.HookNotFoundError("t"),
        hookd.RunNotActiveError("r", RunStatus.FAILED),
        hookd.HookClosedError("r", "h", HookStatus.CLOSED, RunStatus.CANCELLED),
        hookd.RunFailedError("ValueError", "bad", {"a": 1}, run_id="r"),
        hookd.RunCancelledError("why", run_id="r"),
        hookd.DeadlineExceededError("late"),
        hookd.LimitExceededError("much", metadata={"limit": "streams"}),
        hookd.InvalidArgumentError.of("field", "is wrong"),
        hookd.HookdError("x", reason="SOMETHING", metadata={"a": "b"}),
        StepFailedError("inner", "ValueError", "bad", attempt=2, remote_traceback="there"),
        HookPayloadError("token", {"a": [1]}, "is wrong"),
        WorkflowRuleError("no", call="time.time()", hint="use hookd.now()"),
        NonDeterminismError("no"),
        OutsideWorkflowError("no"),
    ],
)
def test_the_same_exception_arrives(error):
    made.clear()
    again = carried(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
    for name in (
        "errno",
        "strerror",
        "filename",
        "reason",
        "start",
        "lineno",
        "text",
        "name",
        "path",
    ):
        assert getattr(again, name, None) == getattr(error, name, None)
    # Made without its own constructor.
    assert made == []
    cause = again.__cause__
    assert type(cause) is StepFailedError
    assert (cause.step_name, cause.type, cause.message, cause.attempt) == (
        "charge", type(error).__name__, str(error), 4,
    )  # fmt: skip
    assert "in raised\n    raise error\n" in cause.remote_traceback


def test_what_a_failure_says():
    failure = to_failure(raised(Declined(51, when=THEN)))
    assert (failure.type, failure.message) == ("Declined", "declined with 51")
    details = decode(failure.details)
    trace = details.pop("traceback")
    assert details == {
        "module": __name__,
        "qualname": "Declined",
        "args": ["declined with 51"],
        "fields": {"code": 51, "when": {"$": "datetime", "v": "2026-01-02T00:00:00+00:00"}},
    }
    assert trace.startswith("Traceback (most recent call last):\n")
    assert trace.endswith("Declined: declined with 51\n")
    conflict = decode(to_failure(hookd.HookConflictError("t", "r")).details)
    assert conflict["reason"] == "HOOK_CONFLICT"


def test_notes_arrive():
    error = ValueError("bad")
    error.add_note("order 42")
    assert carried(error).__notes__ == ["order 42"]


def test_fields_that_cannot_be_carried_are_left_out():
    error = ValueError("bad")
    error.response, error.status = object(), 404
    again = carried(error)
    assert type(again) is ValueError
    assert vars(again) == {"status": 404}


def test_args_that_cannot_be_carried_leave_the_text():
    class Odd:
        def __str__(self):
            return "odd"

    error = LookupError(Odd())
    again = carried(error)
    assert type(again) is LookupError
    assert (str(again), again.args) == ("odd", ("odd",))


# When it cannot be the same


class WithLocalState(Exception):
    def __str__(self) -> str:
        return f"state {id(self)}"


def local_class():
    class Local(Exception):
        pass

    return Local


def not_valid():
    try:
        pydantic.TypeAdapter(int).validate_python("x")
    except pydantic.ValidationError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "error",
    [
        local_class()("x"),
        WithLocalState(),
        not_valid(),
        ExceptionGroup("several", [ValueError("x")]),
        StopIteration(5),
        StopAsyncIteration(),
        asyncio.CancelledError("gone"),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
    ],
)
def test_otherwise_step_failed_arrives(error):
    again = carried(error)
    assert type(again) is StepFailedError
    assert (again.step_name, again.type, again.message, again.attempt) == (
        "charge", type(error).__name__, str(error), 4,
    )  # fmt: skip
    assert again.__cause__ is None
    said = f": {error}" if str(error) else ""
    assert str(again) == f"Step charge failed (attempt 4): {type(error).__name__}{said}"
    assert "raise error" in again.remote_traceback


def test_a_step_failed_of_another_program():
    for details in (None, 5, "text", [1], {}, {"module": 1}, {"module": "builtins"}):
        failure = common_pb2.Failure(type="TypeError", message="x is not a function")
        if details is not None:
            failure.details.CopyFrom(encode(details, "details"))
        again = from_failure(failure, step_name="charge", attempt=1)
        assert type(again) is StepFailedError
        assert again.message == "x is not a function"


def forged(module, qualname, args=(), fields=None, message=""):
    failure = common_pb2.Failure(type="X", message=message)
    details = {"module": module, "qualname": qualname, "args": list(args), "fields": fields or {}}
    failure.details.CopyFrom(encode(details, "details"))
    return from_failure(failure, step_name="s", attempt=1)


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        ("os", "system"),
        ("subprocess", "Popen"),
        ("builtins", "print"),
        ("builtins", "object"),
        ("builtins", "BaseException"),
        ("builtins", "KeyboardInterrupt"),
        ("builtins", "NoSuchError"),
        ("builtins", ""),
        ("", "ValueError"),
        (__name__, "Outer"),
        (__name__, "Outer.Inner.args"),
        (__name__, "made"),
        (__name__, "test_notes_arrive.<locals>.X"),
    ],
)
def test_only_exceptions_are_made(module, qualname):
    assert type(forged(module, qualname, ["echo"])) is StepFailedError


def test_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "hookd_test_errors.py").write_text("class Hidden(Exception): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert type(forged("hookd_test_errors", "Hidden")) is StepFailedError
    assert "hookd_test_errors" not in sys.modules

    asked = []
    lazy = types.ModuleType("hookd_test_lazy")
    lazy.__getattr__ = asked.append
    monkeypatch.setitem(sys.modules, "hookd_test_lazy", lazy)
    assert type(forged("hookd_test_lazy", "Hidden")) is StepFailedError
    assert asked == []

    import hookd_test_errors

    assert type(forged("hookd_test_errors", "Hidden")) is hookd_test_errors.Hidden
    del sys.modules["hookd_test_errors"]


@pytest.mark.parametrize(
    "args",
    [
        [{"$": "nothing", "v": 1}],
        [{"$": "datetime", "v": "x"}],
        [{"$": "datetime"}],
        [{"$": ["list"], "v": 1}],
        [{"$": "enum", "v": ["os", "system", "echo"]}],
        [{"$": "enum", "v": [__name__, "Declined", 1]}],
        [{"$": "enum", "v": 5}],
    ],
)
def test_what_is_no_fact_is_no_exception(args):
    assert type(forged("builtins", "ValueError", args)) is StepFailedError


def test_another_text_is_another_exception():
    assert type(forged("builtins", "ValueError", ["a"], message="b")) is StepFailedError
    assert type(forged("builtins", "ValueError", ["a"], message="a")) is ValueError


# It never raises


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Hostile(Exception):
    def __getattribute__(self, name):
        if name in ("__dict__", "args"):
            raise RuntimeError("no")
        return super().__getattribute__(name)


def test_exceptions_that_misbehave():
    class Items(dict):
        def items(self):
            raise RuntimeError("no")

    failure = to_failure(raised(Unprintable("x")))
    assert failure.message == "(its text cannot be shown: RuntimeError)"
    assert type(from_failure(failure, step_name="s", attempt=1)) is Unprintable
    assert to_failure(raised(Hostile("x"))).type == "Hostile"
    assert carried(ValueError(Items())).args == ("{}",)
    assert to_failure(raised(ValueError("\ud800"))).message == "?"
    assert type(carried(ValueError("\ud800"))) is ValueError
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert to_failure(raised(ValueError(deep))).type == "ValueError"
    assert to_failure(ValueError("never raised")).message == "never raised"
    assert to_failure(raised(ValueError(10**5000))).type == "ValueError"


def test_sizes_are_cut():
    failure = to_failure(raised(ValueError("é" * 1_000_000)))
    assert len(failure.message) == 16 * 1024
    assert failure.ByteSize() < 200_000
    again = from_failure(failure, step_name="s", attempt=1)
    assert type(again) is ValueError
    assert str(again) == failure.message

    error = ValueError("x")
    error.data = "x" * 1_000_000
    failure = to_failure(raised(error))
    assert failure.ByteSize() < 200_000
    assert type(from_failure(failure, step_name="s", attempt=1)) is ValueError

    named = type("é" * 300, (Exception,), {})
    assert len(to_failure(named()).type.encode()) <= 256


def test_long_tracebacks_are_cut_in_the_middle():
    def deep(number):
        if number:
            return deep(number - 1) if number % 2 else other(number - 1)
        raise LookupError("the end")

    def other(number):
        return deep(number)

    try:
        deep(500)
    except LookupError as error:
        text = decode(to_failure(error).details)["traceback"]
    assert len(text) < 33_000
    assert text.startswith("Traceback (most recent call last):")
    assert "\n  …\n" in text
    assert text.endswith("LookupError: the end\n")


def test_frames_of_the_runtime_are_cut():
    scope = {"__name__": "hookd.worker.anything"}
    exec("def run(function):\n    return function()\n", scope)

    def user():
        scope["run"](fails)

    def fails():
        raise LookupError("x")

    with pytest.raises(LookupError) as caught:
        scope["run"](user)
    # As a worker has it: its own frames first.
    trace = caught.value.__traceback__
    while trace.tb_frame.f_code.co_name != "run":
        trace = trace.tb_next
    text = decode(to_failure(caught.value.with_traceback(trace)).details)["traceback"]
    lines = [line.rpartition(" in ")[2] for line in text.splitlines() if '  File "' in line]
    # What users call of it below stays.
    assert lines == ["user", "run", "fails"]


def test_a_run_that_fails_with_a_step_tells_where_the_step_failed():
    def in_step():
        raise LookupError("x")

    def in_workflow(error):
        raise error

    with pytest.raises(LookupError) as caught:
        in_step()
    arrived = from_failure(to_failure(caught.value), step_name="charge", attempt=4)
    with pytest.raises(LookupError) as caught:
        in_workflow(arrived)
    failure = to_failure(caught.value)
    text = decode(failure.details)["traceback"]
    first, _, second = text.partition("\nThat was in step charge. Here:\n")
    assert "in in_step" in first
    assert "in in_workflow" in second
    assert failure.message == "x"


def test_causes_are_told():
    try:
        try:
            {}["inner"]
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        text = decode(to_failure(error).details)["traceback"]
    assert "KeyError: 'inner'" in text
    assert "direct cause" in text


def test_it_can_be_raised_again():
    with pytest.raises(Declined) as caught:
        raise carried(Declined(51, when=THEN))
    text = "".join(traceback.format_exception(caught.value))
    assert "StepFailedError: Step charge failed (attempt 4): Declined: declined with 51" in text


def test_as_json_for_everybody():
    json_format.MessageToJson(to_failure(raised(Declined(51, when=THEN))))


# Facts

facts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes(timezones=st.sampled_from([None, datetime.UTC]))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.sampled_from([*RunStatus, hookd.FieldViolation("a", "b")]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.just("$"), inner, max_size=3)
        | st.dictionaries(st.integers() | st.dates(), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(), max_size=3)
        | st.sets(st.uuids(), max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(facts)
def test_facts_come_back(fact):
    again = unpack(decode(encode(pack(fact), "fact")))
    assert again == fact
    assert type(again) is type(fact)


@pytest.mark.parametrize(
    "value", [object(), ValueError("x"), "\ud800", [object()], dataclasses.field(), len]
)
def test_what_is_no_fact(value):
    with pytest.raises(UnknownFactError):
        pack(value)
