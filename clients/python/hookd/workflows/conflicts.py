"""A lost claim as the exception that workflow code meets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookd import convert
from hookd.errors import HookConflictError

if TYPE_CHECKING:
    from hookd.v1.errors_pb2 import HookConflict


def conflict_error(wire: HookConflict) -> HookConflictError:
    """Makes a new exception: one that is raised twice would collect both traces."""
    owner = convert.conflict(wire)
    return HookConflictError(
        owner.token,
        owner.run_id,
        hook_id=owner.hook_id,
        run_status=owner.run_status,
        workflow=owner.workflow,
        claimed_at=owner.claimed_at,
        revision=owner.revision,
    )
