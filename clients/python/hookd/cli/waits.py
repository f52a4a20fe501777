"""What a run waits for, in words."""

from __future__ import annotations

import dataclasses

from hookd.cli.output import shown, token_hash
from hookd.enums import WaitKind
from hookd.models import WaitInfo

_NOBODY = " (none is connected)"


def sentence(wait: WaitInfo) -> str:
    """Gives what a run waits for as a part of a sentence: "a payload for …"."""
    nobody = _NOBODY if wait.unserved else ""
    match wait.kind:
        case WaitKind.TURN:
            return f'a worker that serves the workflow "{wait.name}"{nobody}'
        case WaitKind.STEP if wait.attempt:
            return f'the step "{wait.name}" ({wait.correlation_id}), attempt {wait.attempt}'
        case WaitKind.STEP:
            return f'a worker that serves the step "{wait.name}"{nobody}'
        case WaitKind.RETRY:
            return (
                f'the next attempt at the step "{wait.name}" ({wait.correlation_id}) '
                f"at {shown(wait.until)}"
            )
        case WaitKind.HOOK:
            return f'a payload for the hook {wait.correlation_id} with the token "{wait.name}"'
        case WaitKind.TIMER:
            return f"the timer {wait.correlation_id}, which fires at {shown(wait.until)}"
        case WaitKind.CHILD:
            return f'the end of the run {wait.correlation_id} of the workflow "{wait.name}"'
        case _:
            return f"{wait.name} {wait.correlation_id}, of a kind that this hookctl does not know"


def without_token(wait: WaitInfo, project: str) -> WaitInfo:
    """Gives the same with the hash of a token in its place."""
    if wait.kind is WaitKind.HOOK:
        return dataclasses.replace(wait, name=token_hash(project, wait.name))
    return wait
