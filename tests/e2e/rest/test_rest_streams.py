"""Streams as server-sent events; clients that go, and a daemon that does."""

from __future__ import annotations

import base64
import socket
import threading
from pathlib import Path

import pytest

from tests.e2e.rest.client import JSON, Answer, Event, Rest
from tests.support.api import Api
from tests.support.concurrency import eventually
from tests.support.daemon import PATIENCE, Daemon, running


def _gauge(rest: Rest, name: str) -> float:
    for line in rest.send("GET", "/metrics").text.splitlines():
        if line.startswith(name):
            return float(line.rpartition(" ")[2])
    raise AssertionError(name)


def test_a_log_is_followed_to_its_end(rest: Rest) -> None:
    rest.start("r", claims=[{"token": "t"}])
    with rest.stream("/v1/runs/r/events:watch") as (response, events):
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        first = [next(events) for _ in range(3)]
        assert [event.id for event in first] == ["1", "2", "3"]
        assert first[2].data["hook_created"]["token"] == "t"
        rest.resume("t", "two\nlines\u2028")
        assert next(events).data["hook_received"]["payload"] == "two\nlines\u2028"
        rest.post("/v1/runs/r:complete", output=1)
        assert next(events).data["run_completed"] == {"output": 1}
        assert list(events) == [Event("end", "", {})]


def test_payloads_are_received_and_go_on_behind_the_last_one(rest: Rest) -> None:
    rest.start("r", claims=[{"hook_id": "h", "token": "t"}])
    path = "/v1/runs/r/hooks/h/payloads"
    for number in (1, 2):
        rest.resume("t", {"n": number}, payload_id=f"p{number}")
    with rest.stream(path) as (_, events):
        first = next(events)
        assert (first.name, first.id, first.data["payload_id"]) == ("payload", "1", "p1")
        assert next(events).data["payload"] == {"n": 2}
        rest.resume("t", {"n": 3})
        assert next(events).data["payload_seq"] == 3
    with rest.stream(path, last_event_id="2") as (_, events):
        assert next(events).id == "3"
        rest.post("/v1/runs/r/hooks/h:dispose")
        assert list(events) == [
            Event("closed", "", {"status": "disposed", "run_status": "running"})
        ]
    with rest.stream(path, after_payload_seq=1) as (_, events):
        assert [event.id for event in events] == ["2", "3", ""]
    # The header is what came last, and the query what was asked first.
    with rest.stream(path, last_event_id="2", after_payload_seq=0) as (_, events):
        assert [event.id for event in events] == ["3", ""]


def test_a_payload_with_line_ends_is_one_event(rest: Rest, api: Api) -> None:
    rest.start("r", claims=[{"hook_id": "h", "token": "t"}])
    api.resume("t", '{\r\n "a":\n 1\r}')
    with rest.stream("/v1/runs/r/hooks/h/payloads") as (_, events):
        assert next(events).data["payload"] == {"a": 1}


def test_a_payload_carries_the_trace_of_its_sender(rest: Rest) -> None:
    rest.start("r", claims=[{"hook_id": "h", "token": "t"}])
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = JSON | {"traceparent": trace}
    assert rest.send("POST", rest.url("/v1/hooks/t:resume"), b"{}", headers).status == 200
    with rest.stream("/v1/runs/r/hooks/h/payloads") as (_, events):
        assert next(events).data["traceparent"] == trace


def test_a_stream_is_open_before_anything_comes(rest: Rest) -> None:
    rest.start("r", claims=[{"hook_id": "h", "token": "t"}])
    with rest.stream("/v1/runs/r/hooks/h/payloads") as (response, events):
        assert response.status == 200  # and nothing was sent yet
        rest.resume("t", 1)
        assert next(events).id == "1"


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/v1/runs/nobody/events:watch", 404, "RUN_NOT_FOUND"),
        ("/v1/runs/r/hooks/nobody/payloads", 404, "HOOK_NOT_FOUND"),
        ("/v1/runs/r/events:watch?after_seq=x", 400, "INVALID_ARGUMENT"),
        ("/v1/runs/r/events:watch?project=%20", 400, "INVALID_ARGUMENT"),
    ],
)
def test_a_stream_that_is_refused_is_an_answer(
    path: str, status: int, reason: str, rest: Rest
) -> None:
    rest.start("r")
    path, _, query = path.partition("?")
    answer = rest.get(path) if not query else rest.send("GET", f"{path}?{query}")
    assert (answer.status, answer.error["reason"]) == (status, reason)


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", str(2**64), "٣"])
def test_a_last_event_is_a_number(bad: str, rest: Rest) -> None:
    rest.start("r")
    headers = {"last-event-id": bad.encode().decode("latin-1")}
    answer = rest.send("GET", rest.url("/v1/runs/r/events:watch"), headers=headers)
    assert answer.refused_field == "last-event-id"


