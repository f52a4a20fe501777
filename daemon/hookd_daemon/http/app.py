"""What is served over HTTP, put together."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.routing import BaseRoute


def build_app(*routes: Iterable[BaseRoute]) -> Starlette:
    """Builds the application of the daemon's HTTP port from the routes of its parts."""
    app = Starlette(routes=[route for part in routes for route in part])
    # "/x" and "/x/" are two addresses here: tokens may end with a slash.
    app.router.redirect_slashes = False
    return app
