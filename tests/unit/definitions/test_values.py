"""Arguments and results on their way to bytes and back, by their annotations."""

import dataclasses
import datetime
import enum
import math
import sys
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from uuid import UUID

import pydantic
import pytest
from hookd import InvalidArgumentError, Payload
from hookd.payload import decode, encode
from hookd.v1 import common_pb2
from hookd.workflows import values
from hookd.workflows.errors import HookPayloadError
from hookd.workflows.values import CALL, CallSignature, ValueType
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Word(enum.StrEnum):
    YES = "yes"


@dataclasses.dataclass
class Item:
    name: str
    price: Decimal
    data: bytes = b""


@dataclasses.dataclass(frozen=True)
class Order:
    number: int
    placed: datetime.datetime
    items: list[Item]
    note: str | None = None
    colours: frozenset[Colour] = frozenset()


class Customer(pydantic.BaseModel):
    name: str
    born: datetime.date
    ids: dict[str, UUID] = {}
    weight: float = 0.0


class Point(NamedTuple):
    x: int
    y: float


class Address(TypedDict, total=False):
    street: str
    since: datetime.date


texts = st.text()
decimals = st.decimals(allow_nan=False, allow_infinity=False)
zones = st.none() | st.integers(-1439, 1439).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
moments = st.datetimes(timezones=zones)
items = st.builds(Item, texts, decimals, st.binary())
orders = st.builds(
    Order,
    st.integers(),
    moments,
    st.lists(items, max_size=3),
    st.none() | texts,
    st.frozensets(st.sampled_from(Colour)),
)
finite = st.floats(allow_nan=False, allow_infinity=False)
customers = st.builds(
    Customer,
    name=texts,
    born=st.dates(),
    ids=st.dictionaries(texts, st.uuids(), max_size=3),
    weight=finite,
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Any, plain),
    (int, st.integers()),
    (float, finite),
    (bool, st.booleans()),
    (str, texts),
    (bytes, st.binary()),
    (None, st.none()),
    (datetime.datetime, moments),
    (datetime.date, st.dates()),
    (datetime.time, st.times()),
    (datetime.timedelta, st.timedeltas()),
    (Decimal, decimals),
    (UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Rights, st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE])),
    (Word, st.sampled_from(Word)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Item, items),
    (Order, orders),
    (Customer, customers),
    (Point, st.builds(Point, st.integers(), finite)),
    (Address, st.fixed_dictionaries({}, optional={"street": texts, "since": st.dates()})),
    (list[Order], st.lists(orders, max_size=2)),
    (tuple[int, bytes], st.tuples(st.integers(), st.binary())),
    (tuple[Decimal, ...], st.lists(decimals, max_size=3).map(tuple)),
    (set[datetime.date], st.sets(st.dates(), max_size=3)),
    (frozenset[str], st.frozensets(texts, max_size=3)),
    (dict[str, list[Item]], st.dictionaries(texts, st.lists(items, max_size=2), max_size=2)),
    (dict[int, Colour], st.dictionaries(st.integers(), st.sampled_from(Colour), max_size=3)),
    (dict[datetime.date, bytes], st.dictionaries(st.dates(), st.binary(), max_size=3)),
    (dict[UUID, Decimal], st.dictionaries(st.uuids(), decimals, max_size=3)),
    (bytes | None, st.none() | st.binary()),
    (int | str, st.integers() | texts),
    (int | float, st.integers() | finite),
    (Order | Customer | None, orders | customers | st.none()),
    (
        list[dict[str, Order | None]],
        st.lists(st.dictionaries(texts, st.none() | orders, max_size=2), max_size=2),
    ),
    (Annotated[int, pydantic.Field(ge=0)], st.integers(min_value=0)),
]


def same(one, other):
    """Whether they are equal, and so are their types down to what they hold."""
    if one != other or type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, datetime.datetime):
        return one.utcoffset() == other.utcoffset()
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return all(map(same, one, other))
    if dataclasses.is_dataclass(one):
        return same(vars(one), vars(other))
    return True


