"""Turns: handed out, completed, completed again, refused."""

from __future__ import annotations

from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import (
    RUN_STATUS_CANCELLED,
    RUN_STATUS_COMPLETED,
    RUN_STATUS_PENDING,
    RUN_STATUS_RUNNING,
    HookSpec,
)

from tests.e2e.work.worker import Worker, complete, connected, kinds, queues, schedule, start
from tests.support.api import Api, json_payload, refusal


def hook(token: str, hook_id: str = "hook-1") -> pb.Command:
    return pb.Command(create_hook=HookSpec(hook_id=hook_id, token=token))


def test_a_run_waits_until_a_worker_comes(api: Api) -> None:
    run_id = start(api, input=json_payload("[1, 2]"))
    assert api.run(run_id).status == RUN_STATUS_PENDING
    with connected(api) as worker:
        assert worker.welcome is not None
        assert worker.welcome.lease_ttl.seconds == 3600
        turn = worker.turn()
        assert (turn.run_id, turn.workflow, turn.after_seq) == (run_id, "flow", 0)
        assert len(turn.seed) == 32
        assert kinds(turn.events) == ["run_created", "run_started"]
        assert turn.events[0].run_created.input == json_payload("[1, 2]")
        assert turn.last_seq == 2
        assert api.run(run_id).status == RUN_STATUS_RUNNING
        answer = worker.complete_turn(turn, complete("42"))
        assert kinds(answer.events) == ["run_completed"]
        assert (answer.events[0].turn, answer.goes_on) == (1, False)
    run = api.run(run_id)
    assert (run.status, run.output) == (RUN_STATUS_COMPLETED, json_payload("42"))


def test_a_worker_that_waits_is_handed_a_run_at_its_start(api: Api) -> None:
    with connected(api) as worker:
        for _ in range(3):
            run_id = start(api)
            turn = worker.turn()
            assert turn.run_id == run_id
            worker.complete_turn(turn, complete())
            assert api.ended(run_id).status == RUN_STATUS_COMPLETED


def test_a_worker_is_handed_only_what_it_serves(api: Api) -> None:
    other = start(api, workflow="other")
    external = api.start(workflow="flow").run.run_id
    with connected(api) as worker:
        served = start(api)
        assert worker.turn().run_id == served
        assert not worker.has_turns()
        assert (queues(api)["other"].length, queues(api)["other"].leased) == (1, 0)
        assert queues(api)["flow"].length == 1
        with connected(api, {"other": "v1"}) as another:
            assert another.turn().run_id == other
    assert api.run(external).status == RUN_STATUS_RUNNING


def test_workers_of_another_project_see_nothing(api: Api) -> None:
    other = Api(api.channel, f"{api.project}-other")
    with connected(other) as stranger, connected(api) as worker:
        run_id = start(api)
        assert worker.turn().run_id == run_id
        assert not stranger.has_turns()
        assert queues(other)["flow"].length == 0


def test_a_turn_that_was_put_aside_comes_again_when_something_wakes_it(api: Api) -> None:
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        answer = worker.complete_turn(turn, hook("t"))
        assert (kinds(answer.events), answer.goes_on) == (["hook_created"], False)
        assert queues(api)["flow"].length == 0
        api.resume("t", '"first"')
        turn = worker.turn()
        # The worker has seen what was before: it gets what is new.
        assert (turn.run_id, turn.after_seq) == (run_id, answer.last_seq)
        assert kinds(turn.events) == ["hook_received"]
        api.resume("t", '"second"')
        answer = worker.complete_turn(turn)
        # That came while the worker was at it.
        assert (kinds(answer.events), answer.goes_on) == (["hook_received"], True)
        answer = worker.complete_turn(turn, complete(), seen_seq=answer.last_seq)
        assert kinds(answer.events) == ["run_completed"]
        assert not worker.has_turns()


