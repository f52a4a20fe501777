"""What goes together when many hooks are created at once, and who is told what."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hookd import (
    ClientClosedError,
    DeadlineExceededError,
    HookConflictError,
    HookdError,
    InvalidArgumentError,
    LimitExceededError,
    RunNotFoundError,
    UnavailableError,
    merging,
)
from hookd.merging import ClaimMerger
from hookd.pending import Claimed
from hookd.retry import Backoff
from hookd.v1 import common_pb2, errors_pb2, webhook_pb2
from hookd.v1 import hook_service_pb2 as pb

from tests.unit.client.fake import until


class Call:
    """A call that has been sent, and waits for the test to answer it."""

    def __init__(self, method: str, request: Any, timeout: float | None, *, retry: bool) -> None:
        self.method = method
        self.request = request
        self.timeout = timeout
        self.retry = retry
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @property
    def tokens(self) -> list[str]:
        """The tokens that it claims; of a dispose, the hook's id."""
        match self.method:
            case "CreateHook":
                return [self.request.hook.token]
            case "CreateHooks":
                return [item.hook.token for item in self.request.hooks]
            case _:
                return [self.request.ref.hook_id]

    def grant(self, **errors: errors_pb2.Error) -> None:
        """Answers that the hooks were created, but for those with an error, by token."""
        if self.method == "CreateHooks":
            results = []
            for item in self.request.hooks:
                if item.hook.token in errors:
                    results.append(pb.HookClaimResult(error=errors[item.hook.token]))
                else:
                    hook = item.hook
                    claimed = pb.ClaimedHook(hook_id=hook.hook_id, token=hook.token, revision=7)
                    results.append(pb.HookClaimResult(claimed=claimed))
            self.outcome.set_result(pb.CreateHooksResponse(results=results))
        elif self.method == "CreateHook":
            hook = self.request.hook
            made = common_pb2.Hook(hook_id=hook.hook_id, token=hook.token, revision=7)
            made.url = "http://w" if hook.HasField("webhook") else ""
            self.outcome.set_result(pb.CreateHookResponse(hook=made))
        else:
            self.outcome.set_result(pb.DisposeHookResponse())

    def fail(self, error: BaseException) -> None:
        self.outcome.set_exception(error)


class _Names:
    def __getattr__(self, name: str) -> str:
        return name


class Wire:
    """In place of the transport: keeps the calls until the test answers them."""

    project = "p"
    hooks = _Names()

    def __init__(self, timeout: float = 30) -> None:
        self.timeout = timeout
        self.calls: list[Call] = []
        self.closed = False
        self.tasks: set[asyncio.Task[None]] = set()

    async def call(
        self, method: Any, request: Any, *, timeout: float | None = None, retry: bool = True
    ) -> Any:
        call = Call(method, request, timeout, retry=retry)
        self.calls.append(call)
        return await call.outcome

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def sent(self) -> list[list[str]]:
        """The tokens of each call so far."""
        return [call.tokens for call in self.calls]


class Caller:
    """Creates hooks with a merger, each in a task."""

    def __init__(self, timeout: float = 30) -> None:
        self.wire = Wire(timeout)
        self.merger = ClaimMerger(self.wire)  # type: ignore[arg-type]

    async def claim(
        self,
        token: str,
        *,
        disposable: bool = True,
        size: int = 0,
        webhook: webhook_pb2.Webhook | None = None,
    ) -> Claimed:
        spec = common_pb2.HookSpec(hook_id=f"{token}!", token=token, webhook=webhook)
        claim = pb.HookClaim(run_id="r", hook=spec)
        if size:
            claim.hook.metadata.data = bytes(size)
        return await self.merger.create(claim, disposable=disposable)

    def create(self, token: str, **more: Any) -> asyncio.Task[Claimed]:
        return asyncio.ensure_future(self.claim(token, **more))

    async def calls(self, count: int) -> list[Call]:
        """Waits until so many calls have been sent; gives them."""
        await until(lambda: len(self.wire.calls) >= count)
        await turns()
        assert len(self.wire.calls) == count, self.wire.sent()
        return self.wire.calls

    def close(self) -> None:
        """What closing the client does."""
        self.wire.closed = True
        self.merger.close()
        for task in tuple(self.wire.tasks):
            task.cancel()


