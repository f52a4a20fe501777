//! The one JSON object that is printed.

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::options::Options;
use crate::record::Recording;

/// What was measured.
pub fn measured(options: &Options, recording: &Recording) -> Value {
    let by_outcome: Map<String, Value> = recording
        .by_outcome
        .iter()
        .map(|(name, histogram)| ((*name).to_owned(), latency(histogram)))
        .collect();
    let timeline = recording.timeline.iter();
    json!({
        "load": name(&options.load),
        "target": name(&options.target),
        "concurrency": options.concurrency,
        "connections": options.connections.min(options.concurrency),
        "threads": options.threads,
        "seconds": recording.seconds,
        "calls": recording.calls,
        "operations": recording.operations,
        "per_second": recording.operations as f64 / recording.seconds,
        "latency_ms": latency(&recording.latency),
        "latency_ms_by_outcome": by_outcome,
        "timeline_max_ms": timeline.map(|t| t.as_secs_f64() * 1e3).collect::<Vec<_>>(),
        "client_cpu_seconds": recording.client_cpu_seconds,
        "server_cpu_seconds": recording.server_cpu_seconds,
        "outcomes": recording.outcomes,
        "errors": recording.errors,
    })
}

/// That the target knows no such load.
pub fn unsupported(options: &Options) -> Value {
    json!({
        "load": name(&options.load),
        "target": name(&options.target),
        "unsupported": true,
    })
}

fn latency(histogram: &Histogram<u64>) -> Value {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    json!({
        "min": histogram.min() as f64 / 1e6,
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": histogram.max() as f64 / 1e6,
        "mean": histogram.mean() / 1e6,
    })
}

fn name(choice: &impl ValueEnum) -> String {
    let value = choice.to_possible_value();
    value
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}