def taking(annotation):
    """Makes a function that takes and gives values of a type."""

    def function(first, *more, named=None):
        return first

    function.__annotations__ = {
        "first": annotation, "more": annotation, "named": annotation, "return": annotation
    }  # fmt: skip
    return CallSignature(function)


@pytest.mark.parametrize(("annotation", "strategy"), TYPES, ids=lambda each: str(each)[:40])
def test_round_trips(annotation, strategy):
    signature, kind = taking(annotation), ValueType(annotation)

    @settings(max_examples=40, deadline=None)
    @given(strategy, strategy, strategy)
    def check(one, two, three):
        args, kwargs = signature.decode_call(signature.encode_call((one, two), {"named": three}))
        assert same(args, [one, two])
        assert same(kwargs, {"named": three})
        assert same(signature.decode_result(signature.encode_result(one)), one)
        assert same(kind.decode(kind.encode(one, "payload")), one)

    check()


def test_what_is_on_the_wire():
    def function(a: int, b: bytes, *, c: Decimal = Decimal(0)) -> bytes: ...

    signature = CallSignature(function)
    plain = signature.encode_call((1, b"\xff\xfe?"), {})
    assert (plain.content_type, plain.data) == ("application/json", b'[1,"__4_"]')
    named = signature.encode_call((1,), {"b": b"", "c": Decimal("1.10")})
    assert (named.content_type, named.data) == (CALL, b'{"args":[1,""],"kwargs":{"c":"1.10"}}')
    # For everybody else it is JSON.
    assert decode(named) == {"args": [1, ""], "kwargs": {"c": "1.10"}}
    result = signature.encode_result(b"\xff")
    assert (result.content_type, result.data) == ("application/octet-stream", b"\xff")


def add(a: int, b: int = 2, *rest: int, c: int = 3, **others: int) -> int:
    return a + b + sum(rest) + c + sum(others.values())


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        ((), {"a": 1}),
        ((1, 2, 3, 4), {}),
        ((1,), {"c": 5}),
        ((1, 2, 3), {"c": 5, "d": 6, "args": 7, "kwargs": 8}),
        ((), {"a": 1, "b": 4, "z": 1}),
    ],
)
def test_ways_to_call(args, kwargs):
    signature = CallSignature(add)
    again, named = signature.decode_call(signature.encode_call(args, kwargs))
    assert add(*again, **named) == add(*args, **kwargs)


def test_arguments_by_name_travel_by_position_where_they_can():
    def function(a, b=1, c=2): ...

    signature = CallSignature(function)
    assert signature.encode_call((), {"b": 2, "a": 1}).data == b"[1,2]"
    # A default is the function's: it is not written.
    assert signature.encode_call((0,), {"c": 5}).data == b'{"args":[0],"kwargs":{"c":5}}'
    assert signature.encode_call((0,), {}).data == b"[0]"


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "add(): missing a required argument: 'a'"),
        ((1,), {"a": 2}, "add(): multiple values for argument 'a'"),
    ],
)
def test_wrong_arity(args, kwargs, says):
    with pytest.raises(TypeError) as caught:
        CallSignature(add).encode_call(args, kwargs)
    assert str(caught.value) == says


def test_wrong_arity_of_what_came():
    def function(a, /, *, b=1): ...

    signature = CallSignature(function)
    for value in ([], [1, 2], [1, 2, 3]):
        with pytest.raises(InvalidArgumentError, match=r"function\(\): "):
            signature.decode_call(encode(value, "input"))
    with pytest.raises(InvalidArgumentError, match="missing"):
        signature.decode_call(None)
    call = common_pb2.Payload(content_type=CALL, data=b'{"args":[1],"kwargs":{"x":1}}')
    with pytest.raises(InvalidArgumentError, match="unexpected keyword argument 'x'"):
        signature.decode_call(call)


