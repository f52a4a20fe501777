"""The few files that the pages need, read once."""

from __future__ import annotations

import hashlib
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from hookd_daemon.console.headers import SECURITY

_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Files:
    """Serves the files."""

    def __init__(self) -> None:
        folder = resources.files(__package__ or "").joinpath("static")
        self._files = {
            entry.name: (entry.read_bytes(), _KINDS[entry.name.rpartition(".")[2]])
            for entry in folder.iterdir()
            if entry.name.rpartition(".")[2] in _KINDS
        }

    async def get(self, request: Request) -> Response:
        """A file."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            return Response(status_code=404, headers=dict(SECURITY))
        data, kind = found
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        headers = {**SECURITY, "etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, headers={**headers, "content-type": kind})
