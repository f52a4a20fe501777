"""Runs that are started with a definition, and not with a name alone."""

import dataclasses
import datetime

import pytest
from hookd import HookSpec, InvalidArgumentError
from hookd.payload import decode, encode
from hookd.v1 import common_pb2, run_service_pb2
from hookd.workflows.definition import workflow


@dataclasses.dataclass
class Order:
    number: int
    placed: datetime.date


@workflow(name="billing/pay")
async def pay(order: Order, amount: float = 1, *, currency: str = "EUR") -> Order:
    return order


@workflow
async def nothing_to_say(): ...


ORDER = Order(1, datetime.date(2026, 1, 2))


@pytest.fixture
def started(daemon):
    """A daemon that starts every run, and has it completed with its first argument."""

    async def start(request, context):
        run = common_pb2.Run(
            run_id=request.run_id,
            workflow=request.workflow,
            status=common_pb2.RUN_STATUS_COMPLETED,
        )
        runs[run.run_id] = run
        return run_service_pb2.StartRunResponse(
            outcome=run_service_pb2.START_OUTCOME_STARTED, run=run
        )

    async def await_run(request, context):
        run = runs[request.run_id]
        run.output.CopyFrom(outputs[0])
        return run_service_pb2.AwaitRunResponse(run=run)

    runs = {}
    outputs = [encode({"number": 1, "placed": "2026-01-02"}, "output")]
    daemon.on(StartRun=start, AwaitRun=await_run)
    return outputs


async def test_arguments_and_result_as_the_definition_says(client, daemon, started):
    run = await client.start(pay, ORDER, 2, run_id="r")
    (request,) = daemon.requests("StartRun")
    assert request.workflow == "billing/pay"
    assert decode(request.input) == [{"number": 1, "placed": "2026-01-02"}, 2.0]
    assert await run.return_value() == ORDER
    # Another handle knows nothing of the definition.
    assert await client.get_run("r").return_value() == {"number": 1, "placed": "2026-01-02"}


async def test_arguments_by_name(client, daemon, started):
    await client.start(pay, amount=5, order=ORDER)
    await client.start(pay, ORDER, currency="USD", attributes={"a": "b"})
    one, two = daemon.requests("StartRun")
    assert pay.signature.decode_call(one.input) == ([ORDER, 5.0], {})
    assert pay.signature.decode_call(two.input) == ([ORDER], {"currency": "USD"})
    assert two.attributes == {"a": "b"}


async def test_no_arguments_are_no_input(client, daemon, started):
    await client.start(nothing_to_say)
    (request,) = daemon.requests("StartRun")
    assert not request.HasField("input")


async def test_wrong_arguments_are_not_sent(client, daemon, started):
    for args, kwargs, kind, says in [
        ((), {}, TypeError, r"pay\(\): missing a required argument: 'order'"),
        ((ORDER, 1, 2), {}, TypeError, r"pay\(\): too many positional arguments"),
        ((ORDER,), {"run_idd": "x"}, TypeError, r"pay\(\): got an unexpected keyword argument"),
        (("x",), {}, InvalidArgumentError, r'pay\(\): argument "order" of type str does not fit'),
        ((ORDER, object()), {}, InvalidArgumentError, r'"amount" of type object cannot be carried'),
        ((ORDER,), {"input": 1}, InvalidArgumentError, "input: cannot be given beside"),
    ]:
        with pytest.raises(kind, match=says):
            await client.start(pay, *args, **kwargs)
    assert daemon.seen == []


async def test_input_is_sent_as_it_is(client, daemon, started):
    await client.start(pay, input={"number": 1})
    (request,) = daemon.requests("StartRun")
    assert decode(request.input) == {"number": 1}


async def test_a_name_alone_is_as_ever(client, daemon, started):
    run = await client.start("billing/pay", 1, "a")
    (request,) = daemon.requests("StartRun")
    assert request.input.data == b'[1,"a"]'
    assert await run.return_value() == {"number": 1, "placed": "2026-01-02"}
    with pytest.raises(TypeError, match=r"start\(\) takes no amount: arguments by name go with a"):
        await client.start("billing/pay", 1, amount=5)


async def test_a_result_that_does_not_fit(client, started):
    run = await client.start(pay, ORDER)
    started[0] = encode({"number": "x"}, "output")
    with pytest.raises(InvalidArgumentError, match=r"pay\(\): its result does not fit Order: "):
        await run.return_value()


async def test_an_owner_may_be_of_another_workflow(client, daemon, started):
    async def use_existing(request, context):
        owner = common_pb2.Run(
            run_id="owner", workflow="other", status=common_pb2.RUN_STATUS_COMPLETED
        )
        return run_service_pb2.StartRunResponse(
            outcome=run_service_pb2.START_OUTCOME_USED_EXISTING, run=owner
        )

    async def await_run(request, context):
        run = common_pb2.Run(status=common_pb2.RUN_STATUS_COMPLETED, output=encode([1], "output"))
        return run_service_pb2.AwaitRunResponse(run=run)

    daemon.on(StartRun=use_existing, AwaitRun=await_run)
    run = await client.start(pay, ORDER, claims=[HookSpec("t")], on_conflict="use_existing")
    assert await run.return_value() == [1]


async def test_open_run_checks_arguments_too(client, daemon):
    with pytest.raises(InvalidArgumentError, match='argument "order" of type str'):
        client.open_run(pay, "x")
    assert daemon.seen == []
