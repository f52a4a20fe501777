"""Quotas, proxies and restarts, as those who send requests meet them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hookd.v1.hook_service_pb2 import CreateHookRequest
from hookd.v1.webhook_pb2 import HttpResponse, Webhook

from tests.e2e.webhooks.sender import connect, count, drained, requests, send, webhook, with_secrets
from tests.e2e.webhooks.signing import SCHEMES
from tests.support.api import Api, refusal
from tests.support.daemon import running


def test_calls_per_second(tmp_path: Path) -> None:
    """Too many are told when to come again; what reaches no hook does not count."""
    with running(tmp_path, "--max-calls-per-second=4") as daemon:
        api = Api(daemon.channel(), "busy")
        hook = webhook(api, "t", Webhook(response=HttpResponse(body=b"x")))
        signed = webhook(Api(daemon.channel(), "quiet"), "s", SCHEMES["bearer"].webhook())
        with_secrets(daemon, "quiet", "its-secret", "s")
        with ThreadPoolExecutor(12) as pool:
            replies = list(pool.map(lambda _: send(hook.url), range(12)))
        statuses = [reply.status for reply in replies]
        assert set(statuses) == {200, 429}
        assert all("retry-after" in reply.headers for reply in replies if reply.status == 429)
        for _ in range(12):
            assert send(signed.url + "x").status == 404
            assert send(signed.url).status == 401
        assert send(signed.url, headers={"Authorization": "Bearer s"}).status == 202


def test_a_full_quota(tmp_path: Path) -> None:
    """It is told as too many requests, for senders try again after that."""
    with running(tmp_path, "--max-payload-bytes=3000") as daemon:
        api = Api(daemon.channel())
        hook = webhook(api)
        assert send(hook.url, bytes(1000)).status == 202
        refused = send(hook.url, bytes(1000))
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert count(api, hook) == 1
        body = HttpResponse(body=bytes(3000))
        run_id = api.start().run.run_id
        refused_claim = refusal(api.claim, run_id, "u", webhook=Webhook(response=body))
        assert refused_claim.metadata["limit"] == "payload_bytes"


def test_the_word_of_a_trusted_proxy(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.1.2.3"}
    with running(tmp_path, "--trusted-proxies=127.0.0.1,10.0.0.0/8") as daemon:
        api = Api(daemon.channel())
        hook = webhook(api)
        assert send(hook.url, headers=forwarded).status == 202
        assert requests(api, hook, 1)[0].remote_address == "203.0.113.7"


def test_nobodys_word_is_trusted_by_default(api: Api) -> None:
    hook = webhook(api)
    assert send(hook.url, headers={"X-Forwarded-For": "203.0.113.7"}).status == 202
    (request,) = requests(api, hook, 1)
    assert request.remote_address == "127.0.0.1"
    assert "203.0.113.7" in {header.value for header in request.headers}


def test_webhooks_need_no_key_and_keys_open_none(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        hook = webhook(Api(daemon.channel()), "t")
    with running(tmp_path, "--require-keys") as daemon:
        api = Api(daemon.channel())
        assert refusal(api.start).reason == "UNAUTHENTICATED"
        url = f"http://{daemon.http}/webhooks/default/t"
        assert hook.url.endswith("/webhooks/default/t")
        assert send(url).status == 202
        assert send(url, headers={"Authorization": "Bearer hookd_wrong"}).status == 202


def test_a_hook_that_was_there_before_a_restart_takes_requests(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        api = Api(daemon.channel())
        hook = webhook(api, "t", Webhook(response=HttpResponse(body=b"still")))
        daemon.restart()
        assert send(api.hook("t").url).body == b"still"
        assert count(api, hook) == 1


def test_a_body_that_comes_slowly_reaches_the_hook_whole(tmp_path: Path) -> None:
    """Others are answered meanwhile, and the claim is looked at when it is there."""
    with running(tmp_path) as daemon:
        api = Api(daemon.channel())
        hook = webhook(api, "t")
        head = b"POST /webhooks/default/t HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n"
        head += b"connection: close\r\n\r\n"
        with connect(daemon) as link:
            link.sendall(head + b"ab")
            assert send(hook.url, b"other").status == 202
            api.dispose(hook.run_id, hook.hook_id)
            second = webhook(api, "t", Webhook(response=HttpResponse(body=b"second")))
            link.sendall(b"cd")
            assert drained(link).endswith(b"second")
        assert (count(api, hook), count(api, second)) == (1, 1)
        assert requests(api, second, 1)[0].body == b"abcd"


def test_the_next_owner_gets_only_what_was_signed_for_it(tmp_path: Path) -> None:
    """While requests come, the token goes from run to run, each with a secret of its own."""
    rounds = 12
    with running(tmp_path) as daemon:
        api = Api(daemon.channel())
        for number in range(rounds):
            with_secrets(daemon, "default", f"secret-{number}", f"of {number}")
        url = f"http://{daemon.http}/webhooks/default/t"
        stop: list[bool] = []

        def sender(shift: int) -> None:
            number = shift
            while not stop:
                number = (number + 1) % rounds
                headers = {"Authorization": f"Bearer of {number}"}
                reply = send(url, str(number).encode(), headers=headers)
                assert reply.status in (202, 401, 404)

        with ThreadPoolExecutor(4) as pool:
            senders = [pool.submit(sender, shift) for shift in range(0, rounds, 3)]
            hooks = []
            try:
                for number in range(rounds):
                    how = SCHEMES["bearer"].webhook(f"secret-{number}")
                    hook = webhook(api, "t", how)
                    hooks.append(hook)
                    got = requests(api, hook, 1)
                    assert got
                    api.cancel(hook.run_id)
            finally:
                stop.append(True)
            for each in senders:
                each.result()
        for number, hook in enumerate(hooks):
            total = count(api, hook)
            bodies = {request.body for request in requests(api, hook, total)}
            assert bodies == {str(number).encode()}


def test_an_old_answer_reads_as_before(api: Api) -> None:
    """A hook made without a webhook has none in any answer."""
    run_id = api.start().run.run_id
    request = CreateHookRequest(project=api.project, run_id=run_id)
    request.hook.token = "t"
    assert not api.hooks.CreateHook(request).hook.HasField("webhook")
