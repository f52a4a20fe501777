"""Workflows and steps that do what they should not: what is said, and that the rest goes on."""

from __future__ import annotations

from typing import Any

import hookd
import pytest
from hookd import Client, InvalidArgumentError, RunFailedError

from tests.e2e.workflows.conftest import StartWorker
from tests.e2e.workflows.programs import bad, hooks, steps
from tests.e2e.workflows.programs.marks import marks
from tests.e2e.workflows.watching import check_free, result, seen, types_of
from tests.support.daemon import Daemon
from tests.support.worker import WorkerProcess


async def failure(client: Client, workflow: Any, *args: Any) -> RunFailedError:
    """How a run fails."""
    run = await client.start(workflow, *args)
    with pytest.raises(RunFailedError) as failed:
        await result(run)
    assert (await types_of(run))[-1] == "run_failed"
    return failed.value


async def test_workflow_that_raises(client: Client, token: str) -> None:
    error = await failure(client, bad.raises, token)
    assert (error.type, error.message) == ("ZeroDivisionError", "as bad as it gets")
    # People find the place.
    assert isinstance(error.details, dict)
    assert 'raise ZeroDivisionError("as bad as it gets")' in error.details["traceback"]
    await check_free(client, token)


async def test_workflow_that_raises_before_anything(client: Client) -> None:
    error = await failure(client, bad.raises_before_anything)
    assert (error.type, error.message) == ("KeyError", "'early'")


async def test_workflow_that_returns_what_cannot_be_carried(client: Client) -> None:
    error = await failure(client, bad.returns_what_cannot_be_carried)
    assert error.type == "InvalidArgumentError"
    assert "returns_what_cannot_be_carried(): its result" in error.message
    assert "NothingJsonKnows" in error.message


async def test_workflow_that_returns_another_type(client: Client) -> None:
    error = await failure(client, bad.returns_another_type)
    assert error.type == "InvalidArgumentError"
    assert "result of type str does not fit int" in error.message


async def test_workflow_that_is_given_something_else(client: Client) -> None:
    """By somebody who knows its name only; who has the definition is told before."""
    error = await failure(client, "retried", {"a": 1}, "four")
    assert error.type == "InvalidArgumentError"
    assert 'argument "file"' in error.message
    error = await failure(client, "retried")
    assert "missing a required argument" in error.message
    with pytest.raises(InvalidArgumentError, match='argument "attempt" of type str'):
        await client.start(steps.retried, "file", "four")  # type: ignore[arg-type]


async def test_step_that_returns_what_cannot_be_carried(client: Client, file: str) -> None:
    """It is not executed again: that would not help."""
    run = await client.start(bad.step_returns_what_cannot_be_carried, file)
    kind, message = await result(run)
    assert kind == "InvalidArgumentError"
    assert "return_an_object(): its result of type NothingJsonKnows" in message
    assert marks(file) == ["executed"]


async def test_step_that_is_given_what_cannot_be_carried(client: Client) -> None:
    """The error names the argument and its type, where the call is; nothing is scheduled."""
    run = await client.start(bad.hands_over_what_cannot_be_carried)
    first, second, carried = await result(run)
    assert carried == "a/b"
    for text, kind in ((first, "NothingJsonKnows"), (second, "int")):
        assert text.startswith('InvalidArgumentError: take_a_path(): argument "path"')
        assert f"of type {kind}" in text
    assert (await types_of(run)).count("step_scheduled") == 1


async def test_workflow_that_never_awaits(
    shared_daemon: Daemon, start_worker: StartWorker, project: str, token: str
) -> None:
    """It is reported with the place, and ended; the worker goes on with others meanwhile."""
    worker = start_worker(shared_daemon, project, "workers:strict")
    async with hookd.connect(shared_daemon.address, project=project) as client:
        run = await client.start(bad.never_awaits)
        await seen(run, "run_started")
        other = await client.start(bad.takes_an_approval, token)
        await client.resume_hook(token, {"by": "alice", "amount": 1}, wait=30)
        assert await result(other) == "alice"
        said = worker.said("without an await")
        assert run.run_id in said
        assert "in never_awaits" in worker.log
        with pytest.raises(RunFailedError) as failed:
            await result(run)
        assert failed.value.type == "WorkflowRuleError"
        assert '"never_awaits" never awaits' in failed.value.message
        assert "step" in failed.value.message
        # And it has not lost a thread for it.
        again = await client.start(bad.forgets_a_task, f"{token}/again")
        assert await result(again) == "False"
        worker.kill()