@pytest.mark.parametrize("data", [b"[1]", b"{}", b'{"args":[1]}', b'{"args":1,"kwargs":{}}', b"{"])
def test_what_only_says_that_it_is_a_call(data):
    with pytest.raises(InvalidArgumentError, match="the input is no call"):
        CallSignature(add).decode_call(common_pb2.Payload(content_type=CALL, data=data))


@pytest.mark.parametrize(
    ("annotation", "payload", "expected"),
    [
        (Any, encode({"args": [1], "kwargs": {}}, "input"), {"args": [1], "kwargs": {}}),
        (Colour, encode("red", "input"), Colour.RED),
        (Item, encode({"name": "x", "price": "1.5"}, "input"), Item("x", Decimal("1.5"))),
        (Any, encode(None, "input"), None),
        (bytes, encode(b"\xff", "input"), b"\xff"),
        (bytes, encode("_w==", "input"), b"\xff"),
        (Any, encode(b"\xff", "input"), b"\xff"),
        (Payload, encode(Payload(b"<a/>", "text/xml"), "input"), Payload(b"<a/>", "text/xml")),
        (Any, encode(Payload(b"<a/>", "text/xml"), "input"), Payload(b"<a/>", "text/xml")),
    ],
)
def test_any_other_value_is_the_single_argument(annotation, payload, expected):
    args, kwargs = taking(annotation).decode_call(payload)
    assert (args, kwargs) == ([expected], {})
    assert type(args[0]) is type(expected)


def test_no_input_is_no_argument():
    def function(a=5): ...

    signature = CallSignature(function)
    assert signature.decode_call(None) == ([], {})
    assert signature.decode_call(common_pb2.Payload()) == ([], {})
    assert signature.decode_call(signature.encode_call((), {})) == ([], {})


def process_payment(order: Order, amount: float = 1, raw: Any = None) -> Item: ...


PLACED = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((object(),), 'argument "order" of type object cannot be carried as JSON: '),
        (
            (Order(1, PLACED, [Item("x", Decimal(1), object())]),),  # type: ignore[arg-type]
            'argument "order" of type Order cannot be carried as JSON: ',
        ),
        (
            (Order("x", PLACED, []),),  # type: ignore[arg-type]
            'argument "order" of type Order does not fit Order: number: Input should be a valid',
        ),
        (
            ({"number": 1, "placed": "2026-01-01", "items": [{"name": 5}]},),
            'argument "order" of type dict does not fit Order: items.0.name: Input should be a '
            "valid string; items.0.price: Field required",
        ),
        (("x",), 'argument "order" of type str does not fit Order: '),
        (
            (Order(1, PLACED, []), "much"),
            'argument "amount" of type str does not fit float: Input should be a valid number',
        ),
        (
            (Order(1, PLACED, []), math.nan),
            'argument "amount" of type float cannot be carried as JSON: ',
        ),
        ((Order(1, PLACED, []), 1, {"a": -math.inf}), 'argument "raw" of type dict cannot be car'),
        ((Order(1, PLACED, []), 1, ValueError("x")), 'argument "raw" of type ValueError cannot'),
        ((Order(1, PLACED, []), 1, Payload(b"")), 'argument "raw" of type Payload cannot'),
        ((Order(1, PLACED, [], "\ud800"),), 'argument "order" of type Order cannot be carried'),
    ],
)
def test_what_cannot_be_carried(args, says):
    with pytest.raises(InvalidArgumentError) as caught:
        CallSignature(process_payment).encode_call(args, {})
    assert str(caught.value).startswith(f"process_payment(): {says}")
    assert "\n" not in str(caught.value)
    (violation,) = caught.value.violations
    assert violation.field in says


def test_items_of_variadic_arguments_are_named():
    with pytest.raises(InvalidArgumentError, match=r'add\(\): argument "rest\[1\]" of type str'):
        CallSignature(add).encode_call((1, 2, 3, "x"), {})
    with pytest.raises(InvalidArgumentError, match=r'add\(\): argument "more" of type str'):
        CallSignature(add).encode_call((1,), {"more": "x"})


