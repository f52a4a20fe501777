//! What is recorded of the calls.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::drive::Done;
use crate::fault::Fault;

/// The length of one part of the timeline.
pub const TIMELINE_PART: Duration = Duration::from_millis(100);
/// Longer latencies are recorded as this one.
const LONGEST_NS: u64 = 600_000_000_000;
/// Errors of more kinds than these are counted together.
const MAX_KINDS: usize = 20;
/// What is kept of an error's text.
const MAX_TEXT: usize = 160;

/// What became of the calls that were measured.
pub struct Recording {
    /// Calls that had an outcome that the load expects.
    pub calls: u64,
    /// What those calls did: the claims of a batch count one by one.
    pub operations: u64,
    /// The latencies of those calls, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The same, for each outcome.
    pub by_outcome: BTreeMap<&'static str, Histogram<u64>>,
    /// How many operations had which outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The longest latency of the calls that ended in each [`TIMELINE_PART`].
    pub timeline: Vec<Duration>,
    /// How many calls failed how, those before the measurement included.
    pub errors: BTreeMap<String, u64>,
    /// How long was measured.
    pub seconds: f64,
    /// Processor time of this process while it was measured.
    pub client_cpu_seconds: f64,
    /// Processor time of the server in that time, if it was asked for.
    pub server_cpu_seconds: Option<f64>,
}

impl Recording {
    /// A recording of nothing.
    pub fn new() -> Self {
        Self {
            calls: 0,
            operations: 0,
            latency: histogram(),
            by_outcome: BTreeMap::new(),
            outcomes: BTreeMap::from([("claimed", 0), ("conflict", 0)]),
            timeline: Vec::new(),
            errors: BTreeMap::new(),
            seconds: 0.0,
            client_cpu_seconds: 0.0,
            server_cpu_seconds: None,
        }
    }

    /// Records a call that ended `since_begin` after the measurement began.
    pub fn done(&mut self, done: &Done, latency: Duration, since_begin: Duration) {
        let nanos = (latency.as_nanos() as u64).clamp(1, LONGEST_NS);
        self.calls += 1;
        self.operations += done.operations;
        *self.outcomes.entry(done.outcome).or_default() += done.operations;
        self.latency.saturating_record(nanos);
        self.by_outcome
            .entry(done.outcome)
            .or_insert_with(histogram)
            .saturating_record(nanos);
        let part = (since_begin.as_nanos() / TIMELINE_PART.as_nanos()) as usize;
        if self.timeline.len() <= part {
            self.timeline.resize(part + 1, Duration::ZERO);
        }
        self.timeline[part] = self.timeline[part].max(latency);
    }

    /// Records a failure.
    pub fn failed(&mut self, fault: &Fault) {
        let mut text: String = fault.to_string().chars().take(MAX_TEXT).collect();
        if self.errors.len() >= MAX_KINDS && !self.errors.contains_key(&text) {
            "others".clone_into(&mut text);
        }
        *self.errors.entry(text).or_default() += 1;
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("fixed bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_operations_are_counted_apart() {
        let mut recording = Recording::new();
        let millis = Duration::from_millis;
        recording.done(&Done::of("claimed", 256), millis(5), millis(10));
        recording.done(&Done::of("claimed", 256), millis(9), millis(90));
        recording.done(&Done::one("read"), millis(1), millis(350));
        assert_eq!((recording.calls, recording.operations), (3, 513));
        assert_eq!(recording.outcomes["claimed"], 512);
        assert_eq!(recording.outcomes["conflict"], 0);
        assert_eq!(
            recording.timeline,
            [millis(9), millis(0), millis(0), millis(1)]
        );
        assert_eq!(recording.by_outcome["read"].len(), 1);
        assert_eq!(recording.latency.len(), 3);
    }

    #[test]
    fn errors_of_many_kinds_do_not_grow_without_end() {
        let mut recording = Recording::new();
        for number in 0..1000 {
            recording.failed(&Fault::unexpected(format!("{number}")));
        }
        recording.failed(&Fault::unexpected("0"));
        assert_eq!(recording.errors.len(), MAX_KINDS + 1);
        assert_eq!(recording.errors["UNEXPECTED: 0"], 2);
        assert_eq!(recording.errors.values().sum::<u64>(), 1001);
    }
}
