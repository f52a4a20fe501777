"""What is refused: always in the same form, and never with a word from inside."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rest.client import JSON, Rest
from tests.support.daemon import PATIENCE, Daemon, running

MIB = 1 << 20


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/runs/%FF", "run_id"),
        ("/v1/runs/%", "run_id"),
        ("/v1/runs/%zz", "run_id"),
        ("/v1/runs/%C3%28/hooks", "run_id"),
        ("/v1/runs/%ED%A0%80", "run_id"),
        ("/v1/runs/ä", "run_id"),
        ("/v1/runs/a%20b", "run_id"),
        ("/v1/runs/", "run_id"),
        ("/v1/runs//hooks", "run_id"),
        ("/v1/runs/r/hooks/", "hook_id"),
        ("/v1/hooks/", "token"),
        ("/v1/hooks/%F0%9F%98", "token"),
        ("/v1/hooks/" + "x" * 513, "token"),
        ("/v1/runs?project=a%2Fb", "project"),
        ("/v1/runs?project=a&project=b", "project"),
        ("/v1/runs?page_size=-1", "page_size"),
        ("/v1/runs?page_size=1.5", "page_size"),
        ("/v1/runs?page_size=", "page_size"),
        ("/v1/runs?page_size=99999999999999999999999", "page_size"),
        ("/v1/runs?statuses=running&statuses=RUNNING", "statuses[1]"),
        ("/v1/runs?created_after=yesterday", "created_after"),
        ("/v1/runs?created_after=1969-12-31T23:59:59Z", "created_after"),
        ("/v1/runs?nonsense=1", "nonsense"),
        ("/v1/runs?workflow=%FF", "workflow"),
        ("/v1/runs?%FF=1", "query"),
        ("/v1/runs?page_token=made-up", "page_token"),
        ("/v1/runs/r?with_waits=yes", "with_waits"),
        ("/v1/runs/r/events?after_seq=x", "after_seq"),
        ("/v1/hooks/t?wait=6m", "wait"),
        ("/v1/hooks/t?wait=soon", "wait"),
        ("/v1/hooks?token_prefix=" + "x" * 513, "token_prefix"),
    ],
)
def test_a_wrong_url_names_its_part(path: str, field: str, rest: Rest) -> None:
    raw = path.encode().decode("latin-1")
    with socket.create_connection(rest.address.rsplit(":", 1), PATIENCE) as connection:
        head = f"GET {raw} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    status, _, body = answer.partition(b"\r\n\r\n")
    if not path.isascii():
        assert status.startswith(b"HTTP/1.1 400")  # no URL at all
        return
    assert status.startswith(b"HTTP/1.1 400"), answer
    assert json.loads(body)["error"]["violations"][0]["field"] == field


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/runs", {}, "workflow"),
        ("/v1/runs", {"workflow": ""}, "workflow"),
        ("/v1/runs", {"workflow": "w", "run_id": "ä"}, "run_id"),
        ("/v1/runs", {"workflow": "w", "project": "p"}, "project"),
        ("/v1/runs", {"workflow": "w", "claims": [{"token": ""}]}, "claims[0].token"),
        ("/v1/runs", {"workflow": "w", "claims": [{"ttl": "0s"}]}, "claims[0].ttl"),
        ("/v1/runs", {"workflow": "w", "input": "x" * (4 * MIB)}, "input.data"),
        ("/v1/runs", {"workflow": "w", "lease_ttl": "1s"}, "lease_ttl"),
        ("/v1/runs/r:fail", {"failure": {"kind": "x"}}, "failure.kind"),
        ("/v1/runs/r:await", {"wait": 301}, "wait"),
        ("/v1/runs/r:keep-alive", {"why": 1}, "why"),
        ("/v1/runs/r:complete", {"output": 1, "output_raw": {}}, "output_raw"),
        ("/v1/runs/r/hooks", {"token": 42}, "token"),
        ("/v1/runs/r/hooks", {"token": "x" * 513}, "token"),
        ("/v1/runs/r/hooks", {"hook": {}}, "hook"),
        ("/v1/runs/r/hooks/h:dispose", {"run_id": "r"}, "run_id"),
        ("/v1/runs/r/hooks/h/payloads/x:respond", {}, "payload_seq"),
        ("/v1/runs/r/hooks/h/payloads/-1:respond", {}, "payload_seq"),
        ("/v1/hooks", {}, "hooks"),
        ("/v1/hooks", {"hooks": [{"run_id": 1}]}, "hooks[0].run_id"),
        ("/v1/hooks:resume", {"payload": 1}, "token"),
        ("/v1/hooks:get", {}, "token"),
        ("/v1/hooks:get", {"token": "t", "ref": {}}, "ref"),
        ("/v1/hooks/t:resume", {"token": "t"}, "token"),
        ("/v1/hooks/t:resume", {"payload_id": "x" * 257}, "payload_id"),
    ],
)
def test_a_wrong_body_names_its_field(
    path: str, body: dict[str, Any], field: str, rest: Rest
) -> None:
    assert rest.post(path, **body).refused_field == field


@pytest.mark.parametrize("body", [b"", b"  ", b"{}"])
def test_a_call_without_fields_may_have_no_body(body: bytes, rest: Rest) -> None:
    rest.start("r")
    assert rest.send("POST", rest.url("/v1/runs/r:cancel"), body, JSON).status == 200


def test_no_route_no_method_no_json(rest: Rest) -> None:
    nothing = rest.get("/v1/nothing")
    assert (nothing.status, nothing.error["reason"]) == (404, "NO_ROUTE")
    for verb in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        other = rest.send(verb, "/v1/runs")
        assert (other.status, other.error["reason"]) == (405, "METHOD_NOT_ALLOWED")
        assert other.headers["allow"] == "GET, POST"
    assert rest.send("DELETE", "/v1/runs/r:cancel").headers["allow"] == "POST"
    assert rest.send("POST", "/v1/hooks/t").headers["allow"] == "GET"
    assert rest.send("HEAD", "/v1/runs").status == 405


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
        "application/jsonp",
    ],
)
def test_only_json_changes_something(kind: str | None, rest: Rest) -> None:
    """A web page can send the others to another site without asking."""
    rest.start("r")
    headers = {} if kind is None else {"content-type": kind}
    refused = rest.send("POST", rest.url("/v1/runs/r:cancel"), b"{}", headers)
    assert (refused.status, refused.error["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    refused = rest.send("POST", rest.url("/v1/runs/r:cancel"), None, headers)
    assert refused.status == 415
    assert rest.get("/v1/runs/r").json["run"]["status"] == "running"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON;charset=UTF-8"])
def test_json_is_json_however_it_is_spelled(kind: str, rest: Rest) -> None:
    answer = rest.send("POST", rest.url("/v1/runs"), b'{"workflow":"w"}', {"content-type": kind})
    assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"host": "evil.test"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.test", "origin": "http://evil.test"},
    ],
)
def test_a_page_of_another_site_is_refused(headers: Mapping[str, str], rest: Rest) -> None:
    rest.start("r")
    for verb, path in (("POST", "/v1/runs/r:cancel"), ("GET", "/v1/runs/r")):
        refused = rest.send(verb, rest.url(path), None, JSON | dict(headers))
        assert (refused.status, refused.error["reason"]) == (403, "PERMISSION_DENIED")
        assert not [name for name in refused.headers if name.startswith("access-control")]
    assert rest.get("/v1/runs/r").json["run"]["status"] == "running"


def test_the_own_page_may_ask(rest: Rest) -> None:
    own = {"origin": f"http://{rest.address}", "sec-fetch-site": "same-origin"}
    assert rest.send("POST", rest.url("/v1/runs"), b'{"workflow":"w"}', JSON | own).status == 200


def test_a_body_that_is_too_large(rest: Rest) -> None:
    for size in (16 * MIB + 1, 20 * MIB):
        refused = rest.send("POST", rest.url("/v1/runs"), b"x" * size, JSON)
        assert (refused.status, refused.error["reason"]) == (413, "LIMIT_EXCEEDED")
        assert refused.error["metadata"] == {"limit": "body_bytes", "allowed": str(16 * MIB)}
    # One that says so before it is sent is answered at once.
    head = (
        f"POST /v1/runs HTTP/1.1\r\nhost: {rest.address}\r\ncontent-type: application/json\r\n"
        f"expect: 100-continue\r\ncontent-length: {17 * MIB}\r\n\r\n"
    )
    with socket.create_connection(rest.address.rsplit(":", 1), PATIENCE) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_the_largest_body_is_read(rest: Rest) -> None:
    rest.start("r")
    body = b'{"reason": "x"' + b" " * (16 * MIB - 15) + b"}"
    assert rest.send("POST", rest.url("/v1/runs/r:cancel"), body, JSON).status == 200


def test_a_client_that_goes_in_the_middle_of_its_body_harms_nobody(
    rest: Rest, shared_daemon: Daemon
) -> None:
    rest.start("r")
    seen = len(shared_daemon.log)
    head = (
        f"POST {rest.url('/v1/runs/r:cancel')} HTTP/1.1\r\nhost: {rest.address}\r\n"
        "content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    )
    with socket.create_connection(rest.address.rsplit(":", 1), PATIENCE) as connection:
        connection.sendall(head.encode())
    assert rest.get("/v1/runs/r").json["run"]["status"] == "running"
    assert '"level": "error"' not in shared_daemon.log[seen:]


def test_answers_are_kept_by_nobody(rest: Rest) -> None:
    rest.start("r")
    for answer in (rest.get("/v1/runs/r"), rest.get("/v1/runs/nobody")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_project_over_its_quota_is_told_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, "--max-calls-per-second=1", "--max-active-runs=1") as daemon:
        rest = Rest(daemon.http)
        answers = [rest.get("/v1/runs") for _ in range(3)]
        refused = next(answer for answer in answers if answer.status != 200)
        assert (refused.status, refused.error["reason"]) == (429, "LIMIT_EXCEEDED")
        assert refused.error["metadata"]["limit"] == "calls_per_second"
        assert int(refused.headers["retry-after"]) >= 1
        other = Rest(daemon.http, "other")
        assert other.start("r").status == 200
        assert other.get("/v1/runs/r/events:watch").status == 429


def test_calls_over_http_are_counted_as_those_of_grpc(rest: Rest) -> None:
    def counted(status: str) -> float:
        (line,) = (
            line
            for line in rest.send("GET", "/metrics").text.splitlines()
            if line.startswith("hookd_request_duration_seconds_count")
            and "GetRun" in line
            and f'"{status}"' in line
        )
        return float(line.rpartition(" ")[2])

    rest.get("/v1/runs/nobody")
    rest.get("/v1/runs/%FF")
    before = counted("NOT_FOUND")
    wrong = counted("INVALID_ARGUMENT")
    rest.get("/v1/runs/nobody")
    rest.get("/v1/runs/%FF")
    assert counted("NOT_FOUND") == before + 1
    assert counted("INVALID_ARGUMENT") == wrong + 1
