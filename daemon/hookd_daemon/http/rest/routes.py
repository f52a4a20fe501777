"""The routes: which path is which call, and where its fields come from.

What is not in the path is in the query of a GET, and in the body of a POST.
``project`` is always in the query. ``ClaimStream`` has no route: HTTP has no
stream in both directions, and ``CreateHooks`` does the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hookd.v1 import hook_service_pb2, run_service_pb2

_SERVICES = (
    run_service_pb2.DESCRIPTOR.services_by_name["RunService"],
    hook_service_pb2.DESCRIPTOR.services_by_name["HookService"],
)
#: The calls by the names of their methods.
METHODS: Mapping[str, MethodDescriptor] = {m.name: m for s in _SERVICES for m in s.methods}

PROJECT = "project"

#: The parameters of paths that take slashes as they are; others are one segment.
_MANY_SEGMENTS = frozenset({"token"})


@dataclass(frozen=True)
class Route:
    """One route.

    Attributes:
        verb: the HTTP method.
        template: the path, with the names of its parameters in braces.
        call: the method of the API.
        summary: what it does, in a line.
        within: by path parameter the message that has the field: ``ref`` for a
            ``run_id`` that is in the reference of the request.
        body: the field that the whole body is; empty if it is the request.
        without: fields of the request that this route does not take.
        needs: fields that the body or the query must have.
        example: a body.
    """

    verb: str
    template: str
    call: str
    summary: str
    within: str = ""
    body: str = ""
    without: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> MethodDescriptor:
        """The method of the API."""
        return METHODS[self.call]

    @property
    def path(self) -> str:
        """The path of the call in gRPC."""
        return f"/{self.method.containing_service.full_name}/{self.call}"

    @property
    def request(self) -> Descriptor:
        """What the call takes."""
        found: Descriptor = self.method.input_type
        return found

    @property
    def answer(self) -> Descriptor:
        """What the call gives; a stream of it if it is one."""
        found: Descriptor = self.method.output_type
        return found

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream."""
        return bool(self.method.server_streaming)

    @property
    def has_body(self) -> bool:
        """Whether a body is read."""
        return self.verb == "POST"

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters of the path, in their order."""
        return tuple(re.findall(r"\{(\w+)\}", self.template))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the path as it was sent, with its percent signs."""
        parts = re.split(r"\{(\w+)\}", self.template)
        for place in range(1, len(parts), 2):
            name = parts[place]
            parts[place] = f"(?P<{name}>{'.*' if name in _MANY_SEGMENTS else '[^/]*'})"
        for place in range(0, len(parts), 2):
            parts[place] = re.escape(parts[place])
        return re.compile("".join(parts), re.DOTALL)

    def field_of(self, parameter: str) -> FieldDescriptor:
        """The field that a parameter of the path or the query is."""
        message = self.request
        if parameter in self.parameters and self.within and parameter in self._inner:
            message = self._inner_message
        found: FieldDescriptor = message.fields_by_name[parameter]
        return found

    def holder_of(self, parameter: str, request: Any) -> Message:
        """The message in a request that has the field of a parameter of the path."""
        inner = self.within and parameter in self._inner
        found: Message = getattr(request, self.within) if inner else request
        return found

    @cached_property
    def _inner_message(self) -> Descriptor:
        return cast("Descriptor", self.request.fields_by_name[self.within].message_type)

    @cached_property
    def _inner(self) -> frozenset[str]:
        return frozenset(self._inner_message.fields_by_name)

    @cached_property
    def rest(self) -> tuple[str, ...]:
        """The fields of the request that are neither in the path nor the project."""
        taken = {PROJECT, self.within, *self.parameters, *self.without}
        return tuple(f.name for f in self.request.fields if f.name not in taken)

    @cached_property
    def query(self) -> tuple[str, ...]:
        """The names of the parameters of the query."""
        return (PROJECT,) if self.has_body else (PROJECT, *self.rest)

    @property
    def body_message(self) -> Descriptor:
        """What the body is."""
        if not self.body:
            return self.request
        return cast("Descriptor", self.request.fields_by_name[self.body].message_type)

    @property
    def body_fields(self) -> tuple[str, ...]:
        """The fields that the body may have."""
        return tuple(f.name for f in self.body_message.fields) if self.body else self.rest

    def new_request(self) -> Message:
        """An empty request."""
        return GetMessageClass(self.request)()

    def outer_name(self, name: str) -> str:
        """What a field of the request is called here, for errors."""
        for prefix in (self.within, self.body):
            if prefix and name.startswith(f"{prefix}."):
                return name.removeprefix(f"{prefix}.")
        return name


