"""The Python client, workers and hookctl, through doors that are closed to others."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import hookd
import pytest
from hookd_daemon.auth.roles import Role

from tests.e2e.doors.certs import Authority
from tests.e2e.doors.keys import create, revoke
from tests.support.daemon import Daemon

HOOKCTL = str(Path(sys.executable).with_name("hookctl"))


class World:
    """A daemon with mutual TLS and keys."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        server, client = authority.issue(), authority.issue()
        data = folder / "data"
        self.service = create(data, "blue")
        self.resume = create(data, "blue", Role.RESUME_ONLY)
        self.admin = create(data, None, Role.ADMIN)
        self.tls = hookd.Tls(ca=authority.file, cert=client.cert, key=client.key)
        self.daemon = Daemon(
            folder,
            f"--tls-cert={server.cert}",
            f"--tls-key={server.key}",
            f"--tls-client-ca={authority.file}",
            "--log-level=debug",
        )

    def connect(self, key: str | None, project: str = "blue") -> hookd.Client:
        return hookd.connect(
            self.daemon.address, project=project, api_key=key, tls=self.tls, timeout=60
        )

    def environment(self, key: str) -> dict[str, str]:
        return {
            "HOOKD_ADDRESS": self.daemon.address,
            "HOOKD_PROJECT": "blue",
            "HOOKD_API_KEY": key,
            "HOOKD_TLS_CA": str(self.tls.ca),
            "HOOKD_TLS_CERT": str(self.tls.cert),
            "HOOKD_TLS_KEY": str(self.tls.key),
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("clients"))
    with world.daemon:
        yield world


@hookd.workflow
async def ask(token: str) -> str:
    hook = hookd.create_hook(token=token)
    return await shout(await hook)


@hookd.step
async def shout(text: str) -> str:
    return text.upper()


@hookd.step
def ask_from_a_thread(run_id: str) -> str:
    """A step with an event loop of its own: its client has key and certificates, too."""

    async def look() -> str:
        try:
            return str(await hookd.get_run(run_id).status())
        finally:
            await hookd.ambient_client().close()

    return asyncio.run(look())


@hookd.workflow
async def look_at(run_id: str) -> str:
    return await ask_from_a_thread(run_id)


async def test_a_workflow_from_its_start_to_its_end(world: World) -> None:
    """A worker with a key of the role service; the payload from one that can only resume."""
    async with (
        world.connect(world.service) as client,
        world.connect(world.resume) as outside,
        hookd.Worker([ask, shout, look_at, ask_from_a_thread], client=client),
    ):
        run = await client.start(ask, "greeting")
        await outside.resume_hook("greeting", "hello", wait=60)
        assert await run.return_value(timeout=60) == "HELLO"
        again = await client.start(look_at, run.run_id)
        assert await again.return_value(timeout=60) == "completed"


async def test_the_client_says_what_was_refused(world: World) -> None:
    async with world.connect(None) as client:
        with pytest.raises(hookd.UnauthenticatedError, match=r"docs/errors/unauthenticated\.md"):
            await client.get_run("r").info()
    async with world.connect("hkd_000000000000_x") as client:
        with pytest.raises(hookd.UnauthenticatedError, match="is not valid"):
            await client.start("w")
    async with world.connect(world.resume) as client:
        with pytest.raises(hookd.PermissionDeniedError, match=r"role resume-only .* StartRun"):
            await client.start("w")
    async with world.connect(world.service, "green") as client:
        with pytest.raises(hookd.PermissionDeniedError) as caught:
            await client.resume_hook("t", 1)
        assert caught.value.reason == "PERMISSION_DENIED"
        results = await asyncio.gather(
            *(client.get_run("r").create_hook(token=f"t{n}") for n in range(20)),
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {hookd.PermissionDeniedError}
        async with client.claim_stream() as claims:
            with pytest.raises(hookd.PermissionDeniedError):
                await claims.submit([hookd.HookClaim("r", hookd.HookSpec(token="t"))])
    async with world.connect(world.admin, "green") as client:
        assert (await client.stats(all_projects=True)).version


async def test_a_worker_whose_key_is_revoked_ends_and_says_why(world: World) -> None:
    key = create(world.daemon.data_dir, "blue")
    async with world.connect(key) as client, world.connect(world.service) as other:
        worker = hookd.Worker([ask, shout], client=client)
        running = asyncio.create_task(worker.run())
        run = await other.start(ask, "of-the-worker")
        await other.get_hook_by_token("of-the-worker", wait=30)  # the worker is at work
        revoke(world.daemon.data_dir, key)
        with pytest.raises(hookd.UnauthenticatedError):
            await asyncio.wait_for(running, 60)
        await run.cancel()


async def test_everything_can_come_from_the_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in world.environment(world.service).items():
        monkeypatch.setenv(name, value)
    async with hookd.connect() as client:
        assert (await client.start("w", external=True)).run_id
    monkeypatch.setenv("HOOKD_TLS", "false")
    async with hookd.connect(timeout=1) as client:
        with pytest.raises((hookd.UnavailableError, hookd.DeadlineExceededError)):
            await client.start("w")


def hookctl(world: World, *words: str, key: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **world.environment(key), "COLUMNS": "200"}
    return subprocess.run(
        [HOOKCTL, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_hookctl(world: World, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{world.service}\n")
    done = hookctl(world, "--api-key-file", str(file), "runs", "list")
    assert (done.returncode, done.stderr) == (0, "")
    done = hookctl(world, "runs", "list", key=world.service)
    assert (done.returncode, done.stderr) == (0, "")
    refused = hookctl(world, "stats", key=world.service)
    assert refused.returncode == 8
    assert refused.stderr.startswith("hookctl: the role service of the API key does not allow")
    assert refused.stderr.count("\n") == 1
    missing = hookctl(world, "--api-key-file", str(tmp_path / "none"), "runs", "list")
    assert missing.returncode == 2
    assert "--api-key-file" in missing.stderr
    assert "--api-key " not in hookctl(world, "--help").stdout


def test_no_secret_is_in_logs_metrics_or_files(world: World) -> None:
    """At the most talkative level, after everything above and more refusals."""
    wrong = world.service[:-4] + "abcd"
    for key in (world.service, world.resume, world.admin, wrong):
        hookctl(world, "runs", "get", "none", key=key)
    secrets = [key.split("_", 2)[2].encode() for key in (world.service, world.resume, wrong)]
    secrets.append(world.admin.split("_", 2)[2].encode())
    found = [file for file in world.daemon.folder.rglob("*") if file.is_file()]
    assert world.daemon.log_file in found
    assert len(found) > 5
    for file in found:
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret in content], file
    text = metrics(world)
    assert b"hookd_claims_total" in text
    assert not [secret for secret in secrets if secret in text]


def metrics(world: World) -> bytes:
    """What /metrics says to an admin."""
    context = ssl.create_default_context(cafile=world.tls.ca)
    context.load_cert_chain(str(world.tls.cert), world.tls.key)
    request = urllib.request.Request(
        f"https://{world.daemon.http}/metrics",
        headers={"Authorization": f"Bearer {world.admin}"},
    )
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        return bytes(answer.read())


def test_grpc_of_others_gets_the_same(world: World) -> None:
    """A channel without the client's certificate does not get as far as to show a key."""
    with open(str(world.tls.ca), "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with (
        grpc.secure_channel(world.daemon.address, credentials) as channel,
        pytest.raises(grpc.FutureTimeoutError),
    ):
        grpc.channel_ready_future(channel).result(timeout=1)
