"""Requests become payloads, and what their senders are answered."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote

import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.webhook_pb2 import HttpHeader, HttpResponse, ManualAnswer, Webhook

from tests.e2e.webhooks.sender import (
    MEDIA_TYPE,
    connect,
    count,
    drained,
    raw,
    requests,
    send,
    webhook,
)
from tests.support.api import Api, seconds
from tests.support.daemon import Daemon

MIB = 1 << 20
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_becomes_a_payload(shared_daemon: Daemon, api: Api) -> None:
    hook = webhook(api, "t")
    body = bytes(range(256))
    reply = send(
        hook.url,
        body,
        method="PUT",
        path="/a%2Fb/%ff?x=1&y=%20",
        headers={"X-Twice": "1", "Content-Type": "image/png", "traceparent": TRACEPARENT},
    )
    assert (reply.status, reply.body) == (202, b"")
    (event,) = [e for e in api.log(hook.run_id) if e.HasField("hook_received")]
    payload = event.hook_received.payload
    assert payload.content_type == MEDIA_TYPE
    assert event.hook_received.traceparent == TRACEPARENT
    said = json.loads(payload.data)
    assert said["method"] == "PUT"
    assert (said["path"], said["query"]) == ("/a%2Fb/%ff", "x=1&y=%20")
    assert base64.b64decode(said["body"]) == body
    assert {"name": "content-type", "value": "image/png"} in said["headers"]
    assert said["remote_address"] == "127.0.0.1"
    (request,) = requests(api, hook, 1)
    assert (request.method, request.body) == ("PUT", body)


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "TRACE"]
)
def test_any_method(api: Api, method: str) -> None:
    hook = webhook(api)
    assert send(hook.url, b"", method=method).status == 202
    assert [request.method for request in requests(api, hook, 1)] == [method]


def test_headers_are_kept_in_order_and_as_they_were(shared_daemon: Daemon, api: Api) -> None:
    hook = webhook(api, "t")
    head = (
        f"POST /webhooks/{api.project}/t HTTP/1.1\r\nHost: x\r\nX-B: 1\r\nX-A:  \xe9 \xff \r\n"
        "x-b: 2\r\nCookie: session=1\r\nProxy-Authorization: Basic eA==\r\n"
        "Authorization: Basic eA==\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    )
    assert raw(shared_daemon, head.encode("latin-1")).startswith(b"HTTP/1.1 202 ")
    (request,) = requests(api, hook, 1)
    assert [(header.name, header.value) for header in request.headers] == [
        ("host", "x"),
        ("x-b", "1"),
        ("x-a", "\xe9 \xff"),
        ("x-b", "2"),
        ("authorization", "Basic eA=="),
        ("content-length", "2"),
        ("connection", "close"),
    ]
    assert request.body == b"hi"


def test_a_body_in_chunks(api: Api) -> None:
    hook = webhook(api)
    assert send(hook.url, iter([b"a" * 70_000, b"b"])).status == 202
    assert requests(api, hook, 1)[0].body == b"a" * 70_000 + b"b"


def test_any_number_of_requests_in_their_order(api: Api) -> None:
    hook = webhook(api)
    for number in range(20):
        assert send(hook.url, str(number).encode()).status == 202
    assert [request.body for request in requests(api, hook, 20)] == [
        str(number).encode() for number in range(20)
    ]


TOKENS = [
    "a/b//c/",
    "/",
    "?x=1#y",
    "50%",
    "%2f",
    "nul\0nul",
    "line\r\nline",
    "🎣 of päyments",
    "<script>alert(1)</script>",
    "+ &;=",
    "..a",
    "../../metrics",
    "x" * 512,
    "€" * 170,
]


@pytest.mark.parametrize("token", TOKENS)
def test_any_token_has_a_url(api: Api, token: str) -> None:
    hook = webhook(api, token)
    assert hook.url.endswith("/" + quote(token, safe=""))
    assert send(hook.url, b"hi", path="/more?q").status == 202
    (request,) = requests(api, hook, 1)
    assert (request.path, request.query, request.body) == ("/more", "q", b"hi")


def test_tokens_that_look_alike_are_apart(api: Api) -> None:
    run_id = api.start().run.run_id
    hooks = [
        webhook(api, token, run_id=run_id) for token in ("a", "a/", "a%2F", "A", "é", "e\u0301")
    ]
    for number, hook in enumerate(hooks):
        assert send(hook.url, str(number).encode()).status == 202
    for number, hook in enumerate(hooks):
        assert [request.body for request in requests(api, hook, 1)] == [str(number).encode()]
        assert count(api, hook) == 1


def test_what_no_request_reaches_looks_the_same(shared_daemon: Daemon, api: Api) -> None:
    """Byte by byte, with or without a body, whatever the reason."""
    ended, disposed, expired, run = (api.start().run.run_id for _ in range(4))
    webhook(api, "ended", run_id=ended)
    api.complete(ended)
    held = api.start(
        claims=[HookSpec(token="held", webhook=Webhook(), hold_after=seconds(3600))]
    ).run.run_id
    api.fail(held)
    api.dispose(disposed, webhook(api, "disposed", run_id=disposed).hook_id)
    api.claim(expired, "expired", webhook=Webhook(), ttl=seconds(0.001))
    api.claim(run, "plain")
    other = Api(api.channel, f"{api.project}-other")
    webhook(other, "elsewhere")
    tokens = ["ended", "held", "disposed", "expired", "plain", "elsewhere", "unknown", ""]
    tokens += ["%ff", "%zz", "%", ".", "..", "%2e%2e", "%ed%a0%80", "%c0%af", "x" * 513]
    paths = [f"{api.project}/{token}" for token in tokens]
    paths += ["", api.project, "-bad/plain", "no%20project/plain", "/plain", "%ff/plain"]
    answers = set()
    for path in paths:
        for method, headers in (
            ("GET", ""),
            ("POST", "content-length: 2\r\n"),
            ("POST", "content-length: 999999999\r\n"),
            ("POST", "content-length: 2\r\nidempotency-key: k\r\n"),
            ("POST", "content-length: 2\r\nstripe-signature: t=1,v1=2\r\n"),
            ("POST", "content-length: 2\r\nx-github-delivery: 1\r\nx-hub-signature-256: x\r\n"),
        ):
            head = f"{method} /webhooks/{path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n"
            with connect(shared_daemon) as link:
                link.sendall(head.encode() + (b"{}" if "length" in headers else b""))
                answers.add(re.split(rb"(?<=\r\n\r\n)", link.recv(65536))[0])
    assert len(answers) == 1
    (answer,) = answers
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"content-length: 0\r\n" in answer.lower()


def test_no_tunnel_is_opened(shared_daemon: Daemon, api: Api) -> None:
    hook = webhook(api, "t")
    head = f"CONNECT /webhooks/{api.project}/t HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert raw(shared_daemon, head.encode()).startswith(b"HTTP/1.1 404 ")
    assert count(api, hook) == 0


def test_projects_are_apart(api: Api) -> None:
    other = Api(api.channel, f"{api.project}.other")
    here, there = webhook(api, "same"), webhook(other, "same")
    assert send(there.url).status == 202
    assert (count(api, here), count(other, there)) == (0, 1)


def test_a_static_answer(api: Api) -> None:
    response = HttpResponse(
        status=201,
        headers=[
            HttpHeader(name="X-Seen", value="é"),
            HttpHeader(name="Content-Type", value="a/b"),
        ],
        body=b"\0ok",
    )
    hook = webhook(api, how=Webhook(response=response))
    for _ in range(2):
        reply = send(hook.url)
        assert (reply.status, reply.body) == (201, b"\0ok")
        assert (reply.headers["x-seen"], reply.headers["content-type"]) == ("é", "a/b")
    assert count(api, hook) == 2
    assert send(hook.url, method="HEAD").body == b""


@pytest.mark.parametrize("status", [204, 205, 304, 404, 599])
def test_static_answers_of_any_status(api: Api, status: int) -> None:
    hook = webhook(api, how=Webhook(response=HttpResponse(status=status)))
    assert send(hook.url).status == status
    assert count(api, hook) == 1


def test_a_status_that_is_not_given_is_200(api: Api) -> None:
    assert send(webhook(api, how=Webhook(response=HttpResponse(body=b"x"))).url).status == 200


def test_what_a_run_answers_can_do_nothing_in_a_browser(api: Api) -> None:
    page = HttpResponse(
        headers=[
            HttpHeader(name="content-type", value="text/html"),
            HttpHeader(name="content-security-policy", value="script-src *"),
        ],
        body=b"<script>fetch('/')</script>",
    )
    reply = send(webhook(api, how=Webhook(response=page)).url)
    assert "sandbox" in reply.headers["content-security-policy"]
    assert "allow-scripts" not in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_bodies_up_to_the_limit(api: Api) -> None:
    hook = webhook(api)
    assert send(hook.url, bytes(MIB)).status == 202
    for body in (bytes(MIB + 1), iter([bytes(MIB), b"x"])):
        reply = send(hook.url, body)
        assert (reply.status, b"1048576" in reply.body) == (413, True)
    assert count(api, hook) == 1


def test_a_body_that_is_too_large_is_refused_unread(shared_daemon: Daemon, api: Api) -> None:
    webhook(api, "t")
    head = (
        f"POST /webhooks/{api.project}/t HTTP/1.1\r\nhost: x\r\ncontent-length: 1048577\r\n"
        "expect: 100-continue\r\nconnection: close\r\n\r\n"
    )
    assert raw(shared_daemon, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_sender_that_goes_before_its_end_delivers_nothing(
    shared_daemon: Daemon, api: Api
) -> None:
    hook = webhook(api, "t")
    head = f"POST /webhooks/{api.project}/t HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf"
    with connect(shared_daemon) as link:
        link.sendall(head.encode())
    assert send(hook.url, b"whole").status == 202
    assert [request.body for request in requests(api, hook, 1)] == [b"whole"]
    assert count(api, hook) == 1


def test_requests_on_one_connection(shared_daemon: Daemon, api: Api) -> None:
    hook = webhook(api, "t")
    head = f"POST /webhooks/{api.project}/t HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n"
    texts = [f"{head}\r\n{number}" for number in range(3)]
    texts.append(f"{head}connection: close\r\n\r\n3")
    with connect(shared_daemon) as link:
        link.sendall("".join(texts).encode())
        assert drained(link).count(b"HTTP/1.1 202 ") == 4
    assert [request.body for request in requests(api, hook, 4)] == [b"0", b"1", b"2", b"3"]


def test_a_payload_that_did_not_come_by_http_is_no_request(api: Api) -> None:
    """The hook takes both; its owner tells them apart by the media type."""
    hook = webhook(api, "t", Webhook(manual=ManualAnswer()))
    api.resume("t", "1")
    assert api.payloads(hook.run_id, hook.hook_id, 1) == ["1"]
