"""Turns against a log in memory: where they begin, what they feed, and when they give up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hookd.errors import HookdError, InvalidArgumentError, RunNotActiveError
from hookd.v1 import common_pb2
from hookd.v1 import events_pb2 as ev
from hookd.v1 import worker_service_pb2 as pb
from hookd.worker.catalog import catalog_of
from hookd.worker.memory import Memory
from hookd.worker.threads import Threads
from hookd.worker.turns import Turns
from hookd.worker.watch import TurnWatch
from hookd.workflows.definition import step, workflow

KEY = ("run", 7)


def payload(text: str) -> common_pb2.Payload:
    return common_pb2.Payload(content_type="application/json", data=text.encode())


@step
async def add(number: int) -> int:
    return number + 1


@workflow
async def count(times: int) -> int:
    number = 0
    for _ in range(times):
        number = await add(number)
    return number


@workflow
async def spread(times: int) -> int:
    return sum(await asyncio.gather(*(add(number) for number in range(times))))


class FakeLink:
    """A run's log, and a daemon that cuts its answers after some events."""

    project = "default"
    worker_id = "worker"

    def __init__(self, times: int = 3, cut: int = 1000, workflow: str = "count") -> None:
        self.log: list[ev.Event] = []
        self.requests: list[pb.CompleteTurnRequest] = []
        self.reads: list[int] = []
        self.refuse: Callable[[pb.CompleteTurnRequest], None] = lambda request: None
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self._cut = cut
        self._workflow = workflow
        self.add(
            ev.Event(run_created=ev.RunCreated(workflow=workflow, input=payload(f"[{times}]")))
        )
        self.add(ev.Event(run_started=ev.RunStarted()))

    def add(self, event: ev.Event) -> ev.Event:
        event.seq = len(self.log) + 1
        self.log.append(event)
        return event

    def complete(self, number: int, output: int) -> None:
        completed = ev.StepCompleted(name="add", output=payload(str(output)))
        self.add(ev.Event(correlation_id=f"step-{number}", step_completed=completed))

    def after(self, seq: int) -> list[ev.Event]:
        return self.log[seq : seq + self._cut]

    def task(self, after_seq: int = 0, incarnation: int = 7) -> pb.TurnTask:
        return pb.TurnTask(
            run_id="run",
            incarnation=incarnation,
            workflow=self._workflow,
            seed=bytes(32),
            after_seq=after_seq,
            events=self.after(after_seq),
            last_seq=len(self.log),
        )

    def new_turn_id(self) -> str:
        return f"turn-{len(self.requests)}"

    async def events(self, run_id: str, after: int) -> list[ev.Event]:
        self.reads.append(after)
        return self.after(after)

    async def complete_turn(self, request: pb.CompleteTurnRequest) -> pb.CompleteTurnResponse:
        self.requests.append(request)
        self.refuse(request)
        for command in request.commands:
            match command.WhichOneof("command"):
                case "schedule_step":
                    scheduled = command.schedule_step
                    data = ev.StepScheduled(name=scheduled.name, input=scheduled.input)
                    event = ev.Event(correlation_id=scheduled.step_id, step_scheduled=data)
                case "complete_run":
                    data = ev.RunCompleted(output=command.complete_run.output)
                    event = ev.Event(run_completed=data)
                case _:
                    event = ev.Event(run_failed=ev.RunFailed(failure=command.fail_run.failure))
            event.turn = len(self.requests)
            self.add(event)
        answer = pb.CompleteTurnResponse(
            events=self.after(request.seen_seq), last_seq=len(self.log), goes_on=False
        )
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        return answer


async def opened(gate: asyncio.Event) -> None:
    gate.set()


class FakeSteps:
    free = 5

    def is_news(self, name):
        return False

    def start(self, task: pb.StepTask) -> None: ...


class Worker:
    """Turns and what they need, without a daemon."""

    def __init__(self, link: FakeLink, kept: int = 10) -> None:
        self.link = link
        self.threads = Threads(2, "test-turn")
        self.memory = Memory(kept)
        watch = TurnWatch(self.threads, 60)
        self.turns = Turns(link, catalog_of([count, spread, add]), watch, FakeSteps(), self.memory)

    async def take(self, task: pb.TurnTask) -> None:
        self.turns.take(task)
        while self.turns.tasks:
            await asyncio.gather(*self.turns.tasks)
            await asyncio.sleep(0)  # Those that waited for them begin.

    @property
    def asked(self) -> list[list[str]]:
        """The commands of each report."""
        return [[each.WhichOneof("command") for each in r.commands] for r in self.link.requests]


@pytest.fixture
async def worker():
    made: list[Worker] = []

    def make(link: FakeLink, kept: int = 10) -> Worker:
        made.append(Worker(link, kept))
        return made[-1]

    yield make
    for each in made:
        each.memory.clear()
        each.threads.close()


async def finish(worker: Worker, times: int) -> None:
    """Takes the turns of a run until it has ended."""
    link = worker.link
    await worker.take(link.task())
    for number in range(1, times + 1):
        seen = len(link.log)
        link.complete(number, number)
        await worker.take(link.task(seen))


async def test_a_run_from_its_start_to_its_end(worker):
    here = worker(FakeLink())
    await finish(here, 3)
    assert here.asked == [["schedule_step"]] * 3 + [["complete_run"]]
    assert [request.seen_seq for request in here.link.requests] == [2, 4, 6, 8]
    assert len({request.turn_id for request in here.link.requests}) == 4
    assert here.link.requests[-1].commands[0].complete_run.output.data == b"3"
    assert {request.take_steps for request in here.link.requests} == {5}
    assert here.link.reads == []
    assert KEY not in here.memory


