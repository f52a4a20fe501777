"""Hooks whose payloads have a type that both sides know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from hookd.ambient import ambient_client
from hookd.payload import Payload
from hookd.workflows.context import refuse_inside
from hookd.workflows.hooks import WorkflowHook, open_hook
from hookd.workflows.values import ValueType

if TYPE_CHECKING:
    from hookd.client import Client
    from hookd.durations import Seconds
    from hookd.models import ResumeResult

T = TypeVar("T")


class HookDefinition(Generic[T]):
    """A kind of hook. Made by ``define_hook``."""

    def __init__(self, type: type[T] | Any) -> None:
        self._type = ValueType[T](type)
        self._name = getattr(type, "__name__", str(type))

    def create(
        self,
        token: str | None = None,
        *,
        metadata: Any = None,
        ttl: Seconds | None = None,
        hold_after: Seconds | None = None,
    ) -> WorkflowHook[T]:
        """Creates a hook of this kind, in the code of a workflow; see ``create_hook``."""
        return open_hook(token, metadata, ttl, hold_after, self._type)

    async def resume(
        self,
        token: str,
        payload: T,
        *,
        payload_id: str | None = None,
        wait: Seconds | None = None,
        client: Client | None = None,
    ) -> ResumeResult:
        """Delivers a payload to a hook of this kind, outside of workflow code.

        Args:
            token: The token.
            payload: The payload.
            payload_id: The id of this delivery; see ``Client.resume_hook``.
            wait: Wait at most so long for a hook that has the token.
            client: The client to use; the ambient one when None.

        Raises:
            InvalidArgumentError: The payload is not of the type.
            HookNotFoundError: No active hook has the token.
        """
        refuse_inside("resume()")
        encoded = self._type.encode(payload, "payload")
        used = ambient_client() if client is None else client
        return await used.resume_hook(
            token,
            Payload(encoded.data, encoded.content_type),
            payload_id=payload_id,
            wait=wait,
        )

    def __repr__(self) -> str:
        return f"<HookDefinition {self._name}>"


@overload
def define_hook(type: type[T]) -> HookDefinition[T]: ...
@overload
def define_hook(type: Any) -> HookDefinition[Any]: ...
def define_hook(type: Any) -> HookDefinition[Any]:
    """Declares a kind of hook by the type of its payloads.

    Workflows create such hooks, and whoever resumes them through the same
    definition is told at once when a payload does not fit.

    Args:
        type: What pydantic knows: a model, a dataclass, ``int``, ``list[str]``.
    """
    return HookDefinition(type)
