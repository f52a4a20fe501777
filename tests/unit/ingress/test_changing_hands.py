"""A token that gets another owner between the verification of a request and its delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hookd.v1 import webhook_pb2 as pb
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import CreateHookRequest, GetHookRequest
from hookd.v1.run_service_pb2 import CancelRunRequest, StartRunRequest
from hookd_daemon.api.backend import Backend
from hookd_daemon.api.gate import Gate
from hookd_daemon.api.hooks import HookService
from hookd_daemon.api.runs import RunService
from hookd_daemon.clock import Clock
from hookd_daemon.config import Settings
from hookd_daemon.http.call import HttpCall
from hookd_daemon.http.webhooks.answers import Answer
from hookd_daemon.http.webhooks.ingress import Ingress
from hookd_daemon.secrets.files import SecretFiles
from hookd_daemon.store.memory import MemoryStore
from hookd_daemon.telemetry.setup import Telemetry


class Hands(Ingress):
    """Takes requests, and lets something happen right before the first delivery."""

    meanwhile: Any = None
    deliveries = 0

    async def _deliver(self, *args: Any) -> Answer | None:
        self.deliveries += 1
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await super()._deliver(*args)


class World:
    """A store in memory, with what serves it."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=folder)
        telemetry = Telemetry(settings)
        self.backend = Backend(
            MemoryStore(), Clock(), settings, telemetry.tracing, telemetry.metrics
        )
        self.gate = Gate(telemetry.metrics, 10, 10)
        self.secrets = SecretFiles(folder / "secrets")
        self.ingress = Hands(self.backend, self.gate, self.secrets)
        self.hooks = HookService(self.backend)
        self.runs = RunService(self.backend, None)  # type: ignore[arg-type]
        self.call = HttpCall({}, self.gate)

    async def claim(self, run_id: str, secret: str) -> None:
        """Starts a run that owns the token, and wants its requests signed."""
        self.secrets.write("default", secret, secret.encode())
        how = pb.WebhookVerification(scheme=pb.WEBHOOK_SCHEME_BEARER, secret=secret)
        start = StartRunRequest(run_id=run_id, workflow="w", external=True)
        await self.runs.start_run(start, self.call)
        spec = HookSpec(token="t", webhook=pb.Webhook(verification=how))
        await self.hooks.create_hook(CreateHookRequest(run_id=run_id, hook=spec), self.call)

    async def cancel(self, run_id: str) -> None:
        """Ends a run."""
        await self.runs.cancel_run(CancelRunRequest(run_id=run_id), self.call)

    async def payloads(self) -> int:
        """How many payloads the owner of the token has."""
        found = await self.hooks.get_hook(GetHookRequest(token="t"), self.call)
        return found.hook.payload_count

    async def send(self, secret: str) -> int:
        """Sends a request with a bearer token; the status of its answer."""
        scope = {
            "type": "http",
            "method": "POST",
            "raw_path": b"/webhooks/default/t",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {secret}".encode())],
            "client": ("127.0.0.1", 1),
        }
        messages = [{"type": "http.request", "body": b"x", "more_body": False}]
        sent: list[Any] = []
        never = self.backend.store.subscribe("never")

        async def receive() -> Any:
            if not messages:
                with never:
                    await never.wait(None)
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await self.ingress(scope, receive, send)
        status: int = sent[0]["status"]
        return status


async def test_the_next_owner_wants_another_secret(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.claim("first", "one")

    async def meanwhile() -> None:
        await world.cancel("first")
        await world.claim("second", "two")

    world.ingress.meanwhile = meanwhile
    assert await world.send("one") == 401
    assert world.ingress.deliveries == 1
    assert await world.payloads() == 0
    assert await world.send("two") == 202


async def test_the_next_owner_wants_the_same_secret(tmp_path: Path) -> None:
    """It gets the request, which was signed for it, too."""
    world = World(tmp_path)
    await world.claim("first", "one")

    async def meanwhile() -> None:
        await world.cancel("first")
        await world.claim("second", "one")

    world.ingress.meanwhile = meanwhile
    assert await world.send("one") == 202
    assert world.ingress.deliveries == 2
    assert await world.payloads() == 1


async def test_there_is_no_owner_any_more(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.claim("first", "one")

    async def meanwhile() -> None:
        await world.cancel("first")

    world.ingress.meanwhile = meanwhile
    assert await world.send("one") == 404
