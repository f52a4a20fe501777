"""The functions that need no client in hand: they use one made from the environment.

There is one client for each event loop, made by the first call there from
``HOOKD_ADDRESS``, ``HOOKD_PROJECT`` and ``HOOKD_API_KEY``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hookd.client import Client, connect
from hookd.enums import ConflictPolicy
from hookd.requests import UNSET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hookd.durations import Seconds
    from hookd.hook import Hook
    from hookd.models import HookSpec, ResumeResult
    from hookd.run import Run

_clients: dict[asyncio.AbstractEventLoop, Client] = {}


def ambient_client() -> Client:
    """Gives the ambient client of the running event loop.

    Close it with ``await ambient_client().close()`` before the loop ends, if
    that matters; the next call makes a new one.
    """
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None or client.closed:
        # A client keeps its loop alive: so a weak dictionary would never let go.
        for ended in [other for other in _clients if other.is_closed()]:
            del _clients[ended]
        client = _clients[loop] = connect()
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
) -> Run:
    """Starts a run with the ambient client; see ``Client.start``."""
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
    )


def get_run(run_id: str) -> Run:
    """Gives the handle of a run with the ambient client; see ``Client.get_run``."""
    return ambient_client().get_run(run_id)


async def resume_hook(
    token: str,
    payload: Any = None,
    *,
    payload_id: str | None = None,
    wait: Seconds | None = None,
) -> ResumeResult:
    """Delivers a payload with the ambient client; see ``Client.resume_hook``."""
    return await ambient_client().resume_hook(token, payload, payload_id=payload_id, wait=wait)


async def get_hook_by_token(token: str, *, wait: Seconds | None = None) -> Hook:
    """Looks a hook up with the ambient client; see ``Client.get_hook_by_token``."""
    return await ambient_client().get_hook_by_token(token, wait=wait)
