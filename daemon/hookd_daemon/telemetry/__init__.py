"""Telemetry of the daemon: traces, metrics, and the one place that sets up the SDK.

`setup` knows the OpenTelemetry SDK and its exporters; `tracing` uses the API
alone; `metrics` and `histogram` keep the numbers, plain integers that are read
when somebody asks for them.
"""

from hookd_daemon.telemetry.metrics import Metrics
from hookd_daemon.telemetry.setup import Telemetry
from hookd_daemon.telemetry.tracing import ServerSpan, Tracing

__all__ = ["Metrics", "ServerSpan", "Telemetry", "Tracing"]
