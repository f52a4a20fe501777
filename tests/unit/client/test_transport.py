"""Calls that meet a daemon which is slow, busy, restarting or gone."""

import asyncio
import time

import grpc
import hookd
import pytest
from hookd.v1 import common_pb2, hook_service_pb2, run_service_pb2

from tests.unit.client.fake import refuse, until

Code = grpc.StatusCode


def run_named(run_id: str) -> run_service_pb2.GetRunResponse:
    return run_service_pb2.GetRunResponse(run=common_pb2.Run(run_id=run_id))


async def test_a_lost_answer_is_asked_for_again_with_the_same_ids(daemon, client):
    async def resume(request, context):
        if len(daemon.requests("ResumeHook")) < 3:
            await refuse(context, Code.UNAVAILABLE)
        return hook_service_pb2.ResumeHookResponse(run_id="r", hook_id="h", payload_seq=1)

    daemon.on(ResumeHook=resume)
    result = await client.resume_hook("t", {"a": 1})
    sent = daemon.requests("ResumeHook")
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]
    assert result.payload_id == sent[0].payload_id != ""


async def test_a_daemon_that_restarts_is_waited_for(daemon, client):
    async def get_run(request, context):
        return run_named(request.run_id)

    daemon.on(GetRun=get_run)
    await client.get_run("before").info()
    await daemon.stop()
    call = asyncio.create_task(client.get_run("r").info())
    await asyncio.sleep(1.0)
    assert not call.done()
    await daemon.start()
    assert (await call).run_id == "r"


async def test_a_call_that_the_daemon_drops_while_it_goes_down_is_made_again(daemon, client):
    async def get_run(request, context):
        if len(daemon.seen) == 1:
            await asyncio.sleep(60)
        return run_named(request.run_id)

    daemon.on(GetRun=get_run)
    call = asyncio.create_task(client.get_run("r").info())
    await until(lambda: daemon.seen)
    await daemon.stop()
    await daemon.start()
    assert (await call).run_id == "r"


async def test_nobody_is_there():
    async with hookd.connect("127.0.0.1:1", timeout=0.4) as client:
        began = time.monotonic()
        with pytest.raises(hookd.UnavailableError, match=r"hookd at 127\.0\.0\.1:1 cannot be"):
            await client.get_run("r").info()
        assert time.monotonic() - began < 2


async def test_no_answer_in_time(daemon):
    async def never(request, context):
        await asyncio.sleep(60)

    daemon.on(GetRun=never)
    async with hookd.connect(daemon.address, timeout=0.2) as client:
        with pytest.raises(TimeoutError, match=r"No answer within 0\.2 s") as caught:
            await client.get_run("r").info()
    assert isinstance(caught.value, hookd.DeadlineExceededError)


async def test_a_busy_daemon_is_asked_again_and_other_limits_are_not(daemon, client):
    limit = "calls_in_flight"

    async def busy(request, context):
        if len(daemon.seen) % 3:
            await refuse(context, Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", {"limit": limit})
        return run_named(request.run_id)

    daemon.on(GetRun=busy)
    assert (await client.get_run("r").info()).run_id == "r"
    assert len(daemon.seen) == 3
    limit = "streams"
    with pytest.raises(hookd.LimitExceededError):
        await client.get_run("r").info()
    assert len(daemon.seen) == 4


async def test_what_is_refused_is_not_asked_again(daemon, client):
    async def refused(request, context):
        await refuse(context, Code.NOT_FOUND, "RUN_NOT_FOUND", {"run_id": request.run_id})

    daemon.on(GetRun=refused)
    with pytest.raises(hookd.RunNotFoundError):
        await client.get_run("r").info()
    assert len(daemon.seen) == 1


async def test_cancelling_a_call_is_no_error_of_hookd(daemon, client):
    async def never(request, context):
        await asyncio.sleep(60)

    daemon.on(GetRun=never)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await client.get_run("r").info()
    assert not isinstance(caught.value, hookd.HookdError)


async def test_closing_the_client_ends_its_calls(daemon, client):
    async def never(request, context):
        await asyncio.sleep(60)

    async def silence(request, context):
        await asyncio.sleep(60)
        yield

    daemon.on(
        GetRun=never, AwaitRun=never, CreateHook=never, ReceivePayloads=silence, WatchRun=silence
    )
    run = client.get_run("r")
    hook = hookd.Hook(client._transport, run, hook_id="h", token="t")

    async def watch():
        async for _ in run.watch():
            pass

    calls = [
        asyncio.ensure_future(call)
        for call in (run.info(), run.return_value(), run.create_hook(), hook, watch())
    ]
    await until(lambda: len(daemon.seen) == len(calls))
    await client.close()
    await client.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [hookd.ClientClosedError] * len(calls)
    for late in (run.info(), run.create_hook(), run.return_value(), hook):
        with pytest.raises(hookd.ClientClosedError):
            await late


async def test_a_client_that_was_closed_before_its_first_call():
    client = hookd.connect()
    await client.close()
    with pytest.raises(hookd.ClientClosedError):
        await client.stats()


async def test_the_wait_for_a_hook_is_not_begun_anew_by_a_retry(daemon, client):
    async def resume(request, context):
        if len(daemon.seen) == 1:
            await asyncio.sleep(0.5)
            await refuse(context, Code.UNAVAILABLE)
        await refuse(context, Code.NOT_FOUND, "HOOK_NOT_FOUND", {"token": request.token})

    daemon.on(ResumeHook=resume)
    with pytest.raises(hookd.HookNotFoundError):
        await client.resume_hook("t", wait=2)
    first, second = (r.wait.ToTimedelta().total_seconds() for r in daemon.requests("ResumeHook"))
    assert first == pytest.approx(2, abs=0.1)
    assert second < 1.6


async def test_the_trace_goes_with_the_call(daemon, client):
    from opentelemetry import trace

    async def get_run(request, context):
        return run_named("r")

    daemon.on(GetRun=get_run)
    span = trace.NonRecordingSpan(
        trace.SpanContext(trace_id=1, span_id=2, is_remote=False, trace_flags=trace.TraceFlags(1))
    )
    with trace.use_span(span):
        await client.get_run("r").info()
    await client.get_run("r").info()
    traced, plain = daemon.metadata
    assert traced["traceparent"] == f"00-{1:032x}-{2:016x}-01"
    assert "traceparent" not in plain
