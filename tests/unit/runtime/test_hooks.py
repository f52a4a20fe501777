"""Hooks in workflow code."""

import asyncio
import re

import hookd
import pytest
from hookd.errors import HookClosedError, HookConflictError, InvalidArgumentError
from hookd.v1.events_pb2 import HookReceived
from hookd.workflows.errors import HookPayloadError, OutsideWorkflowError, WorkflowRuleError
from hookd.workflows.hook_types import define_hook
from hookd.workflows.hooks import create_hook
from hookd.workflows.timers import sleep

from tests.unit.runtime.story import Story, execution_of


async def test_a_wait_gives_the_next_payload():
    async def w(order: str):
        hook = create_hook(token=f"payment-{order}", metadata={"order": order})
        return [await hook, await hook, hook.token, hook.metadata, hook.hook_id]

    story = Story(w, "42").settle()
    assert story.kinds == ["hook_created"]
    story.payload("payment-42", 1).settle()
    story.payload("payment-42", {"a": [None]}).settle()
    assert story.result == [1, {"a": [None]}, "payment-42", {"order": "42"}, "hook-1"]


async def test_the_claim_is_made_by_the_call_and_not_by_the_wait():
    async def w():
        create_hook(token="lock")
        await sleep(10)

    assert Story(w).kinds == ["hook_created", "timer_started"]


async def test_payloads_that_come_before_anyone_waits_are_kept_in_order():
    async def w():
        hook = create_hook(token="t")
        await sleep(10)
        return [await hook, await hook, await hook]

    story = Story(w)
    story.payload("t", 1).payload("t", 2).payload("t", 3).advance(10).settle()
    assert story.result == [1, 2, 3]


async def test_a_loop_takes_all_and_ends_with_the_hook():
    async def w():
        return [payload async for payload in create_hook(token="t")]

    story = Story(w)
    story.payload("t", 1).payload("t", 2).dispose("t").settle()
    assert story.result == [1, 2]


async def test_payloads_come_also_after_a_dispose_that_follows_them():
    async def w():
        hook = create_hook(token="t")
        await sleep(10)
        hook.dispose()
        got = [payload async for payload in hook]
        with pytest.raises(HookClosedError) as closed:
            await hook
        return [*got, closed.value.status]

    story = Story(w).payload("t", 1)
    story.advance(10, settle=False)
    # The code has asked for the dispose. The daemon takes one more before it.
    story.payload("t", 2).settle()
    assert story.result == [1, 2, "disposed"]


async def test_a_hook_that_expired_says_so():
    async def w():
        hook = create_hook(token="t", ttl="10m")
        with pytest.raises(HookClosedError) as closed:
            await hook
        assert await hook.dispose() is False
        return [closed.value.status, closed.value.run_id, closed.value.hook_id]

    story = Story(w).expire("t").settle()
    assert story.result == ["expired", "run-1", "hook-1"]
    assert story.kinds == ["hook_created", "run_completed"]


async def test_a_block_disposes_the_hook_once():
    async def w():
        async with create_hook(token="t") as hook:
            first = await hook
            hook.dispose()
        return first

    story = Story(w).payload("t", 1).settle()
    assert story.kinds == ["hook_created", "hook_disposed", "run_completed"]


async def test_dispose_acts_at_once_and_tells_whether_it_gave_something_up():
    async def w():
        hook = create_hook(token="t")
        first = hook.dispose()
        second = hook.dispose()
        again = create_hook(token="t")
        assert await again.get_conflict() is None
        return [await first, await second, await first, again.hook_id]

    story = Story(w)
    assert story.result == [True, False, True, "hook-2"]
    assert story.kinds == ["hook_created", "hook_disposed", "hook_created", "run_completed"]


async def test_dispose_of_a_hook_that_is_gone_meanwhile():
    async def w():
        hook = create_hook(token="t")
        await sleep(1)
        return await hook.dispose()

    story = Story(w).advance(1, settle=False)
    story.expire("t").settle()
    assert story.result is False
    assert story.last("hook_disposed").hook_disposed.already_gone


