"""What the tests of the client share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import hookd
import pytest

from tests.unit.client.fake import FakeDaemon


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    tls = ("HOOKD_TLS", "HOOKD_TLS_CA", "HOOKD_TLS_CERT", "HOOKD_TLS_KEY")
    for name in ("HOOKD_ADDRESS", "HOOKD_PROJECT", "HOOKD_API_KEY", *tls):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def daemon() -> AsyncIterator[FakeDaemon]:
    fake = FakeDaemon()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def client(daemon: FakeDaemon) -> AsyncIterator[hookd.Client]:
    async with hookd.connect(daemon.address, timeout=5) as connected:
        yield connected
