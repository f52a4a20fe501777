"""The metrics arrive by OTLP as well."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from tests.support.api import Api, refusal
from tests.support.daemon import Daemon
from tests.support.otlp import OtlpReceiver, attributes_of


def points(metric: Metric) -> list[Any]:
    """The data points of a metric, whatever its kind."""
    kind = metric.WhichOneof("data")
    assert kind is not None
    return list(getattr(metric, kind).data_points)


def value(receiver: OtlpReceiver, name: str, **labels: str) -> float:
    """The sum of the points with these labels; of a histogram, their counts."""
    metric = receiver.metrics().get(name)
    total = 0.0
    for point in points(metric) if metric else ():
        if labels.items() <= attributes_of(point.attributes).items():
            total += point.count if hasattr(point, "count") else point.as_int or point.as_double
    return total


def test_what_happened_is_pushed(own: Api, receiver: OtlpReceiver) -> None:
    """Counters, gauges and histograms."""
    own.start("run")
    own.start("loser")
    own.claim("run", "one", "hook")
    own.claim("run", "two")
    refusal(own.claim, "loser", "one")
    own.resume("one", "1", "first")
    own.dispose("run", "hook")
    receiver.wait_for(lambda r: value(r, "hookd.releases", cause="disposed") == 1)
    assert value(receiver, "hookd.claims") == 2
    assert value(receiver, "hookd.conflicts") == 1
    assert value(receiver, "hookd.resumes") == 1
    assert value(receiver, "hookd.releases") == 1
    assert value(receiver, "hookd.tokens.active", **{"hookd.project": own.project}) == 1
    assert value(receiver, "hookd.commit.group.size") >= 6
    assert value(receiver, "hookd.flush.duration") >= 6
    lost = {"rpc.method": "CreateHook", "rpc.grpc.code": "ALREADY_EXISTS"}
    receiver.wait_for(lambda r: value(r, "hookd.request.duration", **lost) == 1)
    resource = receiver.metric_resource()
    assert resource["service.name"] == "hookd"
    assert resource["service.version"]


def test_the_last_numbers_are_pushed_when_the_daemon_ends(
    exporting: Daemon, own: Api, receiver: OtlpReceiver
) -> None:
    """What happened just before SIGTERM is not lost."""
    own.start("run")
    for i in range(20):
        own.claim("run", f"token-{i}")
    assert exporting.terminate() == 0
    assert value(receiver, "hookd.claims") == 20
    assert len(receiver.spans("hookd.v1.HookService/CreateHook")) == 20


def test_a_collector_that_is_gone_does_not_hold_calls_up(
    exporting: Daemon, own: Api, receiver: OtlpReceiver
) -> None:
    """Nor the end of the daemon."""
    own.start("run")
    receiver.stop()
    for i in range(20):
        own.claim("run", f"token-{i}")
    assert exporting.terminate() == 0