class TestConflicts:
    async def test_every_wait_raises_the_conflict_with_its_facts(self):
        async def w():
            hook = create_hook(token="t")
            facts = []
            for _ in range(2):
                try:
                    await hook
                except HookConflictError as conflict:
                    facts.append(conflict)
            assert facts[0] is not facts[1]
            with pytest.raises(HookConflictError):
                async for _ in hook:
                    pass
            error = facts[0]
            return [
                error.token,
                error.conflicting_run_id,
                error.hook_id,
                error.run_status,
                error.workflow,
                error.revision,
                error.claimed_at,
                str(error),
            ]

        assert Story(w, taken=["t"]).result == [
            "t",
            "owner",
            "hook-9",
            "running",
            "other",
            7,
            "2023-11-14T22:13:20Z",
            'Hook token "t" is already in use by another workflow (run owner)',
        ]

    async def test_get_conflict_can_be_asked_again_and_takes_nothing(self):
        async def w():
            mine, theirs = create_hook(token="mine"), create_hook(token="theirs")
            none = [await mine.get_conflict(), await mine.get_conflict()]
            owners = [await theirs.get_conflict(), await theirs.get_conflict()]
            assert none == [None, None]
            assert owners[0] == owners[1]
            return [owners[0].run_id, await mine]

        story = Story(w, taken=["theirs"]).payload("mine", 1).settle()
        assert story.result == ["owner", 1]

    async def test_the_error_of_a_conflict_can_be_had_without_a_wait(self):
        async def w():
            mine, theirs = create_hook(token="mine"), create_hook(token="theirs")
            error = await theirs.conflict_error()
            assert isinstance(error, HookConflictError)
            return [await mine.conflict_error(), error.token, error.conflicting_run_id]

        assert Story(w, taken=["theirs"]).result == [None, "theirs", "owner"]

    async def test_the_owner_is_a_handle_without_calls(self):
        async def w():
            owner = await create_hook(token="t").get_conflict()
            assert isinstance(owner, hookd.Run)
            for call in (owner.status, owner.return_value, owner.cancel, owner.info):
                with pytest.raises(OutsideWorkflowError, match="to a step"):
                    await call()
            with pytest.raises(OutsideWorkflowError):
                async for _ in owner.readable():
                    pass
            return owner.run_id

        assert Story(w, taken=["t"]).result == "owner"

    async def test_waiting_for_the_outcome_of_a_claim_is_told_to_the_daemon(self):
        async def w():
            hook = create_hook(token="t")
            await hook.get_conflict()
            await sleep(1)

        execution = execution_of(Story(w).workflow)
        story = Story(w)
        execution.feed(story.events[:2])
        assert execution.awaits_claims
        execution.feed(story.events[2:3])
        assert not execution.awaits_claims

    async def test_a_conflict_in_a_block_disposes_nothing(self):
        async def w():
            try:
                async with create_hook(token="t") as hook:
                    await hook
            except HookConflictError:
                return "lost"

        story = Story(w, taken=["t"])
        assert story.kinds == ["hook_conflict", "run_completed"]

    async def test_dispose_before_the_conflict_is_known(self):
        async def w():
            hook = create_hook(token="t")
            return await hook.dispose()

        story = Story(w, taken=["t"])
        assert story.result is False

    async def test_a_wait_that_was_there_before_the_conflict_is_told(self):
        async def w():
            hook = create_hook(token="t")
            results = await asyncio.gather(hook, hook, return_exceptions=True)
            return [type(each).__name__ for each in results]

        assert Story(w, taken=["t"]).result == ["HookConflictError"] * 2


class TestLosingNoPayload:
    async def test_a_wait_that_timed_out_leaves_the_payload(self):
        async def w():
            hook = create_hook(token="t")
            try:
                async with asyncio.timeout(5):
                    await hook
            except TimeoutError:
                return await hook

        story = Story(w).advance(5).payload("t", "late").settle()
        assert story.result == "late"

    async def test_a_wait_that_lost_a_race_leaves_the_payload(self):
        async def w():
            hook = create_hook(token="t")
            waiting = asyncio.ensure_future(hook)
            _, pending = await asyncio.wait(
                [waiting, asyncio.create_task(sleep(1))], return_when=asyncio.FIRST_COMPLETED
            )
            assert waiting in pending
            waiting.cancel()
            return await hook

        story = Story(w).advance(1).payload("t", "mine").settle()
        assert story.result == "mine"

    async def test_a_payload_and_a_cancel_in_the_same_moment(self):
        async def w():
            hook = create_hook(token="t")
            tasks: list[asyncio.Task] = []

            async def take(number: int):
                try:
                    return [number, await hook]
                except asyncio.CancelledError:
                    return [number, "cancelled"]

            tasks += [asyncio.create_task(take(n)) for n in range(3)]
            await create_hook(token="gate")
            tasks[0].cancel()
            return await asyncio.gather(*tasks)

        for order in (("t", "gate"), ("gate", "t")):
            story = Story(w)
            for token in order:
                story.payload(token, token)
            story.payload("t", 2).payload("t", 3).settle()
            taken = [value for _, value in story.result if value != "cancelled"]
            assert taken == (["t", 2, 3] if order[0] == "t" else ["t", 2])

    async def test_a_woken_waiter_passes_the_payload_on(self):
        async def w():
            hook = create_hook(token="t")

            async def take(number: int):
                return [number, await hook]

            first, second = (asyncio.create_task(take(n)) for n in range(2))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            # The future of `first` is what a payload would wake; being woken and
            # being cancelled in one go is what this brings about.
            state = hook._state
            state.receive(HookReceived(payload=hookd.payload.encode("one", "value")))
            first.cancel()
            return await second

        assert Story(w).result == [1, "one"]

    async def test_waiters_are_served_in_their_order(self):
        async def w():
            hook = create_hook(token="t")
            return await asyncio.gather(*(asyncio.wait_for(hook, None) for _ in range(3)))

        story = Story(w).payload("t", 1).payload("t", 2).payload("t", 3).settle()
        assert story.result == [1, 2, 3]