async def turns(count: int = 10) -> None:
    """Lets everything happen that can happen by itself."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """No task stays behind, and no error that nobody was told."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    others = asyncio.all_tasks() - {asyncio.current_task()}
    _, left = await asyncio.wait(others, timeout=5) if others else (others, set())
    for task in left:
        task.cancel()
    assert not left
    gc.collect()
    await turns()
    assert complaints == []


@pytest.fixture
def caller() -> Caller:
    return Caller()


def item_error(code: int, reason: errors_pb2.ErrorReason, message: str = "no") -> errors_pb2.Error:
    return errors_pb2.Error(code=code, reason=reason, message=message, metadata={"run_id": "r"})


async def outcomes(*tasks: asyncio.Task[Any]) -> list[Any]:
    """What became of each: the token of its hook, or the error."""
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [item.token if isinstance(item, Claimed) else item for item in found]


# What goes together


async def test_claims_of_one_turn_go_in_one_call_in_their_order(caller: Caller) -> None:
    tasks = [caller.create(f"t{n}") for n in range(64)]
    (call,) = await caller.calls(1)
    assert call.tokens == [f"t{n}" for n in range(64)]
    call.grant()
    answers = await asyncio.gather(*tasks)
    assert [(a.token, a.hook_id, a.revision) for a in answers] == [
        (f"t{n}", f"t{n}!", 7) for n in range(64)
    ]


async def test_a_claim_that_comes_alone_goes_alone_and_at_once(caller: Caller) -> None:
    task = caller.create("t")
    await turns(2)  # One for the caller's task, one for the sender's.
    (call,) = caller.wire.calls
    assert call.method == "CreateHook"
    call.grant()
    assert await outcomes(task) == ["t"]


async def test_claims_gather_while_two_calls_are_on_their_way(caller: Caller) -> None:
    first = caller.create("a")
    await caller.calls(1)
    second = caller.create("b")
    await caller.calls(2)
    later = [caller.create(f"c{n}") for n in range(3)]
    calls = await caller.calls(2)
    calls[1].grant()
    calls = await caller.calls(3)
    assert caller.wire.sent() == [["a"], ["b"], ["c0", "c1", "c2"]]
    calls[0].grant()
    calls[2].grant()
    assert await outcomes(first, second, *later) == ["a", "b", "c0", "c1", "c2"]


async def test_those_who_claim_again_at_once_go_with_those_who_wait(caller: Caller) -> None:
    async def twice(n: int) -> None:
        await caller.claim(f"a{n}")
        await caller.claim(f"b{n}")

    loops = [asyncio.ensure_future(twice(n)) for n in range(3)]
    await caller.calls(1)
    alone = caller.create("x")
    calls = await caller.calls(2)
    waiting = caller.create("y")
    await turns()
    calls[0].grant()
    calls = await caller.calls(3)
    assert calls[2].tokens == ["y", "b0", "b1", "b2"]
    calls[1].grant()
    calls[2].grant()
    assert await outcomes(alone, waiting) == ["x", "y"]
    await asyncio.gather(*loops)


async def test_a_call_has_at_most_1024_claims_and_8_mib(caller: Caller) -> None:
    many = [caller.create(f"t{n}") for n in range(1030)]
    calls = await caller.calls(2)
    assert [len(call.tokens) for call in calls] == [1024, 6]
    for call in calls:
        call.grant()
    await asyncio.gather(*many)
    large = [caller.create(f"u{n}", size=3 << 20) for n in range(3)]
    calls = await caller.calls(4)
    assert [call.tokens for call in calls[2:]] == [["u0", "u1"], ["u2"]]
    for call in calls[2:]:
        call.grant()
    await asyncio.gather(*large)


async def test_a_webhook_has_a_call_for_itself_which_gives_its_url(caller: Caller) -> None:
    webhook = webhook_pb2.Webhook(manual=webhook_pb2.ManualAnswer())
    tasks = [caller.create("a"), caller.create("b", webhook=webhook), caller.create("c")]
    calls = await caller.calls(2)
    assert sorted(caller.wire.sent()) == [["a", "c"], ["b"]]
    for call in calls:
        call.grant()
    made = (await asyncio.gather(*tasks))[1]
    assert isinstance(made, common_pb2.Hook)
    assert made.url == "http://w"
    assert [c.request.hook.webhook for c in calls if c.method == "CreateHook"] == [webhook]


