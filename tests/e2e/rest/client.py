"""The JSON API as a program without gRPC calls it: with ``http.client`` and nothing else."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from tests.support.daemon import PATIENCE

JSON = {"content-type": "application/json"}


class Answer(NamedTuple):
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.text)

    @property
    def error(self) -> dict[str, Any]:
        """The error, which is all that there is."""
        found = self.json
        assert self.status >= 400
        assert found.keys() == {"error"}
        assert {"code", "reason", "message", "metadata"} <= found["error"].keys()
        error: dict[str, Any] = found["error"]
        return error

    @property
    def refused_field(self) -> str:
        """The one field that is wrong."""
        error = self.error
        assert (self.status, error["reason"]) == (400, "INVALID_ARGUMENT")
        (violation,) = error["violations"]
        assert error["metadata"]["field"] == violation["field"]
        assert violation["description"] in error["message"]
        return str(violation["field"])


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    id: str
    data: Any


class Rest:
    """Calls of one project.

    Args:
        address: of the HTTP port.
        project: what is named in the query; empty to name none.
        key: the API key.
    """

    def __init__(self, address: str, project: str = "", key: str = "") -> None:
        self.address = address
        self.project = project
        self.key = key

    def send(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends just this."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request(verb, path, body, dict(headers or {}))
            response = connection.getresponse()
            sent = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, sent, response.read().decode())
        finally:
            connection.close()

    def url(self, path: str, **query: Any) -> str:
        """A path with its query."""
        if self.project:
            query.setdefault("project", self.project)
        return f"{path}?{urlencode(query, doseq=True)}" if query else path

    def headers(self) -> dict[str, str]:
        """The headers of all requests."""
        return {"authorization": f"Bearer {self.key}"} if self.key else {}

    def get(self, path: str, **query: Any) -> Answer:
        """Asks for something."""
        return self.send("GET", self.url(path, **query), headers=self.headers())

    def post(self, path: str, /, **body: Any) -> Answer:
        """Does something."""
        data = json.dumps(body).encode()
        return self.send("POST", self.url(path), data, JSON | self.headers())

    def start(self, run_id: str, **more: Any) -> Answer:
        """Starts an externally driven run."""
        body = {"run_id": run_id, "workflow": "checkout", "external": True} | more
        answer = self.post("/v1/runs", **body)
        assert answer.status == 200, answer.text
        return answer

    def resume(self, token: str, payload: Any, **more: Any) -> Answer:
        """Delivers a payload to a token."""
        return self.post(f"/v1/hooks/{quote(token, safe='')}:resume", payload=payload, **more)

    @contextmanager
    def stream(
        self, path: str, last_event_id: str = "", **query: Any
    ) -> Iterator[tuple[http.client.HTTPResponse, Iterator[Event]]]:
        """Opens a stream; gives the response, and its events as they come."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        headers = self.headers()
        if last_event_id:
            headers["last-event-id"] = last_event_id
        try:
            connection.request("GET", self.url(path, **query), headers=headers)
            response = connection.getresponse()
            yield response, _events(response)
        finally:
            connection.close()


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for raw in response:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "event" in fields:
            yield Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}
