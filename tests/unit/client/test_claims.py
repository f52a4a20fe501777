"""Many claims: merged by themselves, in batches, and as a stream."""

import asyncio

import grpc
import hookd
import pytest
from hookd import HookClaim, HookSpec
from hookd.v1 import common_pb2, errors_pb2, hook_service_pb2

from tests.unit.client.fake import refuse, until

Code = grpc.StatusCode


class Tokens:
    """Gives tokens to whoever comes first, by hook id, like the daemon."""

    def __init__(self, daemon) -> None:
        self.owners: dict[str, str] = {}
        self.lose = 0
        self.pause = 0.0
        self.calls = 0
        daemon.on(
            CreateHook=self.create,
            CreateHooks=self.create_many,
            ClaimStream=self.stream,
            DisposeHook=self.dispose,
        )

    def claim(self, hook) -> hook_service_pb2.HookClaimResult:
        owner = self.owners.setdefault(hook.token, hook.hook_id)
        if owner == hook.hook_id:
            return hook_service_pb2.HookClaimResult(
                claimed=hook_service_pb2.ClaimedHook(
                    hook_id=hook.hook_id, token=hook.token, revision=len(self.owners)
                )
            )
        return hook_service_pb2.HookClaimResult(
            error=errors_pb2.Error(
                code=6,
                reason=errors_pb2.ERROR_REASON_HOOK_CONFLICT,
                conflict=errors_pb2.HookConflict(token=hook.token, run_id="owner"),
            )
        )

    async def create(self, request, context):
        self.calls += 1
        await asyncio.sleep(self.pause)
        result = self.claim(request.hook)
        if result.HasField("error"):
            await refuse(context, Code.ALREADY_EXISTS, "HOOK_CONFLICT", {"token": "x"})
        return hook_service_pb2.CreateHookResponse(
            hook=common_pb2.Hook(
                hook_id=result.claimed.hook_id, token=result.claimed.token, revision=1
            )
        )

    async def create_many(self, request, context):
        self.calls += 1
        await asyncio.sleep(self.pause)
        results = [self.claim(item.hook) for item in request.hooks]
        if self.lose:
            self.lose -= 1
            await refuse(context, Code.UNAVAILABLE)
        return hook_service_pb2.CreateHooksResponse(results=results)

    async def stream(self, requests, context):
        async for request in requests:
            self.calls += 1
            results = [self.claim(item.hook) for item in request.hooks]
            if self.lose:
                self.lose -= 1
                await refuse(context, Code.UNAVAILABLE)
            yield hook_service_pb2.ClaimStreamResponse(batch_id=request.batch_id, results=results)

    async def dispose(self, request, context):
        for token, owner in list(self.owners.items()):
            if owner == request.ref.hook_id:
                del self.owners[token]
        return hook_service_pb2.DisposeHookResponse()


@pytest.fixture
def tokens(daemon):
    return Tokens(daemon)


@pytest.fixture
def run(client):
    return client.get_run("r")


async def test_hooks_created_at_once_go_together(run, tokens):
    results = await asyncio.gather(
        *(run.create_hook(f"t{n % 90}") for n in range(100)), return_exceptions=True
    )
    assert tokens.calls <= 2
    assert [r.token for r in results[:90]] == [f"t{n}" for n in range(90)]
    assert [type(r) for r in results[90:]] == [hookd.HookConflictError] * 10
    assert results[90].token == "t0"


async def test_a_hook_alone_goes_alone(run, tokens, daemon):
    hook = await run.create_hook("t", metadata={"at": (1, 2)})
    assert (hook.token, hook.run, hook.metadata) == ("t", run, {"at": [1, 2]})
    assert len(daemon.requests("CreateHook")) == 1
    with pytest.raises(hookd.HookConflictError):
        await run.create_hook("t")
    assert await run.create_hook("t", hook_id=hook.hook_id)


async def test_more_hooks_than_a_call_takes(run, tokens):
    await asyncio.gather(*(run.create_hook(f"t{n}") for n in range(3000)))
    assert len(tokens.owners) == 3000


async def test_a_lost_answer_to_merged_claims(run, tokens):
    tokens.lose = 2
    hooks = await asyncio.gather(*(run.create_hook(f"t{n}") for n in range(50)))
    assert {hook.hook_id for hook in hooks} == set(tokens.owners.values())


async def test_an_error_of_a_merged_call_reaches_each(run, daemon):
    async def broken(request, context):
        await refuse(context, Code.INTERNAL, message="broken")

    daemon.on(CreateHooks=broken, CreateHook=broken)
    results = await asyncio.gather(*(run.create_hook() for _ in range(3)), return_exceptions=True)
    assert [str(r) for r in results] == ["broken"] * 3
    assert len({id(r) for r in results}) == 3


async def test_hook_failed_claim_takes_nothing_when_cancelled(run, tokens):
    tokens.pause = 0.2
    sent = asyncio.ensure_future(run.create_hook("sent"))
    await until(lambda: tokens.calls)
    others = [asyncio.ensure_future(run.create_hook(f"t{n}")) for n in range(2)]
    await asyncio.sleep(0.01)
    unsent = asyncio.ensure_future(run.create_hook("unsent"))
    await asyncio.sleep(0.01)
    for task in (sent, unsent):
        task.cancel()
    await asyncio.gather(*others)
    await asyncio.sleep(0.3)
    assert set(tokens.owners) == {"t0", "t1"}


async def test_a_cancelled_claim_with_an_id_of_the_users_stays(run, tokens):
    tokens.pause = 0.1
    task = asyncio.ensure_future(run.create_hook("t", hook_id="mine"))
    await until(lambda: tokens.calls)
    task.cancel()
    await asyncio.sleep(0.2)
    assert tokens.owners == {"t": "mine"}