def test_streams_and_waits_of_clients_that_went_are_ended(daemon: Daemon) -> None:
    rest = Rest(daemon.http)
    rest.start("r", claims=[{"hook_id": "h", "token": "t"}])
    body = b'{"wait": "5m"}'
    requests = [
        b"GET /v1/runs/r/events:watch HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /v1/runs/r/hooks/h/payloads HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /v1/hooks/later?wait=5m HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST /v1/runs/r:await HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body),
    ]
    address = daemon.http.rsplit(":", 1)
    sockets = [socket.create_connection(address, PATIENCE) for _ in requests]
    for connection, request in zip(sockets, requests, strict=True):
        connection.sendall(request)
    eventually(lambda: _gauge(rest, "hookd_streams_open") == len(requests))
    for connection in sockets:
        connection.close()
    eventually(lambda: _gauge(rest, "hookd_streams_open") == 0)
    assert _gauge(rest, "hookd_calls_in_flight") == 0
    assert '"level": "error"' not in daemon.log


def test_a_draining_daemon_ends_streams_and_answers_waits(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        rest = Rest(daemon.http)
        rest.start("r")
        waited: list[int] = []
        waiter = threading.Thread(
            target=lambda: waited.append(rest.post("/v1/runs/r:await", wait="5m").status)
        )
        with rest.stream("/v1/runs/r/events:watch") as (_, events):
            assert [next(events).id for _ in range(2)] == ["1", "2"]
            waiter.start()
            eventually(lambda: _gauge(rest, "hookd_streams_open") == 2)
            assert daemon.terminate() == 0
            (last,) = events
            assert last.name == "failed"
            assert last.data["error"]["reason"] == "STORE_UNAVAILABLE"
        waiter.join(PATIENCE)
        assert waited == [503]
        assert '"level": "error"' not in daemon.log


def test_a_webhook_is_served_by_a_program_without_grpc(rest: Rest) -> None:
    rest.start("r")
    hook = rest.post(
        "/v1/runs/r/hooks", hook_id="h", token="orders", webhook={"manual": {"within": "30s"}}
    ).json["hook"]
    assert hook["webhook"] == {"manual": {"within": "30s"}}
    path = hook["url"].removeprefix(f"http://{rest.address}")
    told: list[Answer] = []
    sender = threading.Thread(
        target=lambda: told.append(rest.send("POST", f"{path}/more?x=1", b"hello"))
    )
    sender.start()
    with rest.stream("/v1/runs/r/hooks/h/payloads") as (_, events):
        received = next(events).data
    kind = "application/vnd.hookd.webhook-request+json"
    assert received["payload_content_type"] == kind
    request = received["payload"]
    assert (request["method"], request["path"], request["query"]) == ("POST", "/more", "x=1")
    assert base64.b64decode(request["body"]) == b"hello"
    answer = {
        "status": 201,
        "headers": [{"name": "x-order", "value": "42"}],
        "body": base64.b64encode(b"thanks").decode(),
    }
    respond = "/v1/runs/r/hooks/h/payloads/1:respond"
    assert rest.post(respond, **answer).json == {"already_answered": False}
    assert rest.post(respond, **answer).json == {"already_answered": True}
    assert rest.post(respond, status=500).error["reason"] == "ID_REUSED"
    sender.join(PATIENCE)
    assert (told[0].status, told[0].headers["x-order"], told[0].text) == (201, "42", "thanks")
