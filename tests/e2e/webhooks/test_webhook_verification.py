"""What is not signed as the hook wants it is refused, and leaves nothing behind."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest
from hookd.v1.common_pb2 import Hook
from hookd.v1.webhook_pb2 import HttpResponse

from tests.e2e.webhooks.sender import (
    Reply,
    as_json,
    connect,
    count,
    payload_ids,
    requests,
    send,
    webhook,
    with_secrets,
)
from tests.e2e.webhooks.signing import SCHEMES, SECRET, Scheme, now
from tests.support.api import Api
from tests.support.daemon import Daemon

BODY = as_json({"id": "evt_1", "event_id": "Ev1"})
OTHER = base64.b64encode(b"24 bytes of another one!").decode()


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


@pytest.fixture
def hook(shared_daemon: Daemon, api: Api, scheme: Scheme) -> Hook:
    """A hook that wants its requests signed, and whose secret is set."""
    with_secrets(shared_daemon, api.project, "its-secret", scheme.secret)
    return webhook(api, how=scheme.webhook())


def refused(reply: Reply) -> bool:
    assert reply.body == b""
    return reply.status == 401


def test_signed_requests_are_taken_and_others_refused(api: Api, scheme: Scheme, hook: Hook) -> None:
    """A wrong secret, no signature, none that is right, another body, two signatures."""
    right = scheme.sign(BODY)
    assert refused(send(hook.url, BODY))
    assert refused(send(hook.url, BODY, headers=scheme.sign(BODY, secret=OTHER)))
    for name, value in right.items():
        for wrong in ("", "x", value[:-3], value + "A", f"{value}, {value}"):
            assert refused(send(hook.url, BODY, headers={**right, name: wrong}))
        without = {other: right[other] for other in right if other != name}
        assert refused(send(hook.url, BODY, headers=without))
    if scheme.signs_body:
        assert refused(send(hook.url, BODY + b" ", headers=right))
        assert refused(send(hook.url, b"", headers=right))
    assert count(api, hook) == 0
    assert [event for event in api.log(hook.run_id) if event.HasField("hook_received")] == []
    assert send(hook.url, BODY, headers=right).status == 202
    assert [request.body for request in requests(api, hook, 1)] == [BODY]


def test_the_same_header_twice_is_refused(
    shared_daemon: Daemon, api: Api, scheme: Scheme, hook: Hook
) -> None:
    lines = [f"{name}: {value}\r\n" for name, value in scheme.sign(BODY).items()]
    target = hook.url.partition(shared_daemon.http)[2]
    for line in lines:
        head = f"POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n"
        with connect(shared_daemon) as link:
            link.sendall((head + "".join([*lines, line]) + "\r\n").encode() + BODY)
            assert link.recv(4096).startswith(b"HTTP/1.1 401 ")
    assert count(api, hook) == 0


@pytest.mark.parametrize("name", [name for name in SCHEMES if SCHEMES[name].timed])
@pytest.mark.parametrize("seconds", [-310, 310], ids=["stale", "ahead"])
def test_a_time_that_is_far_away(shared_daemon: Daemon, api: Api, name: str, seconds: int) -> None:
    scheme = SCHEMES[name]
    with_secrets(shared_daemon, api.project, "its-secret", scheme.secret)
    hook = webhook(api, how=scheme.webhook())
    assert refused(send(hook.url, BODY, headers=scheme.sign(BODY, at=now() + seconds)))
    near = scheme.sign(BODY, at=now() + (seconds - 20 if seconds > 0 else seconds + 20))
    assert send(hook.url, BODY, headers=near).status == 202
    assert count(api, hook) == 1


def test_secrets_are_exchanged_while_both_count(
    shared_daemon: Daemon, api: Api, scheme: Scheme, hook: Hook
) -> None:
    other = OTHER if not scheme.secret.startswith("whsec_") else f"whsec_{OTHER}"
    signed = {"old": scheme.sign(BODY), "new": scheme.sign(BODY, secret=other)}

    def taken() -> dict[str, bool]:
        return {
            which: send(hook.url, BODY, headers=signed[which]).status == 202 for which in signed
        }

    assert taken() == {"old": True, "new": False}
    with_secrets(shared_daemon, api.project, "its-secret", other, scheme.secret)
    assert taken() == {"old": True, "new": True}
    with_secrets(shared_daemon, api.project, "its-secret", other)
    assert taken() == {"old": False, "new": True}


def test_without_its_secret_a_hook_takes_nothing(shared_daemon: Daemon, api: Api) -> None:
    """Also when the secret of that name is another project's; and the log says which."""
    scheme = SCHEMES["github"]
    hook = webhook(api, how=scheme.webhook("github-of-" + api.project))
    with_secrets(shared_daemon, "another", "github-of-" + api.project, SECRET)
    for headers in (scheme.sign(BODY), {}, scheme.sign(BODY, secret="")):
        reply = send(hook.url, BODY, headers=headers)
        assert (reply.status, reply.body) == (503, b"")
    assert count(api, hook) == 0
    lines = [line for line in shared_daemon.log.splitlines() if "github-of-" + api.project in line]
    assert len(lines) == 1
    assert api.project in lines[0]
    with_secrets(shared_daemon, api.project, "github-of-" + api.project, SECRET)
    assert send(hook.url, BODY, headers=scheme.sign(BODY)).status == 202