async def test_a_run_that_is_not_in_memory_is_read_from_the_start(worker):
    here = worker(FakeLink(), kept=0)
    await finish(here, 3)
    assert here.asked == [["schedule_step"]] * 3 + [["complete_run"]]
    # The task has only the newest events: all others are read.
    assert here.link.reads == [0, 0, 0]


async def test_many_commands_go_in_parts_and_the_turn_is_kept_until_the_last(worker):
    here = worker(FakeLink(2500, workflow="spread"))
    await here.take(here.link.task())
    assert [len(each) for each in here.asked] == [1000, 1000, 500]
    # So that the rest is not lost with this worker.
    assert [request.awaits_claims for request in here.link.requests] == [True, True, False]
    steps = [each.correlation_id for each in here.link.log[2:]]
    assert steps == [f"step-{number}" for number in range(1, 2501)]


async def test_what_was_cut_is_read(worker):
    here = worker(FakeLink(cut=1))
    await finish(here, 3)
    assert here.asked == [["schedule_step"]] * 3 + [["complete_run"]]
    assert here.link.reads


async def test_a_task_that_begins_elsewhere_is_put_right(worker):
    here = worker(FakeLink())
    await here.take(here.link.task())
    here.link.complete(1, 1)
    await here.take(here.link.task(0))  # It has all of it, and 3 events are known.
    assert here.link.reads == []
    here.link.complete(2, 2)
    await here.take(here.link.task(len(here.link.log)))  # It has nothing of it.
    assert here.link.reads == [5]
    assert here.asked == [["schedule_step"]] * 3
    assert [request.seen_seq for request in here.link.requests] == [2, 4, 6]


async def test_a_turn_that_comes_during_a_turn_waits_for_it(worker):
    """The answer to a report may be slower than the task that follows from it."""
    here = worker(FakeLink())
    here.link.gate = asyncio.Event()
    here.turns.take(here.link.task())
    await here.link.asked.wait()
    here.link.complete(1, 1)
    await asyncio.gather(here.take(here.link.task()), opened(here.link.gate))
    assert [request.seen_seq for request in here.link.requests] == [2, 4]
    assert here.asked == [["schedule_step"]] * 2


@pytest.mark.parametrize(
    "error",
    [HookdError("stale", reason="STALE_TURN"), RunNotActiveError("run", "cancelled")],
)
async def test_a_turn_that_was_overtaken_is_dropped(worker, caplog, error):
    here = worker(FakeLink())

    def refuse(request: pb.CompleteTurnRequest) -> None:
        raise error

    here.link.refuse = refuse
    await here.take(here.link.task())
    assert KEY not in here.memory
    assert [each for each in caplog.records if each.levelname != "INFO"] == []
    # Another begins anew.
    here.link.refuse = lambda request: None
    await here.take(here.link.task())
    assert KEY in here.memory


async def test_commands_that_are_refused_fail_the_run(worker):
    here = worker(FakeLink())

    def refuse(request: pb.CompleteTurnRequest) -> None:
        if request.commands[0].HasField("schedule_step"):
            raise InvalidArgumentError.of("commands[0].schedule_step.input", "is too long")

    here.link.refuse = refuse
    await here.take(here.link.task())
    assert here.asked == [["schedule_step"], ["fail_run"]]
    failure = here.link.requests[-1].commands[0].fail_run.failure
    assert failure.type == "InvalidArgumentError"
    assert 'step "add" (step-1)' in failure.message


async def test_what_is_unknown_is_given_up_and_not_tried_again(worker, caplog):
    here = worker(FakeLink())

    def refuse(request: pb.CompleteTurnRequest) -> None:
        raise HookdError("odd", reason="INTERNAL")

    here.link.refuse = refuse
    await here.take(here.link.task())
    assert len(here.link.requests) == 1
    assert "given up: odd" in caplog.text
    assert KEY not in here.memory


async def test_a_log_with_a_gap_is_given_up(worker, caplog):
    here = worker(FakeLink())
    task = here.link.task()
    task.last_seq = 40
    await here.take(task)
    assert here.link.requests == []
    assert "the log ends at 2, it should go up to 40" in caplog.text


async def test_code_that_does_not_match_fails_the_run_at_the_end_of_the_log(worker, caplog):
    here = worker(FakeLink())
    scheduled = ev.StepScheduled(name="subtract", input=payload("[0]"))
    here.link.add(ev.Event(turn=1, correlation_id="step-1", step_scheduled=scheduled))
    here.link.complete(1, 1)
    await here.take(here.link.task())
    (request,) = here.link.requests
    assert request.commands[0].fail_run.failure.type == "NonDeterminismError"
    assert request.seen_seq == 4
    assert "subtract" in caplog.text


async def test_a_run_that_was_ended_from_outside_is_forgotten(worker):
    here = worker(FakeLink())
    await here.take(here.link.task())
    here.link.add(ev.Event(run_cancelled=ev.RunCancelled()))
    await here.take(here.link.task(3))
    assert len(here.link.requests) == 1
    assert KEY not in here.memory


async def test_an_earlier_run_with_the_same_id_is_another(worker):
    here = worker(FakeLink())
    await here.take(here.link.task())
    await here.take(here.link.task(incarnation=8))
    assert len(here.memory) == 2


async def test_after_its_end_nothing_is_taken(worker):
    here = worker(FakeLink())
    here.turns.close()
    await here.take(here.link.task())
    assert here.link.requests == []
