"""A small report with figures that are easy to follow."""

from __future__ import annotations

from typing import Any


def latency(p50: float, p99: float) -> dict[str, float]:
    return {
        "min": p50 / 2,
        "p50": p50,
        "p90": p99,
        "p99": p99,
        "p999": p99,
        "max": 2 * p99,
        "mean": p50,
    }


def measured(per_second: float, p50: float, p99: float) -> dict[str, Any]:
    return {
        "per_second": per_second,
        "operations": 1000,
        "latency_ms": latency(p50, p99),
        "by_outcome_ms": {},
        "timeline_max_ms": [p99, 2 * p99],
        "server_us": 500.0,
        "client_us": 50.0,
        "server_cores": 0.9,
        "client_cores": 0.1,
        "outcomes": {"claimed": 1000},
    }


def row(target: str, concurrency: int, connections: int, per_second: float) -> dict[str, Any]:
    point = {
        "target": target,
        "concurrency": concurrency,
        "connections": connections,
        "real_connections": min(concurrency, connections),
    }
    return {"load": "claim", **point, **measured(per_second, 2.0, 5.0)}


def level(tokens: int, per_second: float, compacting_p99: float) -> dict[str, Any]:
    return {
        "tokens": tokens,
        "rows": [{"load": "claim", **measured(per_second, 2.0, 5.0)}],
        "quiet": measured(per_second, 2.0, 5.0),
        "compacting": {
            **measured(per_second, 3.0, compacting_p99),
            "compactions_s": [[-0.1, 0.05], [0.1, 0.2]],
        },
    }


def report() -> dict[str, Any]:
    """With loads and growth only."""
    return {
        "plan": "default",
        "begun": "2024-11-05T10:00:00+00:00",
        "minutes": 12.3,
        "client": "hookd-loadgen",
        "machine": {"processor": "some, 2 cores", "fdatasync of 4 KiB": "0.25 ms (median)"},
        "peers": {"redis": {"title": "Redis 1.2.3", "settings": "appendfsync always"}},
        "left_out": {"etcd": "etcd is not installed"},
        "failures": ["redis: it fell over"],
        "loads": {
            "client": [],
            "loads": [
                {
                    "load": "claim",
                    "title": "Claims, one a call",
                    "rows": [
                        row("hookd", 1, 4, 500) | {"share_of_empty": 0.5},
                        row("hookd", 64, 4, 1800) | {"share_of_empty": 0.9},
                        row("hookd", 16, 4, 1500) | {"share_of_empty": 0.75},
                        row("hookd", 64, 8, 1700),
                        row("redis", 64, 4, 13_000),
                    ],
                    "checked": {
                        "load": "claim",
                        "acknowledged": 6500,
                        "active": 7000,
                        "after_kill": 7000,
                    },
                }
            ],
        },
        "growth": {"levels": [level(10, 1000, 5.0), level(1000, 900, 8.0)], "events": []},
    }
