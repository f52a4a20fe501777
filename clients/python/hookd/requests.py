"""What users say about runs and hooks, as the wire carries it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hookd import validate
from hookd.durations import Seconds, duration
from hookd.enums import ConflictPolicy
from hookd.errors import InvalidArgumentError
from hookd.ids import new_id
from hookd.models import HookSpec, WebhookSpec
from hookd.payload import encode
from hookd.v1 import common_pb2, run_service_pb2
from hookd.webhook_response import wire_webhook
from hookd.webhook_url import has_url
from hookd.workflows.values import CallSignature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Unset:
    """The absence of an argument for which None is a value."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


def workflow_name(workflow: object) -> str:
    """Gives the name of a workflow: text, or of an object the name that it carries.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if isinstance(workflow, str):
        return validate.name(workflow, "workflow")
    for attribute in ("workflow_name", "name"):
        found = getattr(workflow, attribute, None)
        if isinstance(found, str):
            return validate.name(found, "workflow")
    raise InvalidArgumentError.of(
        "workflow",
        f"must be a name or an object that carries one, not {type(workflow).__qualname__}",
    )


def call_signature(workflow: object) -> CallSignature | None:
    """Gives how a workflow is called, when its definition is at hand and not only its name."""
    signature = getattr(workflow, "signature", None)
    return signature if isinstance(signature, CallSignature) else None


def run_input(
    workflow: object,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    value: object,
) -> common_pb2.Payload | None:
    """Gives the input of a run.

    Positional arguments travel as one JSON array, ``input=`` as it is; no
    arguments are no input. Arguments of a workflow whose definition is at hand
    must be what its function takes.

    Raises:
        TypeError: The function does not take so many arguments, or not these.
    """
    signature = call_signature(workflow)
    if kwargs and (signature is None or not isinstance(value, Unset)):
        names = ", ".join(kwargs)
        raise TypeError(f"start() takes no {names}: arguments by name go with a @workflow only")
    if not isinstance(value, Unset):
        if args:
            raise InvalidArgumentError.of("input", "cannot be given beside positional arguments")
        return encode(value, "input")
    if signature is not None:
        payload = signature.encode_call(args, kwargs)
        return payload if args or kwargs else None
    return encode(list(args), "args") if args else None


def hook_spec(spec: HookSpec, *, hook_id: str | None, field: str = "") -> common_pb2.HookSpec:
    """Gives what is said about a hook.

    Args:
        spec: What the user says.
        hook_id: The id when the user gives none; None to leave it to the daemon.
        field: Where the spec stands in the user's arguments, with a dot at its end.
    """
    if not isinstance(spec, HookSpec):
        raise InvalidArgumentError.of(
            field.rstrip(".") or "hook", f"must be a HookSpec, not {type(spec).__qualname__}"
        )
    message = common_pb2.HookSpec()
    chosen = spec.hook_id if spec.hook_id is not None else hook_id
    if chosen is not None:
        message.hook_id = validate.name(chosen, f"{field}hook_id")
    if spec.token is not None:
        message.token = validate.token(spec.token, f"{field}token")
    if spec.metadata is not None:
        message.metadata.CopyFrom(encode(spec.metadata, f"{field}metadata"))
    if spec.ttl is not None:
        message.ttl.CopyFrom(duration(spec.ttl, f"{field}ttl"))
    if spec.hold_after is not None:
        message.hold_after.CopyFrom(duration(spec.hold_after, f"{field}hold_after"))
    if isinstance(spec, WebhookSpec):
        check_segment(message.token, f"{field}token")
        message.webhook.CopyFrom(wire_webhook(spec.respond_with, spec.verify))
    return message


def check_segment(token: str, field: str = "token") -> None:
    """Makes sure that a URL can carry a token.

    Raises:
        InvalidArgumentError: It is one of the two that none can.
    """
    if not has_url(token):
        raise InvalidArgumentError.of(
            field, f'"{token}" cannot be that of a webhook: in a URL it is a way up'
        )


def conflict_policy(value: str) -> run_service_pb2.ConflictPolicy.ValueType:
    """Gives what to do when a token is taken."""
    try:
        policy = ConflictPolicy(value)
    except ValueError:
        words = ", ".join(f'"{word}"' for word in ConflictPolicy)
        raise InvalidArgumentError.of(
            "on_conflict", f"must be one of {words}, not {value!r}"
        ) from None
    return run_service_pb2.ConflictPolicy.Value(f"CONFLICT_POLICY_{policy.name}")


def start_request(
    project: str,
    workflow: object,
    args: tuple[object, ...] = (),
    kwargs: Mapping[str, object] = MappingProxyType({}),
    *,
    input: Any = UNSET,
    run_id: str | None = None,
    attributes: Mapping[str, str] | None = None,
    claims: Iterable[HookSpec] = (),
    on_conflict: ConflictPolicy | str = ConflictPolicy.FAIL,
    payload: Any = UNSET,
    payload_id: str | None = None,
    external: bool = False,
    lease_ttl: Seconds | None = None,
) -> run_service_pb2.StartRunRequest:
    """Gives the request that starts a run; its ids are made here when there are none."""
    policy = conflict_policy(on_conflict)
    deliver = policy == run_service_pb2.CONFLICT_POLICY_DELIVER
    request = run_service_pb2.StartRunRequest(
        project=project,
        run_id=new_id("run") if run_id is None else validate.name(run_id, "run_id"),
        workflow=workflow_name(workflow),
        input=run_input(workflow, args, kwargs, input),
        attributes=validate.attributes(attributes),
        claims=[
            hook_spec(spec, hook_id=None, field=f"claims[{at}].") for at, spec in enumerate(claims)
        ],
        on_conflict=policy,
        external=external,
    )
    if lease_ttl is not None:
        request.lease_ttl.CopyFrom(duration(lease_ttl, "lease_ttl"))
    if deliver:
        value = None if isinstance(payload, Unset) else payload
        request.payload.CopyFrom(encode(value, "payload"))
        request.payload_id = payload_id_or_new(payload_id)
    elif not isinstance(payload, Unset) or payload_id is not None:
        raise InvalidArgumentError.of("payload", 'goes only with on_conflict="deliver"')
    return request


def payload_id_or_new(payload_id: str | None) -> str:
    """Gives the id of a delivery."""
    return new_id("payload") if payload_id is None else validate.name(payload_id, "payload_id")
