"""Reads the bytes of requests, and sees to it that the caller may ask in their project.

This is the one way from bytes to a request: so nobody who has a request in
hand has to think of it.
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


def parser(message: type[M]) -> Callable[[bytes, CallContext], M]:
    """Reads bytes as a message, for a call.

    Raises (the function):
        InvalidArgumentError: they are none.
        PermissionDeniedError: the caller may not ask this in that project.
            What there is in the project has not been looked at.
    """
    name = message.DESCRIPTOR.full_name
    about_all = "project" not in message.DESCRIPTOR.fields_by_name or name in _ABOUT_ALL

    def parse(data: bytes, call: CallContext) -> M:
        try:
            request = message.FromString(data)
        except DecodeError:
            raise InvalidArgumentError(
                "request",
                f"{len(data)} bytes are not a {name}; strings must be valid UTF-8",
            ) from None
        if call.project:
            if about_all:
                raise PermissionDeniedError.of_all_projects()
            if (request.project or DEFAULT_PROJECT) != call.project:  # type: ignore[attr-defined]
                raise PermissionDeniedError.of_project()
        return request

    return parse
