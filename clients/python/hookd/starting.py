"""Starts a run and tells what the daemon did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookd.convert import conflict, run_info, start_outcome
from hookd.models import StartInfo
from hookd.run import Run, hook_of, note_start

if TYPE_CHECKING:
    from hookd.transport import Transport
    from hookd.v1 import run_service_pb2 as pb
    from hookd.workflows.values import CallSignature


async def start_run(
    transport: Transport,
    request: pb.StartRunRequest,
    handle: type[Run] = Run,
    *,
    signature: CallSignature | None = None,
) -> Run:
    """Sends the request and gives the handle of the new run, or of the owner.

    Args:
        transport: The way to the daemon.
        request: What to start.
        handle: The class of the handle.
        signature: How the result of the workflow is read, if that is known.
    """
    response = await transport.call(transport.runs.StartRun, request)
    run = handle(transport, response.run.run_id)
    # The hooks hang on this very handle: what is done through them, it knows.
    note_start(
        run,
        StartInfo(
            outcome=start_outcome(response.outcome),
            run=run_info(response.run),
            hooks=tuple(hook_of(transport, run, hook) for hook in response.hooks),
            conflict=conflict(response.conflict) if response.HasField("conflict") else None,
            superseded_run_ids=tuple(response.superseded_run_ids),
            payload_seq=response.payload_seq or None,
            payload_duplicate=response.payload_duplicate,
        ),
        # The owner of a token may be a run of another workflow.
        signature if response.run.workflow == request.workflow else None,
    )
    return run