async def test_workflow_that_forgets_a_task(
    warm: Client, warm_worker: WorkerProcess, token: str
) -> None:
    """The run ends all the same, and the worker names the task."""
    run = await warm.start(bad.forgets_a_task, token)
    assert await result(run) == "False"
    said = warm_worker.said("the-forgotten-one")
    assert run.run_id in said
    assert "WARNING" in said
    await check_free(warm, token)


async def test_workflow_that_forgets_a_task_that_raises(
    warm: Client, warm_worker: WorkerProcess, token: str
) -> None:
    run = await warm.start(bad.forgets_a_task_that_raises, token)
    await warm.resume_hook(token, "end", wait=30)
    assert await result(run) == "1 end"
    said = warm_worker.said("the-failing-one")
    assert run.run_id in said
    assert "nobody looks" in warm_worker.log


@pytest.mark.parametrize("how", ["await", "dispose", "get_conflict"])
async def test_workflow_that_uses_a_hook_of_another_run(warm: Client, token: str, how: str) -> None:
    """It is told; the hook and its run do not notice."""
    owner = await warm.start(bad.leaves_its_hook, token)
    await seen(owner, "hook_created")
    told = await result(await warm.start(bad.takes_a_hook_of_another_run, how))
    assert told.startswith("WorkflowRuleError: ")
    assert owner.run_id in told
    await warm.resume_hook(token, "mine")
    assert await result(owner) == "mine"


async def test_payload_that_does_not_fit_the_declared_type(client: Client, token: str) -> None:
    """A clear error in the workflow, which can be caught; the next payload is the next."""
    run = await client.start(bad.takes_approvals, token)
    for payload in ({"by": "alice", "amount": 1}, {"by": "bob"}, {"by": "carol", "amount": 3}):
        await client.resume_hook(token, payload, wait=30)
    first, second, third = await result(run)
    assert (first, third) == (["alice", 1], ["carol", 3])
    assert second[:2] == [token, {"by": "bob"}]
    assert "amount" in second[2]


async def test_payload_that_does_not_fit_and_is_not_caught(client: Client, token: str) -> None:
    run = await client.start(bad.takes_an_approval, token)
    await client.resume_hook(token, "yes", wait=30)
    with pytest.raises(RunFailedError) as failed:
        await result(run)
    assert failed.value.type == "HookPayloadError"
    assert token in failed.value.message


async def test_payload_that_does_not_fit_is_refused_where_the_type_is_known(
    client: Client, token: str
) -> None:
    """Before it is sent: the run does not notice."""
    run = await client.start(hooks.approve, token)
    await seen(run, "hook_created")
    wrong: Any = {"by": "alice", "amount": "many"}
    with pytest.raises(InvalidArgumentError, match="amount"):
        await hooks.approvals.resume(token, wrong, client=client)
    assert "hook_received" not in await types_of(run)
    await hooks.approvals.resume(token, hooks.Approval("alice", 3), client=client)
    assert await result(run) == hooks.Approval("alice", 3)


async def test_workflow_that_swallows_everything(client: Client, token: str) -> None:
    """``except BaseException`` sees no trace of its being put aside."""
    run = await client.start(bad.swallows_everything, token)
    await seen(run, "hook_created")
    await client.resume_hook(token, "payload")
    assert await result(run) == "payload"


async def test_workflow_that_breaks_the_rules(client: Client, file: str) -> None:
    """What blocks, or is not the same in a replay, is refused with a hint."""
    told = await result(await client.start(bad.breaks_the_rules, file))
    assert told.pop("unguarded") == "True"
    hints = {
        "time.time": "hookd.now",
        "time.sleep": "hookd.sleep",
        "asyncio.sleep": "hookd.sleep",
        "random": "hookd.random",
        "uuid4": "hookd.uuid4",
        "open": "step",
        "thread": "step",
    }
    assert told.keys() == hints.keys()
    assert {name: hint for name, hint in hints.items() if hint not in told[name]} == {}
