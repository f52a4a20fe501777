"""Webhooks in tests: the URLs lead to the daemon of the test."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import pytest
from hookd import create_webhook, get_hook_by_token, start, verify, workflow
from hookd_daemon.secrets.files import SecretError
from hookd_daemon.testing import LocalDaemon

from tests.e2e.webhooks.sender import Reply, send


async def post(url: str, body: bytes, **headers: str) -> Reply:
    return await asyncio.to_thread(send, url, body, headers=headers)


@workflow
async def echo(token: str) -> None:
    async with create_webhook(token, respond_with="manual") as webhook:
        async for request in webhook:
            request.respond(body=request.body)
            if not request.body:
                break


async def test_a_url_leads_to_the_daemon_also_after_a_restart() -> None:
    async with LocalDaemon() as daemon, daemon.worker(echo):
        run = await start(echo, "t")
        url = (await get_hook_by_token("t", wait=10)).url
        assert (await post(url, b"before")).body == b"before"
        await daemon.skip("1d")
        await daemon.restart()
        assert (await get_hook_by_token("t")).url == url
        assert (await post(url, b"after")).body == b"after"
        assert (await post(url, b"")).status == 200
        await run.return_value(10)
        assert (await post(url, b"late")).status == 404


async def test_a_secret_is_set_for_the_test_alone() -> None:
    signature = hmac.new(b"new", b"body", hashlib.sha256).hexdigest()
    async with LocalDaemon() as daemon, daemon.client.open_run("order") as run:
        webhook = await run.create_webhook(verify=verify.hmac_sha256("shop"))
        assert (await post(webhook.url, b"body", **{"X-Signature": signature})).status == 503
        daemon.set_secret("shop", "old", "new")
        assert (await post(webhook.url, b"body", **{"X-Signature": "00"})).status == 401
        assert (await post(webhook.url, b"body", **{"X-Signature": signature})).status == 202
        with pytest.raises(SecretError):
            daemon.set_secret("../shop", "secret")
    with pytest.raises(RuntimeError, match="does not run"):
        daemon.set_secret("shop", "secret")


async def test_http_can_be_turned_off() -> None:
    async with LocalDaemon(http="") as daemon, daemon.client.open_run("order") as run:
        hook = await run.create_hook("t")
        assert hook.url == ""
        await daemon.restart()
        assert (await get_hook_by_token("t")).url == ""
