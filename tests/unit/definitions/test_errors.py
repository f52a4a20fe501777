"""What can go wrong in workflows and steps, as types."""

import copy
import pickle
from datetime import UTC, datetime, timedelta

import hookd
import pytest
from hookd import InvalidArgumentError
from hookd.workflows.errors import (
    FatalError,
    HookPayloadError,
    NonDeterminismError,
    OutsideWorkflowError,
    RetryableError,
    StepFailedError,
    WorkflowRuleError,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "error",
    [
        FatalError("never"),
        RetryableError("later", retry_after="1m"),
        RetryableError(),
        StepFailedError("charge", "ValueError", "bad", attempt=2, remote_traceback="there"),
        NonDeterminismError("event 5 …", metadata={"seq": "5"}),
        WorkflowRuleError("no", call="time.time()", hint="use hookd.now()"),
        OutsideWorkflowError("no"),
        HookPayloadError("token", {"a": 1}, "is wrong"),
    ],
)
def test_errors_survive_pickle_and_copy(error):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_the_family():
    assert issubclass(OutsideWorkflowError, RuntimeError)
    assert issubclass(HookPayloadError, ValueError)
    # What a user says about a step is nothing that hookd says no to.
    assert not issubclass(FatalError, hookd.HookdError)
    assert not issubclass(RetryableError, hookd.HookdError)
    assert not issubclass(FatalError, RetryableError)
    assert StepFailedError("s", "t", "m").reason == "STEP_FAILED"


def test_what_they_say():
    assert str(StepFailedError("charge", "ValueError", "bad", attempt=4)) == (
        "Step charge failed (attempt 4): ValueError: bad"
    )
    assert str(StepFailedError("charge", "KeyError", "")) == "Step charge failed: KeyError"
    assert str(HookPayloadError(None, 5, "is wrong")) == "A payload does not fit: is wrong"
    assert str(WorkflowRuleError("no")) == "no"


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [
        (None, None),
        (0, 0.0),
        (2.5, 2.5),
        ("1m", 60.0),
        (timedelta(hours=1), 3600.0),
        (NOW + timedelta(seconds=30), 30.0),
        (NOW - timedelta(seconds=30), 0.0),
    ],
)
def test_when_to_try_again(retry_after, delay):
    assert RetryableError("later", retry_after=retry_after).delay(NOW) == delay


def test_a_time_to_try_again_is_taken_from_the_clock():
    error = RetryableError("later", retry_after=datetime.now(UTC) + timedelta(hours=1))
    delay = error.delay()
    assert delay is not None
    assert 3000 < delay <= 3600


@pytest.mark.parametrize("bad", [-1, "soon", True, [], datetime(2026, 1, 2)])
def test_bad_times_to_try_again(bad):
    with pytest.raises(InvalidArgumentError, match="retry_after: must be"):
        RetryableError("later", retry_after=bad)
