"""Reads the bytes of requests, and sees to it that the caller may ask in their project.

``parser`` is the one way from bytes to a request: so nobody who has a request in
hand has to think of it. Who makes a request of something else calls
``check_project``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from hookd.v1.admin_service_pb2 import GetStatsRequest

from hookd_daemon.api.context import CallContext
from hookd_daemon.api.validate import DEFAULT_PROJECT
from hookd_daemon.errors import InvalidArgumentError, PermissionDeniedError

M = TypeVar("M", bound=Message)

#: Requests with a project whose answers are about the whole daemon all the same.
_ABOUT_ALL = frozenset({GetStatsRequest.DESCRIPTOR.full_name})


def check_project(request: Message, call: CallContext) -> None:
    """Sees to it that the caller may ask this in the project that it is about.

    Raises:
        PermissionDeniedError: he may not. What there is in the project has not
            been looked at.
    """
    if call.project:
        descriptor = request.DESCRIPTOR
        if "project" not in descriptor.fields_by_name or descriptor.full_name in _ABOUT_ALL:
            raise PermissionDeniedError.of_all_projects()
        if (request.project or DEFAULT_PROJECT) != call.project:  # type: ignore[attr-defined]
            raise PermissionDeniedError.of_project()


def parser(message: type[M]) -> Callable[[bytes, CallContext], M]:
    """Reads bytes as a message, for a call.

    Raises (the function):
        InvalidArgumentError: they are none.
        PermissionDeniedError: see ``check_project``.
    """
    name = message.DESCRIPTOR.full_name

    def parse(data: bytes, call: CallContext) -> M:
        try:
            request = message.FromString(data)
        except DecodeError:
            raise InvalidArgumentError(
                "request",
                f"{len(data)} bytes are not a {name}; strings must be valid UTF-8",
            ) from None
        check_project(request, call)
        return request

    return parse