async def test_closing_the_client_in_the_turn_of_a_claim(client, run, tokens):
    task = asyncio.ensure_future(run.create_hook("t"))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(hookd.ClientClosedError):
        await task


async def test_a_batch_has_a_result_for_each(client, tokens):
    results = await client.create_hooks(
        [
            HookClaim("r1", HookSpec("a")),
            HookClaim("r2", HookSpec("")),
            HookClaim("r2", HookSpec("a")),
            HookClaim("", HookSpec("b")),
            HookClaim("r2", HookSpec("c", metadata=1)),
        ]
    )
    assert [type(r) for r in results] == [
        hookd.Hook,
        hookd.InvalidArgumentError,
        hookd.HookConflictError,
        hookd.InvalidArgumentError,
        hookd.Hook,
    ]
    first, last = results[0], results[4]
    assert isinstance(first, hookd.Hook)
    assert isinstance(last, hookd.Hook)
    assert (first.run.run_id, last.run.run_id, last.metadata) == ("r1", "r2", 1)


async def test_a_batch_larger_than_a_call(client, tokens, daemon):
    results = await client.create_hooks(HookClaim("r", HookSpec(f"t{n}")) for n in range(2100))
    assert [r.token for r in results if isinstance(r, hookd.Hook)] == [f"t{n}" for n in range(2100)]
    assert [len(r.hooks) for r in daemon.requests("CreateHooks")] == [1024, 1024, 52]


async def test_a_daemon_that_miscounts(client, daemon):
    async def miscount(request, context):
        return hook_service_pb2.CreateHooksResponse()

    daemon.on(CreateHooks=miscount)
    with pytest.raises(hookd.HookdError, match="0 results for 1 items"):
        await client.create_hooks([HookClaim("r", HookSpec("t"))])


def batch(*tokens: str) -> list[HookClaim]:
    return [HookClaim("r", HookSpec(token)) for token in tokens]


async def test_a_claim_stream_is_a_pipeline(client, tokens):
    async with client.claim_stream() as stream:
        answers = [stream.submit(batch(f"a{n}", f"b{n}")) for n in range(100)]
        results = await asyncio.gather(*answers)
        mixed = await stream.submit([*batch("a0"), *batch(""), *batch("new")])
        assert await stream.submit([]) == []
        assert [type(r) for r in await stream.submit(batch(""))] == [hookd.InvalidArgumentError]
    assert [[r.token for r in result] for result in results] == [
        [f"a{n}", f"b{n}"] for n in range(100)
    ]
    assert [type(r) for r in mixed] == [
        hookd.HookConflictError,
        hookd.InvalidArgumentError,
        hookd.Hook,
    ]


async def test_a_claim_stream_survives_lost_connections(client, tokens):
    tokens.lose = 3
    async with client.claim_stream() as stream:
        answers = [stream.submit(batch(f"t{n}")) for n in range(30)]
        await asyncio.sleep(0.3)
        answers += [stream.submit(batch(f"t{n}")) for n in range(30, 40)]
        tokens.lose = 1
        results = await asyncio.gather(*answers)
    assert all(isinstance(r, hookd.Hook) for result in results for r in result)
    assert len(tokens.owners) == 40


async def test_leaving_a_claim_stream_waits_for_its_answers(client, tokens):
    async with client.claim_stream() as stream:
        answer = stream.submit(batch("t"))
    assert answer.done()
    assert [type(r) for r in answer.result()] == [hookd.Hook]
    with pytest.raises(hookd.ClientClosedError):
        stream.submit(batch("u"))


async def test_leaving_a_claim_stream_with_an_error_does_not_wait(client, daemon):
    async def silent(requests, context):
        async for _ in requests:
            await asyncio.sleep(60)
        yield

    daemon.on(ClaimStream=silent)
    answers = []

    async def leave():
        async with client.claim_stream() as stream:
            answers.append(stream.submit(batch("t")))
            await asyncio.sleep(0.05)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await leave()
    assert answers[0].cancelled()


async def test_a_claim_stream_that_is_refused(client, daemon):
    async def refused(requests, context):
        await refuse(context, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", {}, message="bad project")
        yield

    async def refused_too(request, context):
        await refuse(context, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", {}, message="bad project")

    daemon.on(ClaimStream=refused, CreateHooks=refused_too)
    async with client.claim_stream() as stream:
        answers = [stream.submit(batch("t")) for _ in range(3)]
        for answer in answers:
            with pytest.raises(hookd.InvalidArgumentError, match="bad project"):
                await answer
        with pytest.raises(hookd.InvalidArgumentError, match="bad project"):
            stream.submit(batch("t"))


async def test_a_claim_stream_whose_client_is_closed(client, daemon):
    async def silent(requests, context):
        async for _ in requests:
            await asyncio.sleep(60)
        yield

    daemon.on(ClaimStream=silent)
    async with client.claim_stream() as stream:
        answer = stream.submit(batch("t"))
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(hookd.ClientClosedError):
            await answer


async def test_a_batch_that_nobody_awaits_any_more_has_its_turn(client, tokens):
    async with client.claim_stream() as stream:
        given_up = stream.submit(batch("a"))
        given_up.cancel()
        assert [type(r) for r in await stream.submit(batch("b"))] == [hookd.Hook]


async def test_too_large_a_batch(client, tokens):
    async with client.claim_stream() as stream:
        with pytest.raises(hookd.InvalidArgumentError, match="at most 1024, are 1025"):
            stream.submit(batch(*(f"t{n}" for n in range(1025))))
    with pytest.raises(RuntimeError):
        client.claim_stream().submit(batch("t"))
