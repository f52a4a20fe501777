"""JSON and messages are the same thing, both ways, and what is no such thing is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hookd.v1.common_pb2 import (
    RUN_STATUS_FAILED,
    Failure,
    Hook,
    HookSpec,
    Payload,
    Run,
)
from hookd.v1.errors_pb2 import ERROR_REASON_HOOK_CONFLICT, Error
from hookd.v1.events_pb2 import Event, HookReceived
from hookd.v1.hook_service_pb2 import CreateHooksRequest, HookClaimResult, ResumeHookRequest
from hookd.v1.run_service_pb2 import ListRunsRequest, StartRunRequest
from hookd_daemon.errors import InvalidArgumentError
from hookd_daemon.http.rest import naming
from hookd_daemon.http.rest.reading import read
from hookd_daemon.http.rest.text import MAX_DEPTH, MAX_VALUES, load
from hookd_daemon.http.rest.writing import write
from hypothesis import given, settings
from hypothesis import strategies as st

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_JSON_PAYLOADS = st.builds(
    lambda kind, value: Payload(
        content_type=kind,
        data=json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(),
    ),
    st.sampled_from(
        ["application/json", "application/json; charset=utf-8", "application/x.y+json"]
    ),
    _ANY_JSON,
)
_PAYLOADS = _JSON_PAYLOADS | st.builds(
    Payload,
    content_type=st.sampled_from(["text/plain", "application/json"]) | _TEXT,
    data=st.binary(min_size=1),
)
_TIMES = st.builds(
    Timestamp,
    seconds=st.integers(-62_135_596_800, 253_402_300_799),
    nanos=st.integers(0, 999_999_999),
)
_DURATIONS = st.builds(
    Duration, seconds=st.integers(0, 315_575_999_999), nanos=st.integers(0, 999_999_999)
)
_ATTRIBUTES = st.dictionaries(_TEXT, _TEXT, max_size=3)
_SPECS = st.builds(
    HookSpec,
    hook_id=_TEXT,
    token=st.none() | _TEXT,
    metadata=st.none() | _PAYLOADS,
    ttl=st.none() | _DURATIONS,
    hold_after=st.none() | _DURATIONS,
)
_MESSAGES: list[st.SearchStrategy[Message]] = [
    st.builds(
        StartRunRequest,
        run_id=_TEXT,
        workflow=_TEXT,
        input=st.none() | _PAYLOADS,
        attributes=_ATTRIBUTES,
        claims=st.lists(_SPECS, max_size=3),
        on_conflict=st.integers(0, 4),
        external=st.booleans(),
        lease_ttl=st.none() | _DURATIONS,
    ),
    st.builds(
        ListRunsRequest,
        statuses=st.lists(st.integers(1, 5)),
        created_after=_TIMES,
        page_size=st.integers(-(2**31), 2**31 - 1),
    ),
    st.builds(
        Run,
        project=_TEXT,
        run_id=_TEXT,
        status=st.integers(0, 5),
        output=st.none() | _PAYLOADS,
        failure=st.none() | st.builds(Failure, type=_TEXT, message=_TEXT, details=_PAYLOADS),
        created_at=st.none() | _TIMES,
        last_seq=st.integers(0, 2**64 - 1),
        attributes=_ATTRIBUTES,
    ),
    st.builds(Hook, token=_TEXT, revision=st.integers(0, 2**64 - 1), hold_after=_DURATIONS),
    st.builds(
        Event,
        seq=st.integers(0, 2**64 - 1),
        time=_TIMES,
        hook_received=st.builds(HookReceived, payload=_PAYLOADS, payload_id=_TEXT),
    ),
]


@given(st.one_of(_MESSAGES))
@settings(deadline=None)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    written = write(message)
    again = type(message)()
    read(load(written.encode()), again)
    assert again == message, written


@given(_ANY_JSON)
def test_any_json_is_a_payload_and_comes_back(value: Any) -> None:
    request = ResumeHookRequest()
    read(load(json.dumps({"payload": value}).encode()), request)
    assert request.payload.content_type == "application/json"
    assert json.loads(request.payload.data) == value
    assert json.loads(write(request))["payload"] == value


def test_a_payload_that_is_json_is_written_with_every_digit() -> None:
    data = b'{"price": 1.10, "big": 123456789012345678901234567890, "small": 1e-400}'
    request = ResumeHookRequest(payload=Payload(content_type="application/json", data=data))
    assert data.decode() in write(request)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a":NaN}',
        b"[1,]",
        b"\xff",
        b"\xef\xbb\xbf1",
        '"x"'.encode("utf-16"),
        b"[" * 100_000,
    ],
)
def test_a_payload_that_only_says_that_it_is_json_is_written_raw(data: bytes) -> None:
    request = ResumeHookRequest(payload=Payload(content_type="application/json", data=data))
    written = json.loads(write(request))
    assert "payload" not in written
    assert written["payload_raw"]["content_type"] == "application/json"


def test_what_an_answer_leaves_out_and_what_is_always_there() -> None:
    written = json.loads(write(Run(run_id="r", status=RUN_STATUS_FAILED)))
    assert written == {
        "run_id": "r",
        "status": "failed",
        "last_seq": 0,
        "external": False,
        "attributes": {},
    }


def test_an_item_of_a_batch_has_the_error_of_a_call() -> None:
    error = Error(code=6, reason=ERROR_REASON_HOOK_CONFLICT, message="m", metadata={"a": "b"})
    error.conflict.token = "t"
    assert json.loads(write(HookClaimResult(error=error)))["error"] == {
        "code": "ALREADY_EXISTS",
        "reason": "HOOK_CONFLICT",
        "message": "m",
        "metadata": {"a": "b"},
        "conflict": {"token": "t", "revision": 0},
    }


def _start(**fields: Any) -> StartRunRequest:
    request = StartRunRequest()
    read(load(json.dumps(fields).encode()), request)
    return request


@pytest.mark.parametrize(
    ("given_as", "milliseconds"),
    [
        ("1.5s", 1500),
        ("30m", 1_800_000),
        ("1h30m", 5_400_000),
        ("250ms", 250),
        ("1d", 86_400_000),
        ("2w", 1_209_600_000),
        (90, 90_000),
        (0.25, 250),
        ("0s", 0),
        (0, 0),
    ],
)
def test_durations(given_as: Any, milliseconds: int) -> None:
    assert _start(lease_ttl=given_as).lease_ttl.ToMilliseconds() == milliseconds


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "s",
        "-1s",
        "1",
        "1.s",
        "1 s",
        "1S",
        "٣s",
        "1x",
        -1,
        -0.1,
        1e20,
        10**400,
        True,
        None,
        [],
        {},
        "9" * 200 + "s",
        "999999999999w",
    ],
)
def test_no_durations(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"lease_ttl: must be a duration") as caught:
        _start(lease_ttl=bad)
    assert caught.value.field == "lease_ttl"


@pytest.mark.parametrize(
    ("given_as", "seconds", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1970-01-01T01:00:00+01:00", 0, 0),
        ("1970-01-01t00:00:01.5z", 1, 500_000_000),
        ("1969-12-31T23:59:59.25Z", -1, 250_000_000),
        ("2024-02-29T00:00:00.123456789Z", 1_709_164_800, 123_456_789),
    ],
)
def test_times(given_as: str, seconds: int, nanos: int) -> None:
    request = ListRunsRequest()
    read({"created_after": given_as}, request)
    assert (request.created_after.seconds, request.created_after.nanos) == (seconds, nanos)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "now",
        "2024-02-30T00:00:00Z",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01T24:00:00Z",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00:00.Z",
        "٢٠٢٤-01-01T00:00:00Z",
        0,
        None,
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_no_times(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^created_after: must be a time"):
        read({"created_after": bad}, ListRunsRequest())


_WRONG: list[tuple[str, str, str]] = [
    ('{"workfow":"x"}', "workfow", "is unknown; known are run_id, workflow"),
    ('{"workflow":1}', "workflow", "must be a text; it is 1"),
    ('{"workflow":null}', "workflow", "must be a text; it is null"),
    ('{"workflow":"\\ud800"}', "workflow", "half of a surrogate pair"),
    ('{"attributes":{"\\ud800":""}}', "attributes", "half of a surrogate pair"),
    ('{"attributes":[]}', "attributes", "must be an object; it is an array"),
    ('{"attributes":{"a":1}}', "attributes.a", "must be a text; it is 1"),
    ('{"claims":{}}', "claims", "must be an array; it is an object"),
    ('{"claims":[{"token":5}]}', "claims[0].token", "must be a text; it is 5"),
    ('{"claims":[{},7]}', "claims[1]", "must be an object; it is 7"),
    ('{"claims":[{"token":"a","token":"b"}]}', "claims[0].token", "stands there twice"),
    ('{"on_conflict":"FAIL"}', "on_conflict", "must be one of fail, use_existing"),
    ('{"on_conflict":1}', "on_conflict", "must be one of"),
    ('{"external":"true"}', "external", "must be true or false"),
    ('{"external":1}', "external", "must be true or false"),
    ('{"input":[1,{"a":[NaN]}]}', "input[1].a[0]", "a number that a double can hold"),
    ('{"input":-Infinity}', "input", "a number that a double can hold"),
    ('{"input":1e999}', "input", "a number that a double can hold"),
    ('{"input":{"a":{"b":1,"b":2}}}', "input.a.b", "stands there twice"),
    ('{"input":1,"input_raw":{}}', "input_raw", "goes only without input"),
    ('{"input_content_type":"application/json"}', "input_content_type", "goes only with input"),
    ('{"input":1,"input_content_type":"text/plain"}', "input_content_type", "a media type of JSON"),
    ('{"input_raw":{"data":"?"}}', "input_raw.data", "base64"),
    ('{"input_raw":{"data":"YQ"}}', "input_raw.data", "with its padding"),
    ('{"input_raw":{"data":"YQ==\\n"}}', "input_raw.data", "base64"),
    ("[]", "body", "must be an object; it is an array"),
    ("", "body", "must be JSON"),
    ("{}x", "body", "Extra data at line 1, column 3"),
    ("'a'", "body", "must be JSON"),
    ('{"input":' + "9" * 5000 + "}", "body", "too many digits"),
    ('{"input":' + "[" * 100 + "]" * 100 + "}", "input", f"nested at most {MAX_DEPTH} deep"),
]


@pytest.mark.parametrize(("body", "field", "why"), _WRONG, ids=[case[0][:40] for case in _WRONG])
def test_what_is_wrong_is_named(body: str, field: str, why: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read(load(body.encode()), StartRunRequest())
    assert caught.value.field == field
    assert why in caught.value.description
    assert len(caught.value.message) < 600


def test_there_are_only_so_many_values() -> None:
    most = b'{"input":[' + b"0," * (MAX_VALUES - 4) + b"0]}"
    assert len(load(most)["input"]) == MAX_VALUES - 3
    with pytest.raises(InvalidArgumentError, match="at most 500000 values; it has 600003"):
        load(b'{"input":[' + b"0," * 600_000 + b"0]}")
    # Those in texts are none.
    assert load(b'{"input":"' + b'[,{\\"' * 600_000 + b'"}')


def test_what_is_far_too_deep_is_refused_by_whoever_notices_first() -> None:
    body = b'{"input":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    with pytest.raises(InvalidArgumentError, match=f"nested at most {MAX_DEPTH} deep") as caught:
        load(body)
    assert caught.value.field in {"body", "input"}


def test_deep_payloads_are_taken_up_to_the_limit() -> None:
    depth = MAX_DEPTH - 1
    request = StartRunRequest()
    read(load(b'{"input":' + b"[" * depth + b"]" * depth + b"}"), request)
    assert request.input.data == b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "body", [b"\xff", b'{"workflow":"\xed\xa0\x80"}', '{"a":1}'.encode("utf-16")]
)
def test_a_body_is_utf8(body: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="must be JSON"):
        load(body)


@pytest.mark.parametrize("bad", [1.5, -(2**31) - 1, 2**31, True, "1", None, [], 1e300])
def test_whole_numbers_name_their_limits(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"from -2147483648 to 2147483647; it is"):
        read({"page_size": bad}, ListRunsRequest())


def test_a_number_with_a_zero_behind_the_point_is_whole() -> None:
    request = ListRunsRequest()
    read(load(b'{"page_size":7.0}'), request)
    assert request.page_size == 7


def test_fields_that_a_route_does_not_take_are_unknown() -> None:
    with pytest.raises(InvalidArgumentError, match="token: is unknown; known are wait"):
        read({"token": "a"}, ResumeHookRequest(), allowed=("wait",))
    with pytest.raises(InvalidArgumentError, match="project: goes into the query"):
        read({"project": "a"}, ResumeHookRequest(), allowed=("wait",))


def test_only_one_field_of_those_that_exclude_each_other() -> None:
    hooks = {"hooks": [{"hook": {"webhook": {"response": {}, "manual": {}}}}]}
    with pytest.raises(InvalidArgumentError) as caught:
        read(hooks, CreateHooksRequest())
    assert caught.value.field == "hooks[0].hook.webhook.manual"


@pytest.mark.parametrize(
    ("kind", "json_like"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("a/b+json", True),
        ("text/plain", False),
        ("application/jsonx", False),
        ("+json", False),
        ("", False),
    ],
)
def test_which_media_types_are_json(kind: str, json_like: bool) -> None:
    assert naming.is_json(kind) is json_like
