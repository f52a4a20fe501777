"""Requests that the run answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hookd.v1.common_pb2 import Hook
from hookd.v1.webhook_pb2 import HttpHeader, HttpResponse, ManualAnswer, Webhook

from tests.e2e.webhooks.sender import Reply, connect, count, requests, send, webhook
from tests.e2e.webhooks.test_webhook_api import respond
from tests.support.api import Api, seconds
from tests.support.concurrency import at_once, eventually
from tests.support.daemon import Daemon, running

KEY = {"Idempotency-Key": "k"}


def manual(api: Api, within: float = 60, token: str | None = None) -> Hook:
    how = Webhook(manual=ManualAnswer(within=seconds(within)))
    return webhook(api, token, how)


@contextmanager
def waiting(api: Api, hook: Hook, *headers: dict[str, str]) -> Iterator[list[Future[Reply]]]:
    """Senders that wait for what the run answers; their payloads are there."""
    with ThreadPoolExecutor(max(len(headers), 1)) as pool:
        futures = [pool.submit(send, hook.url, headers=each) for each in (headers or ({},))]
        requests(api, hook, 1)
        yield futures


def test_the_sender_is_answered_by_the_run(api: Api) -> None:
    hook = manual(api)
    with waiting(api, hook) as (reply,):
        assert not reply.done()
        headers = [
            HttpHeader(name="Location", value="/x"),
            HttpHeader(name="X-E", value="é"),
        ]
        respond(api, hook.run_id, hook.hook_id, status=303, headers=headers, body=b"\0go")
        answer = reply.result()
    assert (answer.status, answer.body) == (303, b"\0go")
    assert (answer.headers["location"], answer.headers["x-e"]) == ("/x", "é")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_each_sender_gets_his_own_answer(api: Api) -> None:
    hook = manual(api)
    with ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(send, hook.url, str(number).encode()) for number in range(8)]
        for seq, request in enumerate(requests(api, hook, 8), 1):
            respond(api, hook.run_id, hook.hook_id, seq, body=b"to " + request.body)
        bodies = [reply.result().body for reply in replies]
    assert bodies == [f"to {number}".encode() for number in range(8)]


def test_a_run_that_does_not_answer_in_time(api: Api) -> None:
    hook = manual(api, within=0.1)
    reply = send(hook.url)
    assert (reply.status, reply.body) == (504, b"")
    assert count(api, hook) == 1
    assert not respond(api, hook.run_id, hook.hook_id, status=200)


@pytest.mark.parametrize("how", ["complete", "fail", "cancel"])
def test_a_run_that_ends_without_an_answer(api: Api, how: str) -> None:
    hook = manual(api)
    with waiting(api, hook) as (reply,):
        getattr(api, how)(hook.run_id)
        assert reply.result().status == 504
    assert count(api, hook) == 1


def test_an_answer_and_the_end_at_once(api: Api) -> None:
    hook = manual(api)
    with waiting(api, hook) as (reply,):
        respond(api, hook.run_id, hook.hook_id, status=299)
        api.complete(hook.run_id)
        assert reply.result().status == 299


def test_a_hook_that_is_disposed_can_still_answer(api: Api) -> None:
    hook = manual(api)
    with waiting(api, hook) as (reply,):
        api.dispose(hook.run_id, hook.hook_id)
        assert send(hook.url).status == 404
        respond(api, hook.run_id, hook.hook_id, status=299)
        assert reply.result().status == 299


def test_retries_wait_for_the_same_answer(api: Api) -> None:
    """While the first one waits, after it has its answer, and after the run's end."""
    hook = manual(api)
    with waiting(api, hook, KEY, KEY, KEY) as replies:
        respond(api, hook.run_id, hook.hook_id, status=201, body=b"once")
        assert {(reply.result().status, reply.result().body) for reply in replies} == {
            (201, b"once")
        }
    assert send(hook.url, headers=KEY).body == b"once"
    api.complete(hook.run_id)
    assert send(hook.url, headers=KEY).body == b"once"
    assert count(api, hook) == 1


def test_a_retry_after_the_time_was_up(api: Api) -> None:
    hook = manual(api, within=0.1)
    assert send(hook.url, headers=KEY).status == 504
    respond(api, hook.run_id, hook.hook_id, status=201, body=b"late")
    assert send(hook.url, headers=KEY).body == b"late"
    assert count(api, hook) == 1


def test_a_retry_of_what_a_run_has_left_unanswered(api: Api) -> None:
    hook = manual(api)
    with waiting(api, hook, KEY) as (reply,):
        api.complete(hook.run_id)
        assert reply.result().status == 504
    assert send(hook.url, headers=KEY).status == 504


def test_a_sender_that_goes_leaves_his_payload(shared_daemon: Daemon, api: Api) -> None:
    hook = manual(api, token="t")
    head = f"POST /webhooks/{api.project}/t HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"
    with connect(shared_daemon) as link:
        link.sendall(head.encode())
        requests(api, hook, 1)
    assert not respond(api, hook.run_id, hook.hook_id)
    assert count(api, hook) == 1


def test_a_killed_daemon_answers_the_retry(daemon: Daemon) -> None:
    api = Api(daemon.channel())
    hook = manual(api, token="t")
    failed: list[BaseException] = []

    def first() -> None:
        try:
            send(hook.url, headers=KEY)
        except OSError as error:
            failed.append(error)

    sender = threading.Thread(target=first)
    sender.start()
    requests(api, hook, 1)
    daemon.kill()
    sender.join()
    assert failed
    daemon.start()
    assert not respond(api, hook.run_id, hook.hook_id, status=201, body=b"after")
    daemon.restart()
    reply = send(api.hook("t").url, headers=KEY)
    assert (reply.status, reply.body) == (201, b"after")
    assert count(api, hook) == 1


def test_a_daemon_that_goes_down_does_not_wait_for_the_run(daemon: Daemon) -> None:
    api = Api(daemon.channel())
    hook = manual(api)
    with waiting(api, hook) as (reply,):
        assert daemon.terminate() == 0
        answer = reply.result()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_waits_are_limited_before_anything_is_written(tmp_path: Any) -> None:
    with running(tmp_path, "--max-streams=2") as daemon:
        api = Api(daemon.channel())
        hook = manual(api)
        with ThreadPoolExecutor(2) as pool:
            replies = [pool.submit(send, hook.url) for _ in range(2)]
            eventually(lambda: count(api, hook) == 2)
            refused = send(hook.url)
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert count(api, hook) == 2
            for seq in (1, 2):
                respond(api, hook.run_id, hook.hook_id, seq)
            assert [reply.result().status for reply in replies] == [200, 200]


def test_retries_at_once_are_one_payload(api: Api) -> None:
    hook = webhook(api, how=Webhook(response=HttpResponse(body=b"x")))
    replies = at_once(8, lambda _: send(hook.url, headers=KEY))
    assert {reply.body for reply in replies} == {b"x"}
    assert count(api, hook) == 1
