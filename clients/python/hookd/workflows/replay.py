"""Whether the code of a workflow still does what the recorded log of a run says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from hookd.errors import InvalidArgumentError
from hookd.v1 import events_pb2
from hookd.v1 import run_service_pb2 as pb
from hookd.workflows import guards
from hookd.workflows.execution import Execution

if TYPE_CHECKING:
    from hookd.run import Run
    from hookd.v1.events_pb2 import Event
    from hookd.workflows.definition import Workflow

_PAGE = 500


async def export_log(run: Run) -> str:
    """Gives the log of a run as text, for ``replay``.

    It has all that the run was given and did, tokens and results of steps
    included, and the seed that what is random comes from: look through it
    before others can read it.

    Args:
        run: Any run, whether it has ended or not.

    Raises:
        RunNotFoundError: There is no such run.
    """
    transport, events, after = run._transport, [], 0
    while True:
        response = await transport.call(
            transport.runs.ListEvents,
            pb.ListEventsRequest(
                project=run.project, run_id=run.run_id, after_seq=after, page_size=_PAGE
            ),
        )
        for event in response.events:
            after = event.seq
            events.append(json_format.MessageToDict(event, preserving_proto_field_name=True))
        if not response.events or after >= response.last_seq:
            break
    about = await transport.call(
        transport.runs.GetRun,
        pb.GetRunRequest(project=run.project, run_id=run.run_id, with_seed=True),
    )
    log = {
        "project": run.project,
        "run_id": run.run_id,
        "seed": about.seed.hex(),
        "events": events,
    }
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"


def replay(workflow: Workflow[..., Any], log: str) -> None:
    """Executes the code of a workflow against a recorded log, as a worker would.

    Nothing is executed but that code, and nothing is sent: steps have the
    results that the log says. A log of a run that was still open is replayed
    as far as it goes.

    Args:
        workflow: The workflow as it is now.
        log: What ``export_log`` gave.

    Raises:
        NonDeterminismError: The code does something else than the log says;
            the error names the event and the code.
        InvalidArgumentError: This is no such log.
    """
    project, run_id, seed, events = _read(log)
    guards.install()
    execution = Execution(workflow, run_id=run_id, project=project, seed=seed)
    try:
        execution.feed(events)
    finally:
        execution.discard()


def _read(log: str) -> tuple[str, str, bytes, list[Event]]:
    try:
        read = json.loads(log)
        events = [json_format.ParseDict(event, events_pb2.Event()) for event in read["events"]]
        project, run_id = str(read["project"]), str(read["run_id"])
        seed = bytes.fromhex(read["seed"])
    except (ValueError, TypeError, KeyError, json_format.ParseError) as error:
        raise InvalidArgumentError.of(
            "log", f"must be what export_log() gave: {type(error).__name__}: {error}"
        ) from None
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        raise InvalidArgumentError.of("log", "must have all events, from the first on")
    return project, run_id, seed, events