_RUN = "/v1/runs/{run_id}"
_HOOK = f"{_RUN}/hooks/{{hook_id}}"
_ANSWER = {"status": 200, "headers": [{"name": "content-type", "value": "text/plain"}]}

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/runs",
        "StartRun",
        "Start a run, and claim tokens for it in the same step",
        needs=("workflow",),
        example={
            "run_id": "checkout-42",
            "workflow": "checkout",
            "input": {"order": 42},
            "external": True,
            "claims": [{"token": "payment-42"}],
        },
    ),
    Route("GET", "/v1/runs", "ListRuns", "List runs, newest first"),
    Route("GET", _RUN, "GetRun", "Read a run"),
    Route(
        "POST",
        f"{_RUN}:cancel",
        "CancelRun",
        "Cancel a run and free its tokens",
        example={"reason": "not needed any more"},
    ),
    Route(
        "POST",
        f"{_RUN}:complete",
        "CompleteRun",
        "End a run with an output and free its tokens",
        example={"output": {"charged": True}},
    ),
    Route(
        "POST",
        f"{_RUN}:fail",
        "FailRun",
        "End a run with an error and free its tokens",
        example={"failure": {"type": "CardDeclined", "message": "the bank said no"}},
    ),
    Route(
        "POST",
        f"{_RUN}:await",
        "AwaitRun",
        "Wait until a run has ended",
        example={"wait": "30s"},
    ),
    Route("POST", f"{_RUN}:keep-alive", "KeepAlive", "Renew the lease of a run"),
    Route("GET", f"{_RUN}/events", "ListEvents", "Read a part of the log of a run"),
    Route("GET", f"{_RUN}/events:watch", "WatchRun", "Follow the log of a run"),
    Route(
        "POST",
        f"{_RUN}/hooks",
        "CreateHook",
        "Create a hook: claim its token for the run",
        body="hook",
        example={"hook_id": "payment", "token": "payment-42"},
    ),
    Route(
        "GET",
        f"{_RUN}/hooks",
        "ListHooks",
        "List the hooks of a run, by their ids",
        without=frozenset({"token_prefix"}),
    ),
    Route(
        "GET",
        _HOOK,
        "GetHook",
        "Read a hook by its id",
        "ref",
        without=frozenset({"token", "wait"}),
    ),
    Route("POST", f"{_HOOK}:dispose", "DisposeHook", "Give up a hook and its token", "ref"),
    Route("GET", f"{_HOOK}/payloads", "ReceivePayloads", "Follow the payloads of a hook", "ref"),
    Route(
        "POST",
        f"{_HOOK}/payloads/{{payload_seq}}:respond",
        "RespondWebhook",
        "Say what the sender of a request to a webhook is answered",
        "ref",
        body="response",
        example=_ANSWER | {"body": "dGhhbmtzCg=="},
    ),
    Route(
        "POST",
        "/v1/hooks",
        "CreateHooks",
        "Create many hooks in one step, each with a result of its own",
        needs=("hooks",),
        example={
            "hooks": [
                {"run_id": "checkout-42", "hook": {"hook_id": "a", "token": "payment-42"}},
                {"run_id": "checkout-43", "hook": {"hook_id": "a", "token": "payment-43"}},
            ]
        },
    ),
    Route(
        "GET",
        "/v1/hooks",
        "ListHooks",
        "List the tokens that are taken, by token",
        without=frozenset({"run_id"}),
    ),
    Route(
        "POST",
        "/v1/hooks:resume",
        "ResumeHook",
        "Deliver a payload to a token that is in the body",
        needs=("token",),
        example={"token": "payment-42", "payload_id": "charge-7", "payload": {"amount": 5}},
    ),
    Route(
        "POST",
        "/v1/hooks:get",
        "GetHook",
        "Read the hook that holds a token that is in the body",
        without=frozenset({"ref"}),
        needs=("token",),
        example={"token": "payment-42"},
    ),
    Route(
        "GET",
        "/v1/hooks/{token}",
        "GetHook",
        "Read the hook that holds a token",
        without=frozenset({"ref"}),
    ),
    Route(
        "POST",
        "/v1/hooks/{token}:resume",
        "ResumeHook",
        "Deliver a payload to a token",
        example={"payload_id": "charge-7", "payload": {"amount": 5}},
    ),
)


def find(verb: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request, and the parameters of its path as they were sent.

    Args:
        verb: the HTTP method.
        path: as it was sent, with its percent signs.
    """
    for route in ROUTES:
        if route.verb == verb and (match := route.pattern.fullmatch(path)) is not None:
            return route, match.groupdict()
    return None


def verbs_of(path: str) -> list[str]:
    """The HTTP methods that a path has: those of the template that says most of it."""
    fitting = [route for route in ROUTES if route.pattern.fullmatch(path)]
    if not fitting:
        return []
    best = max(fitting, key=lambda route: len(re.sub(r"\{\w+\}", "", route.template))).template
    return sorted({route.verb for route in fitting if route.template == best})