def test_a_value_that_holds_itself():
    loop: list[Any] = []
    loop.append(loop)
    for annotation in (Any, list[Any]):
        with pytest.raises(InvalidArgumentError, match='"first" of type list cannot be carried'):
            taking(annotation).encode_call((loop,), {})


def test_keys_that_would_not_come_back():
    with pytest.raises(InvalidArgumentError, match='"first" of type dict does not fit'):
        taking(dict[tuple[int, int], str]).encode_call(({(1, 2): "x"},), {})


def test_results():
    signature = CallSignature(process_payment)
    assert signature.decode_result(signature.encode_result({"name": "a", "price": 1})) == Item(
        "a", Decimal(1)
    )
    for value, says in [
        (object(), r"process_payment\(\): its result of type object cannot be carried as JSON: "),
        (None, r"process_payment\(\): its result of type NoneType does not fit Item: "),
        (b"x", r"process_payment\(\): its result of type bytes does not fit Item: "),
    ]:
        with pytest.raises(InvalidArgumentError, match=says):
            signature.encode_result(value)
    with pytest.raises(InvalidArgumentError, match="its result does not fit Item: price: Field"):
        signature.decode_result(encode({"name": "a"}, "value"))
    with pytest.raises(InvalidArgumentError, match="its result does not fit Item: it came as text"):
        signature.decode_result(encode(Payload(b"a", "text/plain"), "value"))


def test_without_annotations():
    def function(a, b: Any): ...

    signature = CallSignature(function)
    args, _ = signature.decode_call(signature.encode_call((Item("x", Decimal(1)), {1, 2}), {}))
    assert args == [{"name": "x", "price": "1", "data": ""}, [1, 2]]
    assert signature.decode_result(signature.encode_result((1, 2))) == [1, 2]
    assert signature.decode_result(signature.encode_result(b"raw")) == b"raw"
    raw = Payload(b"<a/>", "text/xml")
    assert signature.decode_result(signature.encode_result(raw)) == raw


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (float, 5, 5.0),
        (tuple[int, ...], [1, 2], (1, 2)),
        (list[int], (1, 2), [1, 2]),
        (int, True, True),
        (Item, {"name": "x", "price": 1.5}, Item("x", Decimal("1.5"))),
        (dict[str, Any], {"a": (1, 2)}, {"a": [1, 2]}),
        (object, [1], [1]),
        (TypeVar("T"), [1], [1]),
        (Level, 2, Level.HIGH),
        (Decimal, 3, Decimal(3)),
    ],
)
def test_what_python_would_take(annotation, value, arrives):
    signature = taking(annotation)
    (got,), _ = signature.decode_call(signature.encode_call((value,), {}))
    assert got == arrives


def test_a_value_that_is_too_large(monkeypatch):
    monkeypatch.setattr(values, "MAX_BYTES", 100)

    def function(small, large): ...

    signature = CallSignature(function)
    with pytest.raises(InvalidArgumentError) as caught:
        signature.encode_call((1, "x" * 100), {})
    assert str(caught.value) == (
        "function(): the arguments must have at most 100 bytes as JSON, they have 106, "
        'of which argument "large" has 102'
    )
    with pytest.raises(
        InvalidArgumentError, match=r"function\(\): its result must have at most 100 bytes, it has"
    ):
        signature.encode_result("x" * 100)
    with pytest.raises(InvalidArgumentError, match="100 bytes"):
        signature.encode_result(b"x" * 101)


def later(a: "DefinedLater", b: "list[DefinedLater]") -> "DefinedLater | None": ...


LATER = CallSignature(later)


@dataclasses.dataclass
class DefinedLater:
    number: int


def test_forward_references():
    one = DefinedLater(1)
    assert LATER.decode_call(LATER.encode_call((one, [one]), {}))[0] == [one, [one]]
    assert LATER.decode_result(LATER.encode_result(one)) == one
    LATER.check()


