"""Cutting commands into requests, and what is said when they are refused."""

import pytest
from hookd.errors import InvalidArgumentError
from hookd.v1 import common_pb2
from hookd.v1 import worker_service_pb2 as pb
from hookd.worker.commands import MAX_BYTES, MAX_COMMANDS, first_batch, refusal


def command(size: int = 0) -> pb.Command:
    payload = common_pb2.Payload(data=bytes(size))
    return pb.Command(schedule_step=pb.ScheduleStepCommand(step_id="step-1", input=payload))


def test_few_commands_are_one_batch():
    commands = [command() for _ in range(MAX_COMMANDS)]
    assert first_batch(commands) is commands
    assert first_batch([]) == []


def test_many_commands_are_cut_by_number():
    commands = [command() for _ in range(MAX_COMMANDS + 1)]
    assert first_batch(commands) == commands[:MAX_COMMANDS]


def test_large_commands_are_cut_by_size():
    commands = [command(MAX_BYTES // 3) for _ in range(5)]
    assert len(first_batch(commands)) == 2


def test_a_command_that_is_too_large_goes_alone():
    commands = [command(MAX_BYTES + 1), command()]
    assert first_batch(commands) == commands[:1]


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (
            pb.Command(schedule_step=pb.ScheduleStepCommand(step_id="step-7", name="charge")),
            'step "charge" (step-7)',
        ),
        (pb.Command(create_hook=common_pb2.HookSpec(hook_id="hook-2")), "hook hook-2"),
        (
            pb.Command(respond_webhook=pb.RespondWebhookCommand(hook_id="hook-2", payload_seq=3)),
            "the answer to request 3 of hook-2",
        ),
        (pb.Command(start_child=pb.StartChildCommand(run_id="r.child-1")), "child r.child-1"),
        (pb.Command(complete_run=pb.CompleteRunCommand()), "the result of the run"),
        (pb.Command(set_attributes=pb.SetAttributesCommand()), "a command to set attributes"),
    ],
)
def test_a_refusal_names_what_the_workflow_asked_for(refused, says):
    error = InvalidArgumentError.of("commands[1].schedule_step.input", "must be less")
    found = refusal(error, [command(), refused])
    assert str(found) == f"the daemon refuses {says}: schedule_step.input: must be less"
    assert found.violations == error.violations


def test_a_refusal_of_something_else_stays_as_it_is():
    for field in ("worker_id", "commands", "commands[9].x"):
        error = InvalidArgumentError.of(field, "is bad")
        assert refusal(error, [command()]) is error
