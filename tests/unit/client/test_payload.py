"""Values on their way to bytes and back."""

import dataclasses
import datetime
import decimal
import enum
import uuid

import pydantic
import pytest
from hookd import InvalidArgumentError, Payload
from hookd.payload import decode, encode
from hookd.v1 import common_pb2


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Order:
    number: int
    placed: datetime.datetime


class Customer(pydantic.BaseModel):
    name: str


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        ("ünï\0😀", "ünï\0😀"),
        ("NaN and Infinity", "NaN and Infinity"),
        ([1, (2, 3), {"a": None}], [1, [2, 3], {"a": None}]),
        (
            Order(1, datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)),
            {"number": 1, "placed": "2026-01-02T03:04:05Z"},
        ),
        (Customer(name="x"), {"name": "x"}),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        ({"inner": b"\xff\xfe?"}, {"inner": "__4_"}),
    ],
)
def test_json(value, arrives):
    wire = encode(value, "value")
    assert wire.content_type == "application/json"
    assert decode(wire) == arrives


@pytest.mark.parametrize("value", [b"", b"\x00\xff", bytearray(b"x"), memoryview(b"y")])
def test_bytes_stay_bytes(value):
    assert decode(encode(value, "value")) == bytes(value)


def test_other_media_types_come_as_payload():
    sent = Payload(b"<a/>", "text/xml")
    got = decode(encode(sent, "value"))
    assert got == sent
    assert got.text() == "<a/>"
    assert got != Payload(b"<a/>", "text/plain")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "application/cloudevents+json"]
)
def test_media_types_that_are_json(kind):
    assert decode(common_pb2.Payload(content_type=kind, data=b"[1]")) == [1]


def test_what_only_says_that_it_is_json_comes_as_payload():
    got = decode(common_pb2.Payload(content_type="application/json", data=b"{"))
    assert got == Payload(b"{", "application/json")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (object(), "object"),
        ({"a": object()}, "dict"),
        ({"a": Payload(b"")}, "dict"),
        ("\ud800", "str"),
        (float("nan"), "float"),
        ([float("-inf")], "list"),
        (ValueError("x"), "ValueError"),
    ],
)
def test_what_cannot_be_carried_is_named(value, named):
    with pytest.raises(InvalidArgumentError, match=f"metadata: a value of type {named} ") as caught:
        encode(value, "metadata")
    assert caught.value.violations[0].field == "metadata"


def test_a_value_that_holds_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidArgumentError):
        encode(loop, "value")


@pytest.mark.parametrize("bad", [Payload("text"), Payload(b"", 3)])  # type: ignore[arg-type]
def test_a_payload_that_holds_no_bytes_is_refused(bad):
    with pytest.raises(InvalidArgumentError, match="payload: "):
        encode(bad, "payload")


def test_what_fits_into_no_message_is_refused():
    with pytest.raises(InvalidArgumentError, match="chunk: must be at most 15728640 bytes, has"):
        encode("x" * 15 * 1024 * 1024, "chunk")