def test_names_of_a_closure():
    local = Item

    def function(a: "local") -> None:
        local("x", Decimal(1))

    signature = CallSignature(function)
    item = Item("x", Decimal(1))
    assert signature.decode_call(signature.encode_call((item,), {}))[0] == [item]


def test_a_name_that_is_not_known():
    def function(a: int, b: "Unheard") -> "NorThis": ...  # noqa: F821

    signature = CallSignature(function)
    with pytest.raises(InvalidArgumentError) as caught:
        signature.encode_call((1, 2), {})
    assert str(caught.value) == (
        "function(): argument \"b\": its annotation 'Unheard' cannot be resolved: name 'Unheard' "
        "is not defined. What it names must be defined in the module, or imported there also "
        "outside of TYPE_CHECKING"
    )
    with pytest.raises(InvalidArgumentError, match=r"its result: its annotation 'NorThis' cannot"):
        signature.encode_result(1)
    with pytest.raises(InvalidArgumentError, match="Unheard"):
        signature.check()


class Connection:
    """What nobody can carry."""


def test_a_type_that_cannot_be_carried():
    def function(a: Connection) -> list[Connection]: ...

    signature = CallSignature(function)
    with pytest.raises(
        InvalidArgumentError,
        match=r'function\(\): argument "a": nothing can be carried as .*Connection: Unable',
    ):
        signature.encode_call((Connection(),), {})
    with pytest.raises(InvalidArgumentError, match=r"function\(\): its result: nothing can be"):
        signature.encode_result([])
    with pytest.raises(InvalidArgumentError):
        signature.check()


def test_a_typed_dict_of_typing():
    import typing

    class Old(typing.TypedDict):
        a: int

    signature = taking(Old)
    if sys.version_info >= (3, 12):
        signature.check()
    else:
        # It does not say enough of itself.
        with pytest.raises(InvalidArgumentError, match=r"use `typing_extensions\.TypedDict`"):
            signature.check()


def test_a_payload_is_taken_as_it_is():
    def function(a: Payload) -> Payload: ...

    signature = CallSignature(function)
    raw = Payload(b"<a/>", "text/xml")
    assert signature.decode_result(signature.encode_result(raw)) == raw
    assert signature.decode_result(encode({"a": 1}, "x")) == Payload(b'{"a":1}', "application/json")
    signature.check()
    with pytest.raises(InvalidArgumentError, match='"a" of type Payload cannot be carried'):
        signature.encode_call((raw,), {})


# Hooks


def test_a_payload_that_does_not_fit_its_hook():
    kind = ValueType[Order](Order)
    with pytest.raises(HookPayloadError) as caught:
        kind.decode(encode({"number": "x"}, "payload"), token="order-1")
    error = caught.value
    assert (error.token, error.value) == ("order-1", {"number": "x"})
    assert error.problem.startswith("number: Input should be a valid integer")
    assert str(error) == f'A payload of hook "order-1" does not fit: {error.problem}'
    assert isinstance(error, ValueError)
    for payload in (
        encode(b"raw", "payload"),
        encode(Payload(b"<a/>", "text/xml"), "payload"),
        common_pb2.Payload(content_type="application/json", data=b"{"),
        common_pb2.Payload(),
    ):
        with pytest.raises(HookPayloadError):
            kind.decode(payload)


def test_a_payload_is_refused_by_who_sends_it():
    kind = ValueType[Order](Order)
    with pytest.raises(InvalidArgumentError, match="payload: the value of type dict does not fit"):
        kind.encode({"number": "x"}, "payload")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="payload: the value of type object cannot be"):
        ValueType().encode(object(), "payload")


def test_a_hook_without_a_type_takes_everything():
    kind = ValueType()
    for value in (None, [1], b"raw", Payload(b"<a/>", "text/xml")):
        assert kind.decode(kind.encode(value, "payload")) == value
    broken = common_pb2.Payload(content_type="application/json", data=b"{")
    assert kind.decode(broken) == Payload(b"{", "application/json")