async def test_a_traced_claim_has_a_call_for_itself(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = [caller.create("a"), caller.create("b")]
    await caller.calls(1)
    monkeypatch.setattr(merging, "trace_metadata", lambda: (("traceparent", "00-1-2-01"),))
    traced = [caller.create("c"), caller.create("d")]
    calls = await caller.calls(3)
    assert caller.wire.sent() == [["a", "b"], ["c"], ["d"]]
    for call in calls:
        call.grant()
    assert await outcomes(*plain, *traced) == ["a", "b", "c", "d"]


# Who is told what


async def test_each_is_told_what_the_daemon_said_about_it(caller: Caller) -> None:
    tasks = [caller.create(token) for token in ("a", "b", "c", "d")]
    (call,) = await caller.calls(1)
    conflict = errors_pb2.Error(
        code=6,
        reason=errors_pb2.ERROR_REASON_HOOK_CONFLICT,
        message="taken",
        conflict=errors_pb2.HookConflict(token="b", run_id="owner", revision=3),
    )
    call.grant(b=conflict, d=item_error(5, errors_pb2.ERROR_REASON_RUN_NOT_FOUND))
    a, b, c, d = await outcomes(*tasks)
    assert (a, c) == ("a", "c")
    assert isinstance(b, HookConflictError)
    assert (b.token, b.conflicting_run_id, b.revision, str(b)) == ("b", "owner", 3, "taken")
    assert isinstance(d, RunNotFoundError)
    assert d.run_id == "r"
    assert (b.__cause__, b.__context__) == (None, None)


async def test_what_is_wrong_with_a_claim_is_asked_for_alone(caller: Caller) -> None:
    # An item of a batch does not say which field is wrong, a status does.
    tasks = [caller.create("a"), caller.create("bad")]
    (call,) = await caller.calls(1)
    call.grant(bad=item_error(3, errors_pb2.ERROR_REASON_INVALID_ARGUMENT, "hooks[1].hook.token"))
    calls = await caller.calls(2)
    assert (calls[1].method, calls[1].tokens) == ("CreateHook", ["bad"])
    refusal = InvalidArgumentError.of("hook.token", "is bad")
    calls[1].fail(refusal)
    a, bad = await outcomes(*tasks)
    assert a == "a"
    assert isinstance(bad, InvalidArgumentError)
    assert bad.violations == refusal.violations


async def test_a_group_that_is_refused_is_asked_one_by_one(caller: Caller) -> None:
    tasks = [caller.create("a"), caller.create("b"), caller.create("c")]
    (call,) = await caller.calls(1)
    call.fail(HookdError("one of you is bad", reason="INTERNAL"))
    calls = await caller.calls(4)
    assert caller.wire.sent()[1:] == [["a"], ["b"], ["c"]]
    calls[1].grant()
    calls[2].fail(HookdError("you are", reason="INTERNAL"))
    calls[3].grant()
    a, b, c = await outcomes(*tasks)
    assert (a, str(b), c) == ("a", "you are", "c")


async def test_a_daemon_that_miscounts_is_asked_one_by_one(caller: Caller) -> None:
    tasks = [caller.create("a"), caller.create("b")]
    (call,) = await caller.calls(1)
    call.outcome.set_result(pb.CreateHooksResponse())
    for call in (await caller.calls(3))[1:]:
        call.grant()
    assert await outcomes(*tasks) == ["a", "b"]


async def test_whatever_else_goes_wrong_is_told_too(caller: Caller) -> None:
    tasks = [caller.create("a"), caller.create("b")]
    (call,) = await caller.calls(1)
    call.fail(RuntimeError("nobody thought of this"))
    for error in await outcomes(*tasks):
        assert isinstance(error, RuntimeError)
    alone = caller.create("c")
    (await caller.calls(2))[1].fail(RuntimeError("nor of this"))
    assert [type(error) for error in await outcomes(alone)] == [RuntimeError]


# A daemon that does not answer


@pytest.mark.parametrize(
    "error",
    [UnavailableError("gone"), LimitExceededError("full", metadata={"limit": "calls_in_flight"})],
    ids=["gone", "full"],
)
@pytest.mark.parametrize("count", [1, 3])
async def test_a_group_that_was_not_answered_is_sent_again_with_its_ids(
    caller: Caller, error: HookdError, count: int
) -> None:
    tasks = [caller.create(f"t{n}") for n in range(count)]
    for attempt in range(3):
        calls = await caller.calls(attempt + 1)
        assert not calls[attempt].retry
        calls[attempt].fail(error)
    calls = await caller.calls(4)
    assert [call.request for call in calls[1:]] == [calls[0].request] * 3
    calls[3].grant()
    assert await outcomes(*tasks) == [f"t{n}" for n in range(count)]


async def test_whoever_comes_in_an_outage_is_sent_at_once(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda _: 0.05)
    tasks = [caller.create("a"), caller.create("b")]
    (await caller.calls(1))[0].fail(UnavailableError("gone"))
    await turns()
    tasks.append(caller.create("c"))
    await turns()
    assert caller.wire.sent() == [["a", "b"], ["c"]]
    caller.wire.calls[1].fail(UnavailableError("gone"))
    await until(lambda: sum(call.tokens != ["c"] for call in caller.wire.calls) == 2)
    done: set[int] = set()

    def all_answered() -> bool:
        for at, call in enumerate(caller.wire.calls):
            if not call.outcome.done() and at not in done:
                done.add(at)
                call.grant()
        return all(task.done() for task in tasks)

    await until(all_answered)
    assert await outcomes(*tasks) == ["a", "b", "c"]


async def test_whoever_has_no_time_for_another_attempt_is_told_what_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda _: 60.0)
    caller = Caller(timeout=30)
    tasks = [caller.create("a"), caller.create("b")]
    (await caller.calls(1))[0].fail(UnavailableError("gone", reason="STORE_UNAVAILABLE"))
    a, b = await outcomes(*tasks)
    for error in (a, b):
        assert isinstance(error, UnavailableError)
        assert (str(error), error.reason) == ("gone", "STORE_UNAVAILABLE")
    assert a is not b


