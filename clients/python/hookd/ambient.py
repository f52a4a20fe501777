"""The functions that need no client in hand: they use one made from the environment.

There is one client for each event loop, made by the first call there from
``HOOKD_ADDRESS``, ``HOOKD_PROJECT``, ``HOOKD_API_KEY`` and ``HOOKD_TLS``, as
``connect`` reads them. A step has that of its worker. Workflow code has none:
there ``start`` starts a child of the run, and the others are refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hookd.client import Client, connect
from hookd.enums import ConflictPolicy
from hookd.errors import InvalidArgumentError
from hookd.requests import UNSET
from hookd.workflows.children import start_child
from hookd.workflows.context import current_or_none, refuse_inside
from hookd.workflows.step_context import current_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hookd.durations import Seconds
    from hookd.hook import Hook
    from hookd.models import HookSpec, ResumeResult
    from hookd.run import Run

_clients: dict[asyncio.AbstractEventLoop, Client] = {}


def ambient_client() -> Client:
    """Gives the ambient client of the running event loop; in a step, its worker's.

    Close it with ``await ambient_client().close()`` before the loop ends, if
    that matters; the next call makes a new one.

    Raises:
        OutsideWorkflowError: The code of a workflow called.
        RuntimeError: No event loop runs.
    """
    refuse_inside("ambient_client()")
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "hookd needs a running event loop: call this in an `async def`, or in python -m asyncio"
        ) from None
    step = current_step.get()
    if step is not None and loop is step.loop:
        return step.run.client
    client = _clients.get(loop)
    if client is None or client.closed:
        # A client keeps its loop alive: so a weak dictionary would never let go.
        for ended in [other for other in _clients if other.is_closed()]:
            del _clients[ended]
        # A step that comes here has a loop of its own, in its thread.
        client = connect() if step is None else step.run.client._again()
        _clients[loop] = client
    return client


async def start(
    workflow: object,
    *args: Any,
    input: Any = UNSET,
    run_id: str | None = None,
    attributes: Mapping[str, str] | None = None,
    claims: Iterable[HookSpec] = (),
    on_conflict: ConflictPolicy | str = ConflictPolicy.FAIL,
    payload: Any = UNSET,
    payload_id: str | None = None,
    external: bool = False,
    lease_ttl: Seconds | None = None,
    cancel_with_parent: bool | None = None,
    **kwargs: Any,
) -> Run:
    """Starts a run with the ambient client; see ``Client.start``.

    In the code of a workflow the new run is a child: its handle gives
    ``run_id``, ``return_value()`` and ``status()``, and only these arguments
    are taken: ``input``, ``run_id``, ``attributes``, ``cancel_with_parent``.

    Args:
        workflow: The workflow, or its name.
        *args: The arguments of the workflow.
        input: Instead of arguments, any value that is carried as it is.
        run_id: The run's id. In a workflow, one made from the id of its run
            when None.
        attributes: Names and values, for people and for searching.
        claims: Hooks to create with the run, all or none.
        on_conflict: What to do when one of their tokens is taken.
        payload: With "deliver": what the owner's hook gets.
        payload_id: With "deliver": the id of ``payload``.
        external: The caller drives the run itself, without a worker.
        lease_ttl: How long an external run lives without being kept alive.
        cancel_with_parent: Only in a workflow: cancel the child when its
            parent fails or is cancelled; True when None.
        **kwargs: More arguments of a ``@workflow``, by name.

    Raises:
        HookConflictError: A token is taken.
        RunExistsError: The run id is in use by another run.
    """
    runtime = current_or_none()
    if runtime is not None:
        refused = {
            "claims": claims != (),
            "on_conflict": on_conflict != ConflictPolicy.FAIL,
            "payload": payload is not UNSET,
            "payload_id": payload_id is not None,
            "external": external,
            "lease_ttl": lease_ttl is not None,
        }
        for name in (name for name, given in refused.items() if given):
            raise InvalidArgumentError.of(
                name, "cannot be given in the code of a workflow: start that run in a step"
            )
        return await start_child(
            runtime,
            workflow,
            args,
            kwargs,
            input=input,
            run_id=run_id,
            attributes=attributes,
            cancel_with_parent=cancel_with_parent is not False,
        )
    if cancel_with_parent is not None:
        raise InvalidArgumentError.of(
            "cancel_with_parent", "can only be given in the code of a workflow"
        )
    return await ambient_client().start(
        workflow,
        *args,
        input=input,
        run_id=run_id,
        attributes=attributes,
        claims=claims,
        on_conflict=on_conflict,
        payload=payload,
        payload_id=payload_id,
        external=external,
        lease_ttl=lease_ttl,
        **kwargs,
    )


def get_run(run_id: str) -> Run:
    """Gives the handle of a run with the ambient client; see ``Client.get_run``."""
    refuse_inside("get_run()")
    return ambient_client().get_run(run_id)


async def resume_hook(
    token: str,
    payload: Any = None,
    *,
    payload_id: str | None = None,
    wait: Seconds | None = None,
) -> ResumeResult:
    """Delivers a payload with the ambient client; see ``Client.resume_hook``."""
    refuse_inside("resume_hook()")
    return await ambient_client().resume_hook(token, payload, payload_id=payload_id, wait=wait)


async def get_hook_by_token(token: str, *, wait: Seconds | None = None) -> Hook:
    """Looks a hook up with the ambient client; see ``Client.get_hook_by_token``."""
    refuse_inside("get_hook_by_token()")
    return await ambient_client().get_hook_by_token(token, wait=wait)
