"""A caller of the API that is itself traced."""

from __future__ import annotations

import secrets
from typing import Any

from tests.support.otlp import OtlpReceiver, ReceivedSpan


class Caller:
    """The trace context of a caller: what it sends with a call."""

    def __init__(self) -> None:
        self.trace_id = secrets.token_hex(16)
        self.span_id = secrets.token_hex(8)

    @property
    def traceparent(self) -> str:
        """In the W3C format, sampled."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @property
    def context(self) -> dict[str, Any]:
        """For the keyword arguments of a stub."""
        return {"metadata": (("traceparent", self.traceparent),)}

    def server_span(self, receiver: OtlpReceiver, method: str) -> ReceivedSpan:
        """The span of the daemon for the call that was made with this context."""

        def look(receiver: OtlpReceiver) -> list[ReceivedSpan]:
            return [s for s in receiver.spans(method) if s.trace_id == self.trace_id]

        (span,) = receiver.wait_for(look)
        return span