async def test_each_claim_keeps_its_own_deadline() -> None:
    caller = Caller(timeout=0.2)
    clock = asyncio.get_running_loop().time

    async def waited(token: str) -> float:
        begin = clock()
        with pytest.raises(DeadlineExceededError, match=r"^No answer within 0\.2 s$"):
            await caller.claim(token)
        return clock() - begin

    claims = [asyncio.ensure_future(waited(token)) for token in ("a", "b")]
    await caller.calls(1)
    claims.append(asyncio.ensure_future(waited("c")))
    await caller.calls(2)
    # This one has to wait for calls that are not answered themselves.
    await asyncio.sleep(0.1)
    claims.append(asyncio.ensure_future(waited("d")))
    assert min(await asyncio.gather(*claims)) > 0.199
    assert caller.wire.sent() == [["a", "b"], ["c"]]
    for call in caller.wire.calls:
        call.fail(DeadlineExceededError("No answer within 0.19 s"))


async def test_a_call_that_ends_with_a_deadline_tells_all_of_its_group(caller: Caller) -> None:
    tasks = [caller.create("a"), caller.create("b")]
    (call,) = await caller.calls(1)
    assert 29 < call.timeout <= 30
    call.fail(DeadlineExceededError("No answer within 29.999 s"))
    assert [str(error) for error in await outcomes(*tasks)] == ["No answer within 30 s"] * 2


# Callers who give up


async def test_whoever_gives_up_before_it_is_sent_is_not_sent(caller: Caller) -> None:
    first, second = caller.create("a"), caller.create("b")
    await turns()
    third = caller.create("c")
    calls = await caller.calls(2)
    unsent, stays = caller.create("d"), caller.create("e")
    await turns()
    unsent.cancel()
    calls[0].grant()
    calls = await caller.calls(3)
    assert caller.wire.sent() == [["a", "b"], ["c"], ["e"]]
    calls[1].grant()
    calls[2].grant()
    assert await outcomes(first, second, third, stays) == ["a", "b", "c", "e"]
    assert unsent.cancelled()