class TestTokens:
    async def test_an_omitted_token_is_known_at_once_and_comes_from_the_seed(self):
        async def w():
            return [create_hook().token, create_hook().token]

        first, again = Story(w).result, Story(w).result
        other_run = Story(w, run_id="run-2").result
        other_seed = Story(w, seed=bytes(32)).result
        assert first == again == other_run  # The seed is the run's; its id plays no part.
        assert not set(first) & set(other_seed)
        assert len(set(first)) == 2
        for token in (*first, *other_seed):
            assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", token)

    async def test_none_begins_like_an_option(self):
        async def w():
            return [create_hook().token for _ in range(1000)]

        tokens = Story(w, replays=False).result
        assert len(set(tokens)) == 1000
        assert not [token for token in tokens if token.startswith("-")]

    async def test_a_token_that_is_none_is_refused_and_takes_nothing(self):
        async def w():
            for token in ("", 1, "\ud800", "x" * 5000):
                with pytest.raises(InvalidArgumentError, match="token"):
                    create_hook(token=token)
            with pytest.raises(InvalidArgumentError, match="metadata"):
                create_hook(token="t", metadata=object())
            with pytest.raises(InvalidArgumentError, match="metadata"):
                create_hook(token="t", metadata="x" * 70_000)
            with pytest.raises(InvalidArgumentError, match="ttl"):
                create_hook(token="t", ttl=0)
            with pytest.raises(InvalidArgumentError, match="hold_after"):
                create_hook(token="t", hold_after=-1)
            return "fine"

        story = Story(w)
        assert story.result == "fine"
        assert story.kinds == ["run_completed"]

    async def test_what_is_said_about_a_hook_reaches_the_daemon(self):
        async def w():
            create_hook(token="t", metadata=[1], ttl="1h30m", hold_after=0.5)
            await sleep(1)

        execution = execution_of(Story(w).workflow)
        execution.feed(Story(w).events[:2])
        spec = execution.commands()[0].create_hook
        assert (spec.hook_id, spec.token) == ("hook-1", "t")
        assert spec.ttl.seconds == 5400
        assert spec.hold_after.ToMilliseconds() == 500
        assert spec.metadata.data == b"[1]"

    async def test_the_secret_is_not_in_the_repr(self):
        async def w():
            return repr(create_hook(token="secret"))

        assert "secret" not in Story(w).result


class TestClaimsOfTheStart:
    async def test_the_hook_of_the_start_is_adopted_with_its_payloads(self):
        async def w():
            hook = create_hook(token="t")
            assert await hook.get_conflict() is None
            return [hook.hook_id, await hook, await hook, hook.revision is not None]

        story = Story(w, claims=["t"], begin=False).payload("t", 1)
        story.begin()
        story.payload("t", 2).settle()
        assert story.result == ["claim-1", 1, 2, True]
        assert story.kinds == ["run_completed"]

    async def test_only_the_first_one_adopts_it(self):
        async def w():
            first, second = create_hook(token="t"), create_hook(token="t")
            first.dispose()
            return [first.hook_id, second.hook_id]

        story = Story(w, claims=["t"])
        assert story.result == ["claim-1", "hook-1"]
        assert story.kinds == ["hook_created", "hook_disposed", "run_completed"]

    async def test_one_that_expired_before_is_empty_and_closed(self):
        async def w():
            with pytest.raises(HookClosedError):
                await create_hook(token="t")

        story = Story(w, claims=["t"], begin=False).expire("t")
        story.begin()
        assert story.result is None

    async def test_hooks_that_others_make_are_not_the_codes(self):
        async def w():
            await sleep(1)
            hook = create_hook(token="theirs-too")
            return [hook.hook_id, await hook]

        story = Story(w)
        created = hookd.v1.events_pb2.HookCreated(token="theirs")
        story.hooks["theirs"] = "hook-1"
        story.append("hook-1", hook_created=created)
        story.payload("theirs", 1)
        story.advance(1).payload("theirs-too", 2).settle()
        # Their id is taken: the code's hook has another.
        assert story.result == ["hook-2", 2]