def test_secrets_are_told_nowhere(
    shared_daemon: Daemon, api: Api, scheme: Scheme, hook: Hook
) -> None:
    """Not in the log, nor in what the API and the payloads say."""
    assert send(hook.url, BODY, headers=scheme.sign(BODY)).status == 202
    send(hook.url, BODY, headers=scheme.sign(BODY, secret=OTHER))
    said = repr(api.hook(hook.token)) + repr(api.log(hook.run_id)) + shared_daemon.log
    said += "".join(api.payloads(hook.run_id, hook.hook_id, 1))
    assert scheme.secret not in said
    assert OTHER not in said
    assert "its-secret" in said


IDS: Mapping[str, tuple[dict[str, str], str]] = {
    "github": ({"X-GitHub-Delivery": "72d3162e-cc78"}, "72d3162e-cc78"),
    "stripe": ({}, "evt_1"),
    "slack": ({}, "Ev1"),
    "standard": ({}, "msg_1"),
}


@pytest.mark.parametrize("name", IDS)
def test_deliveries_are_known_by_the_id_of_their_scheme(
    shared_daemon: Daemon, api: Api, name: str
) -> None:
    """Also signed anew with another body, with another key, and after the run's end."""
    scheme, (headers, known_by) = SCHEMES[name], IDS[name]
    with_secrets(shared_daemon, api.project, "its-secret", scheme.secret)
    hook = webhook(api, how=scheme.webhook(response=HttpResponse(body=b"first")))
    for number, body in enumerate((BODY, BODY, BODY[:-1] + b" }")):
        headers["Idempotency-Key"] = str(number)
        reply = send(hook.url, body, headers={**headers, **scheme.sign(body, at=now() - number)})
        assert (reply.status, reply.body) == (200, b"first")
    assert payload_ids(api, hook, 1) == [known_by]
    assert count(api, hook) == 1
    api.complete(hook.run_id)
    assert send(hook.url, BODY, headers={**headers, **scheme.sign(BODY)}).body == b"first"
    forged = {**headers, **scheme.sign(BODY, secret=OTHER)}
    assert send(hook.url, BODY, headers=forged).status == 404
    assert send(hook.url, BODY, headers=headers).status == 404
    body = as_json({"id": "evt_2", "event_id": "Ev2"})
    more = {"known_by": "msg_2"} if name == "standard" else {}
    headers["X-GitHub-Delivery"] = "another"
    assert send(hook.url, body, headers={**headers, **scheme.sign(body, **more)}).status == 404


def test_a_delivery_without_the_id_of_its_scheme_is_known_by_its_key(
    shared_daemon: Daemon, api: Api
) -> None:
    scheme = SCHEMES["github"]
    with_secrets(shared_daemon, api.project, "its-secret", scheme.secret)
    hook = webhook(api, how=scheme.webhook())
    for _ in range(2):
        headers = {**scheme.sign(BODY), "Idempotency-Key": "k"}
        assert send(hook.url, BODY, headers=headers).status == 202
    assert payload_ids(api, hook, 1) == ["k"]
    long = {**scheme.sign(BODY), "X-GitHub-Delivery": "d" * 257}
    assert send(hook.url, BODY, headers=long).status == 400
    assert count(api, hook) == 1


def test_another_hooks_answer_is_for_who_can_sign_for_it(shared_daemon: Daemon, api: Api) -> None:
    scheme = SCHEMES["bearer"]
    with_secrets(shared_daemon, api.project, "first", "one")
    with_secrets(shared_daemon, api.project, "second", "two")
    key = {"Idempotency-Key": "k"}
    private = HttpResponse(body=b"private")
    first = webhook(api, "t", scheme.webhook("first", response=private))
    assert send(first.url, headers={**key, **scheme.sign(b"", "one")}).body == b"private"
    api.complete(first.run_id)
    second = webhook(api, "t", scheme.webhook("second"))
    assert refused(send(second.url, headers={**key, **scheme.sign(b"", "two")}))
    assert send(second.url, headers=scheme.sign(b"", "two")).status == 202


def test_the_bearer_token_is_not_in_the_payload(shared_daemon: Daemon, api: Api) -> None:
    scheme = SCHEMES["bearer"]
    with_secrets(shared_daemon, api.project, "its-secret", scheme.secret)
    hook = webhook(api, how=scheme.webhook())
    assert send(hook.url, headers={"Authorization": f"bearer {SECRET}"}).status == 202
    names = {header.name for header in requests(api, hook, 1)[0].headers}
    assert "authorization" not in names
    assert refused(send(hook.url, headers={"Authorization": f"Basic {SECRET}"}))
