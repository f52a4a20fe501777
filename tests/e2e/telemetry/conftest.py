"""A daemon that exports to a receiver of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.telemetry.caller import Caller
from tests.support.api import Api
from tests.support.daemon import Daemon, running
from tests.support.otlp import OtlpReceiver, otlp_receiver


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """Where the daemon's spans and metrics arrive."""
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture
def exporting(tmp_path: Path, receiver: OtlpReceiver) -> Iterator[Daemon]:
    """A daemon that exports all the time."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_METRIC_EXPORT_INTERVAL": "50",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    with running(tmp_path, env=env) as daemon:
        yield daemon


@pytest.fixture
def own(exporting: Daemon) -> Api:
    """Its API."""
    return Api(exporting.channel(), "telemetry")


@pytest.fixture
def owner_caller() -> Caller:
    """Who makes the owner's claim."""
    return Caller()


@pytest.fixture
def caller() -> Caller:
    """Who comes second."""
    return Caller()
