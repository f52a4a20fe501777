"""What an event loop can do and that of a workflow must not."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from hookd.workflows.errors import WorkflowRuleError

_STEP = "put it into a step"

_REFUSED = {
    "a connection": (
        "create_connection",
        "create_server",
        "create_datagram_endpoint",
        "create_unix_connection",
        "create_unix_server",
        "connect_accepted_socket",
        "start_tls",
        "sendfile",
        "getaddrinfo",
        "getnameinfo",
        "sock_recv",
        "sock_recv_into",
        "sock_recvfrom",
        "sock_recvfrom_into",
        "sock_sendall",
        "sock_sendto",
        "sock_sendfile",
        "sock_connect",
        "sock_accept",
        "add_reader",
        "remove_reader",
        "add_writer",
        "remove_writer",
    ),
    "a process": (
        "subprocess_exec",
        "subprocess_shell",
        "connect_read_pipe",
        "connect_write_pipe",
    ),
    "a thread": ("run_in_executor", "set_default_executor", "shutdown_default_executor"),
    "another thread": ("call_soon_threadsafe",),
    "a signal": ("add_signal_handler", "remove_signal_handler"),
}
_NOT_YOURS = (
    "run_forever",
    "run_until_complete",
    "stop",
    "close",
    "shutdown_asyncgens",
    "set_exception_handler",
    "set_debug",
)


class RefusingLoop(asyncio.AbstractEventLoop):
    """An event loop that refuses, with a hint, all that is not the same in a replay."""


def _refusal(name: str, message: str, hint: str) -> Any:
    def refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
        raise WorkflowRuleError(message, call=f"loop.{name}()", hint=hint)

    refuse.__name__ = name
    return refuse


for _what, _names in _REFUSED.items():
    for _name in _names:
        _text = f"Workflow code cannot use {_what} (loop.{_name}())"
        setattr(RefusingLoop, _name, _refusal(_name, _text, _STEP))
for _name in _NOT_YOURS:
    _text = f"Workflow code cannot call loop.{_name}()"
    setattr(RefusingLoop, _name, _refusal(_name, _text, "the loop belongs to the worker"))
