from __future__ import annotations

import timeit
from collections.abc import Iterator

import pytest
from hookd_daemon.config import Settings
from hookd_daemon.telemetry import Telemetry
from hookd_daemon.telemetry.metrics import (
    END_STATUSES,
    REJECTIONS,
    RELEASE_CAUSES,
    STEP_OUTCOMES,
)
from prometheus_client.parser import text_string_to_metric_families

METHOD = "/hookd.v1.HookService/CreateHook"
LABELS = (
    ("rpc_grpc_code", "OK"),
    ("rpc_method", "CreateHook"),
    ("rpc_service", "hookd.v1.HookService"),
)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def telemetry(settings: Settings) -> Iterator[Telemetry]:
    telemetry = Telemetry(settings)
    yield telemetry
    telemetry.shutdown()


def scrape(telemetry: Telemetry) -> Samples:
    content, content_type = telemetry.prometheus()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


def test_every_counter_is_there_from_the_start(telemetry: Telemetry) -> None:
    samples = scrape(telemetry)
    names = ["claims", "conflicts", "resumes", "resume_duplicates", "runs_started"]
    names += ["turns", "timers_fired", *[f"steps_{which}" for which in STEP_OUTCOMES]]
    for name in names:
        assert samples[f"hookd_{name}_total", ()] == 0
    for cause in RELEASE_CAUSES:
        assert samples["hookd_releases_total", (("cause", cause),)] == 0
    for status in END_STATUSES:
        assert samples["hookd_runs_ended_total", (("status", status),)] == 0
    for limit in REJECTIONS:
        assert samples["hookd_calls_rejected_total", (("limit", limit),)] == 0
    assert samples["hookd_calls_in_flight", ()] == 0
    assert samples["hookd_streams_open", ()] == 0
    (target,) = [dict(labels) for name, labels in samples if name == "target_info"]
    assert target["service_name"] == "hookd"


def test_counters_are_read_at_the_scrape(telemetry: Telemetry) -> None:
    metrics = telemetry.metrics
    metrics.claims += 5
    metrics.releases["cancelled"] += 2
    metrics.runs_ended["failed"] += 3
    metrics.rejected["calls"] += 4
    metrics.calls_in_flight += 6
    samples = scrape(telemetry)
    assert samples["hookd_claims_total", ()] == 5
    assert samples["hookd_releases_total", (("cause", "cancelled"),)] == 2
    assert samples["hookd_runs_ended_total", (("status", "failed"),)] == 3
    assert samples["hookd_calls_rejected_total", (("limit", "calls"),)] == 4
    assert samples["hookd_calls_in_flight", ()] == 6
    metrics.claims += 1
    metrics.calls_in_flight -= 6
    samples = scrape(telemetry)
    assert samples["hookd_claims_total", ()] == 6
    assert samples["hookd_calls_in_flight", ()] == 0


def test_gauges_ask_when_they_are_read(telemetry: Telemetry) -> None:
    tokens = {"default": 3, 'o"dd\n': 1}
    telemetry.metrics.observe(
        active_tokens=tokens.items,
        index_bytes=lambda: 1024,
        store_bytes=lambda: 2048,
        active_runs=lambda: [("pending", 1), ("running", 2)],
        workers=lambda: 5,
        leases=lambda: [("turn", 6), ("step", 7)],
    )
    samples = scrape(telemetry)
    assert samples["hookd_tokens_active", (("hookd_project", "default"),)] == 3
    assert samples["hookd_tokens_active", (("hookd_project", 'o"dd\n'),)] == 1
    assert samples["hookd_index_size_bytes", ()] == 1024
    assert samples["hookd_store_size_bytes", ()] == 2048
    assert samples["hookd_runs_active", (("status", "running"),)] == 2
    assert samples["hookd_workers_connected", ()] == 5
    assert samples["hookd_leases_active", (("kind", "step"),)] == 7
    del tokens["default"]
    assert ("hookd_tokens_active", (("hookd_project", "default"),)) not in scrape(telemetry)


def test_a_gauge_that_fails_leaves_the_others(telemetry: Telemetry) -> None:
    telemetry.metrics.observe(index_bytes=lambda: 1 // 0, store_bytes=lambda: 7)
    samples = scrape(telemetry)
    assert samples["hookd_store_size_bytes", ()] == 7
    assert ("hookd_index_size_bytes", ()) not in samples
    assert ("hookd_claims_total", ()) in samples


def test_request_times(telemetry: Telemetry) -> None:
    for seconds in (0.0001, 0.00011, 0.3, 60.0):
        telemetry.metrics.request_seconds(METHOD, "OK", seconds)
    telemetry.metrics.request_seconds(METHOD, "ALREADY_EXISTS", 0.001)
    samples = scrape(telemetry)
    name = "hookd_request_duration_seconds"
    assert samples[f"{name}_count", LABELS] == 4
    assert samples[f"{name}_sum", LABELS] == pytest.approx(60.30021)

    def up_to(bound: str) -> float:
        return samples[f"{name}_bucket", (("le", bound), *LABELS)]

    assert (up_to("0.0001"), up_to("0.00025"), up_to("0.5"), up_to("30.0")) == (1, 2, 3, 3)
    assert up_to("+Inf") == 4
    conflicts = (("rpc_grpc_code", "ALREADY_EXISTS"), *LABELS[1:])
    assert samples[f"{name}_count", conflicts] == 1


def test_commit_groups_and_flushes(telemetry: Telemetry) -> None:
    telemetry.metrics.commit_group_size.record(1)
    telemetry.metrics.commit_group_size.record(5000)
    telemetry.metrics.flush_seconds.record(0.0003)
    samples = scrape(telemetry)
    assert samples["hookd_commit_group_size_bucket", (("le", "1.0"),)] == 1
    assert samples["hookd_commit_group_size_bucket", (("le", "4096.0"),)] == 1
    assert samples["hookd_commit_group_size_count", ()] == 2
    assert samples["hookd_flush_duration_seconds_bucket", (("le", "0.0005"),)] == 1


def test_a_histogram_without_values_is_left_out(telemetry: Telemetry) -> None:
    assert not [name for name, _ in scrape(telemetry) if "duration" in name]


def test_recording_a_request_costs_little(telemetry: Telemetry) -> None:
    record = telemetry.metrics.request_seconds
    record(METHOD, "OK", 0.1)
    number = 20_000
    best = min(timeit.repeat(lambda: record(METHOD, "OK", 0.0123), number=number, repeat=5))
    assert best / number < 5e-6
