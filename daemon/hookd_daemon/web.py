"""What the HTTP port serves: probes, webhooks, JSON and the console, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.descriptor import ServiceDescriptor
from starlette.types import ASGIApp

from hookd_daemon.api.backend import Backend
from hookd_daemon.api.gate import Gate
from hookd_daemon.auth.door import Door
from hookd_daemon.config import Settings
from hookd_daemon.console.routes import build_console, console_routes
from hookd_daemon.console.samples import Samples
from hookd_daemon.http.app import build_app
from hookd_daemon.http.calls import Calls
from hookd_daemon.http.guard import Guard
from hookd_daemon.http.health import health_routes
from hookd_daemon.http.rest.mount import rest_routes
from hookd_daemon.http.webhooks.ingress import Ingress
from hookd_daemon.http.webhooks.routes import webhook_routes
from hookd_daemon.secrets.files import SecretFiles
from hookd_daemon.telemetry.setup import Telemetry


def build_web(
    settings: Settings,
    backend: Backend,
    services: Sequence[tuple[ServiceDescriptor, object]],
    door: Door,
    gate: Gate,
    telemetry: Telemetry,
    samples: Samples,
    *,
    projects: Callable[[], list[tuple[str, int]]],
    workers: Callable[[], int],
    not_ready: Callable[[], str | None],
    tls: bool,
) -> ASGIApp:
    """Builds the application of the HTTP port.

    Args:
        settings: what the operator chose.
        backend: the store, the time, the conflicts.
        services: the services of the API, each with the object that answers its calls.
        door: who is let in.
        gate: how many calls are let in.
        telemetry: spans and metrics.
        samples: what the charts show.
        projects: the projects that have tokens taken, each with how many.
        workers: how many workers are connected.
        not_ready: why the daemon does not serve; None when it does.
        tls: it is served by HTTPS.
    """
    calls = Calls(services, door, gate, telemetry.tracing, telemetry.metrics, backend.admission)
    host = "" if settings.http_address is None else settings.http_address.host
    guard = Guard(lambda: door.required, host, "https" if tls else "http", settings.public_url)
    console = build_console(
        backend,
        calls,
        guard,
        samples,
        secure=tls or (settings.public_url or "").startswith("https:"),
        projects=projects,
        workers=workers,
    )
    return build_app(
        health_routes(telemetry.prometheus, not_ready, door.enter_for_metrics),
        webhook_routes(Ingress(backend, gate, SecretFiles(settings.secrets_dir))),
        rest_routes(calls, guard, settings.max_token_bytes),
        console_routes(console),
    )
