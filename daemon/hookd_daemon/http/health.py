"""Metrics for Prometheus, liveness and readiness.

They run inside the daemon's own event loop: a daemon whose loop hangs does not
answer ``/healthz`` either, which is the point of asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from hookd_daemon.auth.door import Sent
from hookd_daemon.errors import HookdError, PermissionDeniedError


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a caller sent; see ``auth.door.Sent``."""

    metadata: Mapping[str, str]


def _anybody(_: Sent) -> None:
    pass


def health_routes(
    metrics: Callable[[], tuple[bytes, str]],
    not_ready: Callable[[], str | None],
    enter: Callable[[Sent], None] = _anybody,
) -> list[BaseRoute]:
    """Makes the routes for probes and Prometheus.

    Args:
        metrics: Returns the metrics in the Prometheus text format and its
            content type; called in a thread.
        not_ready: Returns why the daemon does not serve; None if it does.
        enter: Raises a ``HookdError`` if who asks may not see the metrics.
    """

    async def get_metrics(request: Request) -> Response:
        try:
            enter(_Sent(request.headers))
        except HookdError as error:
            return _refusal(error)
        # A scrape takes tens of milliseconds, which calls must not wait for.
        content, content_type = await asyncio.to_thread(metrics)
        return Response(content, headers={"content-type": content_type})

    async def get_health(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def get_ready(_: Request) -> Response:
        reason = not_ready()
        if reason is None:
            return JSONResponse({"status": "serving"})
        return JSONResponse({"status": "not serving", "reason": reason}, status_code=503)

    return [
        Route("/metrics", get_metrics),
        Route("/healthz", get_health),
        Route("/readyz", get_ready),
    ]


def _refusal(error: HookdError) -> Response:
    if isinstance(error, PermissionDeniedError):
        return JSONResponse({"error": error.message}, status_code=403)
    headers = {"www-authenticate": "Bearer"}
    return JSONResponse({"error": error.message}, status_code=401, headers=headers)