async def test_whoever_gives_up_on_the_way_harms_nobody_and_holds_no_token(caller: Caller) -> None:
    stays, leaves = caller.create("a"), caller.create("b")
    named, lost = caller.create("c", disposable=False), caller.create("d")
    (call,) = await caller.calls(1)
    for task in (leaves, named, lost):
        task.cancel()
    await turns()
    assert leaves.cancelled()
    call.grant(d=item_error(5, errors_pb2.ERROR_REASON_RUN_NOT_FOUND))
    assert await outcomes(stays) == ["a"]
    calls = await caller.calls(2)
    # The user knows the id of the named one, and the lost one was not created.
    assert (calls[1].method, calls[1].tokens) == ("DisposeHook", ["b!"])
    calls[1].grant()


@pytest.mark.parametrize("count", [1, 3])
async def test_when_all_give_up_what_was_created_is_given_back(caller: Caller, count: int) -> None:
    tasks = [caller.create(f"t{n}") for n in range(count)]
    (call,) = await caller.calls(1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    call.grant()
    calls = await caller.calls(1 + count)
    assert caller.wire.sent()[1:] == [[f"t{n}!"] for n in range(count)]
    for call in calls[1:]:
        call.grant()


async def test_an_answer_at_the_moment_of_giving_up_is_given_back(caller: Caller) -> None:
    task = caller.create("a")
    (call,) = await caller.calls(1)
    call.grant()
    await turns(1)  # The sender has the answer now, and the caller has it in the next turn.
    assert not task.done()
    task.cancel()
    calls = await caller.calls(2)
    assert calls[1].tokens == ["a!"]
    calls[1].grant()
    assert task.cancelled()


async def test_what_may_have_been_created_for_nobody_is_given_back(caller: Caller) -> None:
    stays, leaves = caller.create("a"), caller.create("b")
    (call,) = await caller.calls(1)
    leaves.cancel()
    await turns()
    call.fail(UnavailableError("gone"))
    calls = await caller.calls(3)
    assert caller.wire.sent()[1:] == [["b!"], ["a"]]
    # Nor is it claimed again for one who gives up while it waits to be sent again.
    calls[2].fail(UnavailableError("gone"))
    calls[1].grant()
    await turns()
    stays.cancel()
    calls = await caller.calls(4)
    assert (calls[3].method, calls[3].tokens) == ("DisposeHook", ["a!"])
    calls[3].fail(RunNotFoundError("r"))


async def test_what_was_refused_for_want_of_room_need_not_be_given_back(caller: Caller) -> None:
    stays, leaves = caller.create("a"), caller.create("b")
    (call,) = await caller.calls(1)
    leaves.cancel()
    await turns()
    call.fail(LimitExceededError("full", metadata={"limit": "calls_in_flight"}))
    calls = await caller.calls(2)
    assert calls[1].tokens == ["a"]
    calls[1].grant()
    assert await outcomes(stays) == ["a"]


# A client that is closed


async def test_closing_tells_everybody_who_waits(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda _: 0.01)
    aside = [caller.create("a"), caller.create("b")]
    (await caller.calls(1))[0].fail(UnavailableError("gone"))
    await turns()
    sent = [caller.create("c")]
    await turns()
    sent.append(caller.create("d"))
    await turns()
    gathered = caller.create("e")
    await turns()
    caller.close()
    errors = await outcomes(*aside, *sent, gathered)
    assert [str(error) for error in errors] == ["The client was closed"] * 5
    assert {type(error) for error in errors} == {ClientClosedError}
    count = len(caller.wire.calls)
    await asyncio.sleep(0.03)  # What was put aside must not come back.
    assert len(caller.wire.calls) == count


async def test_closing_in_the_turn_of_a_claim_tells_it(caller: Caller) -> None:
    task = caller.create("a")
    await turns(1)
    # Its sender has not begun: cancelled now, it never will.
    assert not caller.wire.calls
    caller.close()
    assert [type(error) for error in await outcomes(task)] == [ClientClosedError]


async def test_a_loop_that_cancels_everything_leaves_nobody_waiting(caller: Caller) -> None:
    tasks = [caller.create("a"), caller.create("b")]
    await caller.calls(1)
    for task in tuple(caller.wire.tasks):
        task.cancel()
    assert [type(error) for error in await outcomes(*tasks)] == [ClientClosedError] * 2