def test_a_turn_goes_on_when_the_code_waits_for_its_claims(api: Api) -> None:
    owner = start(api)
    loser = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        assert worker.complete_turn(turn, hook("t"), awaits_claims=True).goes_on
        turn = worker.turn()
        answer = worker.complete_turn(turn, hook("t"), awaits_claims=True)
        assert (kinds(answer.events), answer.goes_on) == (["hook_conflict"], True)
        assert answer.events[0].hook_conflict.conflict.run_id == owner
        answer = worker.complete_turn(turn, seen_seq=answer.last_seq)
        assert (kinds(answer.events), answer.goes_on) == ([], False)
        api.cancel(loser)


def test_a_stale_turn_is_refused_and_the_run_goes_on_elsewhere(api: Api) -> None:
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        rival = Worker(api, worker_id="rival").connect()
        # The rival has the run as well, for instance since before a restart.
        rival.complete_turn(turn, hook("t"))
        told = refusal(worker.complete_turn, turn, complete())
        assert told.reason == "STALE_TURN"
        assert api.run(run_id).status == RUN_STATUS_RUNNING
        api.resume("t")
        turn = rival.turn()
        assert kinds(turn.events) == ["hook_received"]
        rival.complete_turn(turn, complete())
        rival.disconnect()
    assert api.ended(run_id).status == RUN_STATUS_COMPLETED


def test_a_turn_of_a_run_that_was_cancelled_is_refused(api: Api) -> None:
    run_id = start(api)
    with connected(api, max_turns=1) as worker:
        turn = worker.turn()
        api.cancel(run_id)
        told = refusal(worker.complete_turn, turn, complete())
        assert (told.reason, told.metadata["status"]) == ("RUN_NOT_ACTIVE", "cancelled")
        # It has room again.
        other = start(api)
        assert worker.turn().run_id == other
    assert api.run(run_id).status == RUN_STATUS_CANCELLED


def test_a_run_that_is_cancelled_before_a_worker_comes_is_not_handed_out(api: Api) -> None:
    api.cancel(start(api))
    run_id = start(api)
    with connected(api) as worker:
        assert worker.turn().run_id == run_id
        assert not worker.has_turns()


def test_a_turn_again_after_a_lost_answer(api: Api) -> None:
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        commands = [hook("t"), schedule("step-1")]
        first = worker.complete_turn(turn, *commands, turn_id="turn-a")
        again = worker.complete_turn(turn, *commands, turn_id="turn-a")
        assert list(again.events) == list(first.events)
        assert api.events(run_id)[2:] == ["hook_created", "step_scheduled"]
        worker.complete_step(worker.step())
        turn = worker.turn()
        last = worker.complete_turn(turn, complete(), turn_id="turn-b")
        # Also the one that has ended the run.
        assert worker.complete_turn(turn, complete(), turn_id="turn-b").events == last.events


def test_steps_that_were_in_a_lost_answer_are_handed_out_again(api: Api) -> None:
    start(api)
    with connected(api) as worker:
        turn = worker.turn()
        first = worker.complete_turn(turn, schedule(), turn_id="turn-a", take_steps=1)
        assert [step.attempt for step in first.steps] == [1]
        again = worker.complete_turn(turn, schedule(), turn_id="turn-a", take_steps=1)
        assert not again.steps
        step = worker.step()
        assert (step.step_id, step.attempt) == ("step-1", 2)
        assert not worker.complete_step(step).duplicate


def test_a_refused_turn_leaves_the_lease_with_its_worker(api: Api) -> None:
    """A worker must be able to fail a run whose commands make no sense."""
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        unknown = pb.Command(dispose_hook=pb.DisposeHookCommand(hook_id="nobody"))
        told = refusal(worker.complete_turn, turn, unknown)
        assert list(told.fields) == ["commands[0].dispose_hook.hook_id"]
        assert queues(api)["flow"].leased == 1
        worker.complete_turn(turn, complete())
    assert api.run(run_id).status == RUN_STATUS_COMPLETED
