"""Requests to webhooks are counted and timed like calls, and by nothing that is secret."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.webhooks.sender import send, webhook
from tests.support.api import Api
from tests.support.daemon import Daemon


def counted(daemon: Daemon) -> tuple[dict[str, float], str]:
    """How many requests ended how, and all that is told of everything."""
    with urllib.request.urlopen(f"http://{daemon.http}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        sample.labels["rpc_grpc_code"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "hookd_request_duration_seconds_count"
        and sample.labels["rpc_method"] == "webhooks"
    }, text


def test_requests_are_counted_by_how_they_ended(daemon: Daemon) -> None:
    api = Api(daemon.channel())
    hook = webhook(api, "secret-token")
    assert counted(daemon)[0] == {}
    key = {"Idempotency-Key": "k"}
    assert [send(hook.url, headers=key).status for _ in range(2)] == [202, 202]
    assert send(hook.url, b"other", headers=key).status == 422
    assert send(hook.url + "x").status == 404
    ended, text = counted(daemon)
    assert ended == {"OK": 2, "INVALID_ARGUMENT": 1, "NOT_FOUND": 1}
    assert "secret-token" not in text + daemon.log
