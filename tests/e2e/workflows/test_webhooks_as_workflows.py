"""Webhooks written as workflows: requests come by HTTP, and are answered by the run."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import subprocess
from http.client import HTTPException
from pathlib import Path
from typing import Any

import hookd
import pytest
from hookd import Client, HookStatus, WebhookSpec

from tests.e2e.webhooks.sender import Reply, as_json, send
from tests.e2e.workflows.conftest import StartWorker
from tests.e2e.workflows.programs import webhooks
from tests.e2e.workflows.programs.marks import marks, open_gate
from tests.e2e.workflows.watching import eventually, log_of, result, seen, types_of
from tests.support.api import unique
from tests.support.daemon import HOOKD, Daemon, running


async def url_of(client: Client, token: str) -> str:
    """Waits for a webhook, and gives its URL."""
    return (await client.get_hook_by_token(token, wait=30)).url


async def post(url: str, body: bytes = b"{}", **more: Any) -> Reply:
    """Sends a request, and waits for its answer."""
    return await asyncio.to_thread(send, url, body, **more)


@pytest.mark.parametrize("token", ["plain", "a/b c", "50%?#", "ü🪝", "...", None])
async def test_webhook_url_in_the_code_is_the_one_that_is_served(
    client: Client, shared_daemon: Daemon, token: str | None
) -> None:
    if token is not None:
        token += unique("-")
    run = await client.start(webhooks.show_url, token)
    url = await result(run)
    assert url.startswith(f"http://{shared_daemon.http}/webhooks/{client.project}/")
    (info,) = [hook async for hook in run.hooks()]
    assert (info.url, info.status) == (url, HookStatus.CLOSED)


async def test_webhook_takes_three_requests_in_order(client: Client) -> None:
    token = unique("order:42/paid")
    run = await client.start(webhooks.take_requests, token, 3, {"who": "ann"})
    hook = await client.get_hook_by_token(token, wait=30)
    assert isinstance(hook, hookd.Webhook)
    assert (hook.run, hook.metadata) == (run, {"who": "ann"})
    replies = [
        await post(hook.url, b'{"n": 1}', headers={"Content-Type": "application/json"}),
        await post(hook.url, b"\x00\xff", path="/more%20of/it?a=1&a=%C3%BC&b=", method="PUT"),
        await post(hook.url, b"", method="GET", headers={"x-tag": "t"}),
    ]
    assert [(reply.status, reply.body) for reply in replies] == [(202, b"")] * 3
    usual: dict[str, Any] = {
        "path": "", "params": [], "kind": "", "tags": [], "body": "", "from": "127.0.0.1",
    }  # fmt: skip
    assert await result(run) == [
        usual | {"method": "POST", "kind": "application/json", "body": b'{"n": 1}'.hex()},
        usual
        | {
            "method": "PUT",
            "path": "/more%20of/it",
            "params": [["a", "1"], ["a", "ü"], ["b", ""]],
            "body": "00ff",
        },
        usual | {"method": "GET", "tags": ["t"]},
    ]
    assert (await post(hook.url)).status == 404


async def test_webhook_conflict_tells_the_owner_which_gets_what_is_delegated(
    client: Client, token: str
) -> None:
    """Two deliveries of one order: the second run hands over, and has the same result."""
    first = await client.start(webhooks.payment_by_url, token)
    await url_of(client, token)
    second = await client.start(webhooks.payment_by_url, token)
    paid = {"payment": {"delegated": True}}
    assert await result(first) == paid
    assert await result(second) == {"delegated_to": first.run_id, "result": paid}
    assert (await types_of(second)).count("hook_conflict") == 1


async def test_webhook_answers_what_was_said_at_creation(client: Client, token: str) -> None:
    run = await client.start(webhooks.payment_by_url, token)
    reply = await post(await url_of(client, token), as_json({"amount": 42}))
    assert (reply.status, reply.body, reply.headers["x-by"]) == (200, b"noted", "hookd")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert await result(run) == {"payment": {"amount": 42}}


async def test_webhook_answers_what_the_run_says_to_each_request(
    client: Client, token: str
) -> None:
    run = await client.start(webhooks.answer_each, token, 3)
    url = await url_of(client, token)
    for number, word in enumerate(("one", "two", "three")):
        reply = await post(url, word.encode())
        assert (reply.status, reply.headers["x-number"]) == (201, str(number))
        assert reply.body == as_json({"said": word.upper()}).replace(b" ", b"")
    assert await result(run) == [True] * 3
    answers = [event for event in await log_of(run) if event.type == "webhook_responded"]
    assert [event.data["payload_seq"] for event in answers] == [1, 2, 3]
    assert all(event.turn for event in answers)
    assert answers[0].data["response"]["headers"] == [
        {"name": "x-number", "value": "0"},
        {"name": "content-type", "value": "application/json"},
    ]


async def test_webhook_answers_many_at_once_each_with_its_own(client: Client, token: str) -> None:
    count = 12
    run = await client.start(webhooks.answer_each, token, count)
    url = await url_of(client, token)
    words = [f"word-{number}" for number in range(count)]
    replies = await asyncio.gather(*(post(url, word.encode()) for word in words))
    assert [reply.body for reply in replies] == [
        b'{"said":"%s"}' % word.upper().encode() for word in words
    ]
    assert await result(run) == [True] * count


async def test_webhook_answered_twice_answers_once(client: Client, token: str) -> None:
    run = await client.start(webhooks.answer_twice, token)
    assert (await post(await url_of(client, token))).body == b"once"
    assert (await result(run)).startswith("WorkflowRuleError: Request 1 of hook-1 was answered")


async def test_webhook_answered_after_its_dispose_at_the_end_of_the_run(
    client: Client, token: str
) -> None:
    run = await client.start(webhooks.answer_at_last, token)
    reply = await post(await url_of(client, token), b"question")
    assert (reply.status, reply.body) == (200, b"at last")
    assert await result(run) == "question"
    assert (await types_of(run))[-3:] == ["hook_disposed", "webhook_responded", "run_completed"]


async def test_webhook_of_a_run_that_ends_without_an_answer(client: Client, token: str) -> None:
    end = unique("end")
    run = await client.start(webhooks.never_answer, token, end)
    url = await url_of(client, token)
    waiting = asyncio.create_task(post(url))
    await seen(run, "hook_received")
    await client.resume_hook(end, wait=30)
    reply = await waiting
    assert (reply.status, reply.body) == (504, b"")
    await result(run)


async def test_webhook_that_the_start_claimed_has_its_requests_from_before(
    client: Client, token: str
) -> None:
    run = await client.start(
        webhooks.answer_each, token, 1, claims=[WebhookSpec(token, respond_with="manual")]
    )
    assert run.started is not None
    (hook,) = run.started.hooks
    # It can be sent to at once: no wait, whether or not a worker has begun.
    assert (await post(hook.url, b"early")).body == b'{"said":"EARLY"}'
    assert await result(run) == [True]
    assert "hook_created" not in [event.type for event in await log_of(run) if event.turn]


async def test_webhook_verified_takes_only_what_is_signed(
    client: Client, token: str, shared_daemon: Daemon
) -> None:
    secret = unique("github")
    command = [HOOKD, "secrets", "set", secret, f"--project={client.project}"]
    command += [f"--data-dir={shared_daemon.data_dir}"]
    run_it = functools.partial(subprocess.run, command, input=b"s3cret\n", check=True)
    await asyncio.to_thread(run_it, stderr=subprocess.DEVNULL)
    run = await client.start(webhooks.take_signed, token, secret)
    url = await url_of(client, token)
    body = as_json({"zen": "Keep it simple"})
    about = {"X-GitHub-Event": "ping", "X-GitHub-Delivery": unique("d")}
    assert (await post(url, body, headers=about)).status == 401
    assert "hook_received" not in await types_of(run)
    signature = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    reply = await post(url, body, headers=about | {"X-Hub-Signature-256": f"sha256={signature}"})
    assert reply.status == 202
    assert await result(run) == "ping"
    assert "s3cret" not in shared_daemon.log


async def test_webhook_of_a_run_that_is_driven_from_outside(
    shared_daemon: Daemon, project: str, token: str
) -> None:
    async with (
        hookd.connect(shared_daemon.address, project=project) as client,
        client.open_run("outside") as run,
    ):
        webhook = await run.create_webhook(token, respond_with="manual")
        async with client.open_run("late") as late:
            with pytest.raises(hookd.HookConflictError) as conflict:
                await late.create_webhook(token)
            assert conflict.value.conflicting_run_id == run.run_id
        waiting = asyncio.create_task(post(webhook.url, b"a", path="/x?y=z"))
        request = await webhook
        assert (request.method, request.path, request.query) == ("POST", "/x", "y=z")
        assert await request.respond(418, {"X-A": "b"}, "short and stout") is True
        reply = await waiting
        assert (reply.status, reply.headers["x-a"]) == (418, "b")
        assert reply.body == b"short and stout"
        assert await request.respond(418, {"X-A": "b"}, "short and stout") is False
        with pytest.raises(hookd.IdReusedError):
            await request.respond(200)
        plain = await run.create_webhook()
        assert (await post(plain.url, b"b")).status == 202
        with pytest.raises(hookd.InvalidArgumentError, match="manual"):
            (await plain).respond()
        await plain.dispose()
        assert (await post(plain.url)).status == 404


async def test_webhook_whose_worker_is_killed_between_request_and_answer(
    shared_daemon: Daemon, start_worker: StartWorker, project: str, token: str, tmp_path: Path
) -> None:
    first = start_worker(shared_daemon, project, "workers:victim")
    file, gate = tmp_path / "marks", tmp_path / "gate"
    async with hookd.connect(shared_daemon.address, project=project) as client:
        run = await client.start(webhooks.answer_each, token, 1, str(file), str(gate))
        url = await url_of(client, token)
        waiting = asyncio.create_task(post(url, b"late"))
        await eventually(lambda: marks(file))
        first.kill()
        second = start_worker(shared_daemon, project, "workers:victim")
        open_gate(gate)
        reply = await waiting
        assert (reply.status, reply.body) == (201, b'{"said":"LATE"}')
        assert await result(run) == [True]
        second.kill()


async def test_webhook_whose_daemon_is_killed_between_request_and_answer(
    tmp_path: Path, start_worker: StartWorker, token: str
) -> None:
    """The sender comes again with its key: one payload, and the answer of the run."""
    with running(tmp_path) as daemon:
        start_worker(daemon, "default", "workers:cold")
        file, gate = tmp_path / "marks", tmp_path / "gate"
        async with hookd.connect(daemon.address, project="default") as client:
            run = await client.start(webhooks.answer_each, token, 1, str(file), str(gate))
            url = await url_of(client, token)
            key = {"Idempotency-Key": unique("delivery")}
            waiting = asyncio.create_task(post(url, b"twice", headers=key))
            await eventually(lambda: marks(file))
            daemon.listen_http = daemon.http  # The URL is that of before.
            daemon.restart()
            with pytest.raises((OSError, HTTPException)):
                await waiting
            assert await url_of(client, token) == url
            again = asyncio.create_task(post(url, b"twice", headers=key))
            open_gate(gate)
            reply = await again
            assert (reply.status, reply.body) == (201, b'{"said":"TWICE"}')
            assert await result(run) == [True]
            assert (await types_of(run)).count("hook_received") == 1
            # Also the answer is the first one, as long as the run is retained.
            late = await post(url, b"twice", headers=key)
            assert (late.status, late.body) == (201, b'{"said":"TWICE"}')


async def test_webhook_of_a_daemon_without_http_is_told(
    tmp_path: Path, start_worker: StartWorker, token: str
) -> None:
    daemon = Daemon(tmp_path)
    daemon.listen_http = ""
    with daemon:
        start_worker(daemon, "default", "workers:warm")
        async with hookd.connect(daemon.address, project="default") as client:
            with pytest.raises(hookd.RunFailedError, match="served no HTTP") as failed:
                await result(await client.start(webhooks.take_requests, token, 1))
            assert failed.value.type == "WorkflowRuleError"
            async with client.open_run("outside") as run:
                with pytest.raises(hookd.HookdError, match="serves no HTTP"):
                    await run.create_webhook(token)
                await run.create_hook(token)
