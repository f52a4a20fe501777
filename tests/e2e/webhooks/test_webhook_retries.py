"""A retried delivery is known by its id: it gets the first answer, and is appended once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.webhook_pb2 import HttpResponse, Webhook

from tests.e2e.webhooks.sender import count, payload_ids, send, webhook
from tests.support.api import Api, refusal
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon, running

KEY = {"Idempotency-Key": "key-1"}


def test_the_key_is_the_payload_id(api: Api) -> None:
    hook = webhook(api)
    for _ in range(3):
        assert send(hook.url, headers=KEY).status == 202
    assert payload_ids(api, hook, 1) == ["key-1"]
    assert count(api, hook) == 1
    assert send(hook.url, headers={"Idempotency-Key": "key-2"}).status == 202
    assert count(api, hook) == 2


def test_without_a_key_each_request_is_another(api: Api) -> None:
    hook = webhook(api)
    for _ in range(3):
        assert send(hook.url).status == 202
    assert len(set(payload_ids(api, hook, 3))) == 3


@pytest.mark.parametrize(
    "other",
    [{"method": "PUT"}, {"path": "/x"}, {"path": "?x"}, {"body": b"{ }"}],
    ids=["method", "path", "query", "body"],
)
def test_the_same_key_with_another_request(api: Api, other: dict[str, object]) -> None:
    hook = webhook(api)
    assert send(hook.url, headers=KEY).status == 202
    reply = send(hook.url, headers=KEY, **other)  # type: ignore[arg-type]
    assert (reply.status, b"id" in reply.body) == (422, True)
    assert count(api, hook) == 1
    assert send(hook.url, headers={**KEY, "X-Other": "1"}).status == 202


@pytest.mark.parametrize("key", ["", "k" * 257, "\xe9" * 129])
def test_a_key_that_can_be_none(api: Api, key: str) -> None:
    hook = webhook(api)
    reply = send(hook.url, headers={"Idempotency-Key": key})
    assert (reply.status, b"256" in reply.body) == (400, True)
    assert count(api, hook) == 0
    assert send(hook.url, headers={"Idempotency-Key": "k" * 256}).status == 202


def test_keys_and_payload_ids_are_the_same_ids(api: Api) -> None:
    hook = webhook(api, "t")
    api.resume("t", "1", "resumed")
    assert send(hook.url, headers={"Idempotency-Key": "resumed"}).status == 422
    assert send(hook.url, headers=KEY).status == 202
    assert refusal(api.resume, "t", "1", "key-1").reason == "ID_REUSED"
    assert api.resume("t", "1", "resumed").duplicate
    assert count(api, hook) == 2


def test_a_retry_after_the_run_has_ended(api: Api) -> None:
    response = HttpResponse(status=201, body=b"first")
    hook = webhook(api, "t", Webhook(response=response))
    assert send(hook.url, headers=KEY).status == 201
    api.complete(hook.run_id)
    reply = send(hook.url, headers=KEY)
    assert (reply.status, reply.body) == (201, b"first")
    assert send(hook.url, b"other", headers=KEY).status == 422
    assert send(hook.url, headers={"Idempotency-Key": "new"}).status == 404
    assert send(hook.url).status == 404
    assert count(api, hook) == 1


def test_a_retry_after_the_token_has_another_owner(api: Api) -> None:
    first = webhook(api, "t", Webhook(response=HttpResponse(body=b"first")))
    assert send(first.url, headers=KEY).body == b"first"
    api.complete(first.run_id)
    second = webhook(api, "t", Webhook(response=HttpResponse(body=b"second")))
    assert send(second.url, headers=KEY).body == b"first"
    assert count(api, second) == 0
    assert send(second.url).body == b"second"


def test_a_plain_hook_that_was_resumed_looks_unknown(api: Api) -> None:
    run_id = api.start(claims=[HookSpec(token="plain")]).run.run_id
    url = webhook(api, "other").url.replace("other", "plain")
    api.resume("plain", "1", "key-1")
    assert send(url, headers=KEY).status == 404
    api.complete(run_id)
    assert send(url, headers=KEY).status == 404


def test_a_retry_after_the_daemon_was_killed(daemon: Daemon) -> None:
    api = Api(daemon.channel())
    hook = webhook(api, "t", Webhook(response=HttpResponse(body=b"first")))
    assert send(hook.url, headers=KEY).body == b"first"
    daemon.restart()
    url = api.hook("t").url
    assert send(url, headers=KEY).body == b"first"
    assert count(api, hook) == 1
    api.complete(hook.run_id)
    daemon.restart()
    url = f"http://{daemon.http}/webhooks/default/t"
    assert send(url, headers=KEY).body == b"first"


def test_each_delivery_is_one_payload_however_often_the_daemon_is_killed(daemon: Daemon) -> None:
    """Senders try again until they are answered, as services do."""
    total, kills = 60, 3
    api = Api(daemon.channel())
    hook = webhook(api, "t")
    answered: list[str] = []

    def deliver(key: str) -> None:
        while True:
            url = f"http://{daemon.http}/webhooks/default/t"
            try:
                status = send(url, key.encode(), headers={"Idempotency-Key": key}).status
            except (OSError, HTTPException):
                continue
            if status == 202:
                answered.append(key)
                return
            assert status == 503

    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(deliver, str(number)) for number in range(total)]
        for kill in range(1, kills + 1):
            eventually(lambda at=kill * total // (kills + 1): len(answered) >= at)
            daemon.restart()
        for each in sending:
            each.result()
    assert count(api, hook) == total
    assert sorted(payload_ids(api, hook, total)) == sorted(map(str, range(total)))


def test_a_retry_after_the_run_was_removed(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("dropped"), "--retention=drop") as daemon:
        api = Api(daemon.channel())
        hook = webhook(api, "t")
        assert send(hook.url, headers=KEY).status == 202
        api.complete(hook.run_id)
        removed = False
        while not removed:
            status = send(hook.url, headers=KEY).status
            assert status in (202, 404)
            removed = status == 404
        again = webhook(api, "t")
        assert send(again.url, b"other", headers=KEY).status == 202
        assert count(api, again) == 1
