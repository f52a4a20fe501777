"""Fixtures for the daemon's outer shell."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hookd_daemon import logs
from hookd_daemon.config import Settings

from tests.support.otlp import OtlpReceiver, otlp_receiver


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("HOOKD_", "OTEL_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    for handler in root.handlers[:]:
        if isinstance(handler, logs._Handler):
            root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)
    logs._TokenPolicy.raw = False
    structlog.reset_defaults()


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running