class TestTypes:
    async def test_payloads_have_the_declared_type(self):
        async def w():
            hook = create_hook(token="t", type=dict[str, int])
            return await hook

        assert Story(w).payload("t", {"a": 1}).settle().result == {"a": 1}

    async def test_one_that_does_not_fit_can_be_caught_and_is_consumed(self):
        approvals = define_hook(int)

        async def w():
            hook = approvals.create(token="t")
            try:
                await hook
            except HookPayloadError as error:
                return [str(error), error.value, await hook]

        story = Story(w).payload("t", "no").payload("t", 7).settle()
        text, value, fitting = story.result
        assert "t" in text
        assert (value, fitting) == ("no", 7)

    async def test_uncaught_it_fails_the_run_and_says_why(self):
        async def w():
            return [each async for each in create_hook(token="t", type=int)]

        story = Story(w).payload("t", "no").settle()
        assert story.failure.type == "HookPayloadError"

    async def test_resume_checks_before_anything_is_sent(self):
        with pytest.raises(InvalidArgumentError, match="payload"):
            await define_hook(int).resume("t", "no")

    async def test_resume_sends_what_the_type_says(self):
        class Client:
            async def resume_hook(self, token, payload, **kwargs):
                return token, payload, kwargs

        token, payload, rest = await define_hook(dict[str, int]).resume(
            "t", {"a": 1}, payload_id="p", client=Client()
        )
        assert (token, payload.data, payload.content_type) == ("t", b'{"a":1}', "application/json")
        assert rest == {"payload_id": "p", "wait": None}


class TestElsewhere:
    async def test_outside_of_a_workflow_there_are_none(self):
        with pytest.raises(OutsideWorkflowError, match="create_hook"):
            create_hook(token="t")
        with pytest.raises(OutsideWorkflowError):
            define_hook(int).create()

    async def test_a_hook_of_another_run_is_refused(self):
        kept = []

        async def keeper():
            kept.append(create_hook(token="a"))
            await sleep(1)

        async def thief():
            errors = []
            try:
                await kept[0]
            except WorkflowRuleError as error:
                errors.append(str(error))
            try:
                kept[0].dispose()
            except WorkflowRuleError as error:
                errors.append(str(error))
            return errors

        story = Story(keeper, replays=False)
        errors = Story(thief, run_id="run-2", replays=False).result
        assert len(errors) == 2
        assert all("run-1" in error for error in errors)
        with pytest.raises(OutsideWorkflowError):
            await kept[0]
        story.live.discard()

    async def test_a_hook_of_an_execution_that_is_over_is_refused(self):
        kept = []

        async def w():
            kept.append(create_hook(token="a"))
            with pytest.raises(WorkflowRuleError, match="execution of it that is over"):
                await kept[0]

        Story(w, replays=False)
        assert kept
        Story(w, replays=False)

    async def test_resuming_is_refused_in_a_workflow(self):
        async def w():
            with pytest.raises(OutsideWorkflowError, match="in a step"):
                await define_hook(int).resume("t", 1)
            with pytest.raises(OutsideWorkflowError, match="in a step"):
                await hookd.resume_hook("t")
            with pytest.raises(OutsideWorkflowError, match="in a step"):
                await hookd.get_hook_by_token("t")
            with pytest.raises(OutsideWorkflowError, match="in a step"):
                hookd.get_run("r")
            with pytest.raises(OutsideWorkflowError, match="in a step"):
                hookd.ambient_client()
            return 1

        assert Story(w).result == 1


async def test_the_example_of_a_payment():
    async def process_payment(order_id: str):
        hook = create_hook(token=f"payment-{order_id}")
        try:
            payment = await hook
        except HookConflictError as conflict:
            return {
                "success": False,
                "reason": "duplicate-processing",
                "token": conflict.token,
                "run_id": conflict.conflicting_run_id,
            }
        else:
            return {"success": True, "payment": payment}

    assert Story(process_payment, "42").payload("payment-42", 9).settle().result["success"]
    assert Story(process_payment, "42", taken=["payment-42"]).result == {
        "success": False,
        "reason": "duplicate-processing",
        "token": "payment-42",
        "run_id": "owner",
    }
