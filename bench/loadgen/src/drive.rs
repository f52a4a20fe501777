//! Makes the calls: so many at a time, for a time or up to a number.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cpu::Usage;
use crate::fault::Fault;
use crate::record::Recording;

/// What a call did.
pub struct Done {
    /// A name for it.
    pub outcome: &'static str,
    /// How many operations it was.
    pub operations: u64,
    /// How long it took, where that is not the time of the call.
    pub latency: Option<Duration>,
}

impl Done {
    /// One operation.
    pub fn one(outcome: &'static str) -> Self {
        Self::of(outcome, 1)
    }

    /// Some operations.
    pub fn of(outcome: &'static str, operations: u64) -> Self {
        Self {
            outcome,
            operations,
            latency: None,
        }
    }
}

/// Makes one call after the other. There is one for each call in flight.
pub trait Caller: Send + 'static {
    /// Makes a call. No other call of the load gets the same number.
    fn call(&mut self, number: u64) -> impl Future<Output = Result<Done, Fault>> + Send;
}

/// How long calls are made.
#[derive(Clone, Copy)]
pub enum Limit {
    /// First unmeasured for the one time, then measured for the other.
    Time(Duration, Duration),
    /// Exactly so many, all of them measured.
    Calls(u64),
}

/// Makes calls with all `callers` at a time, until the limit is reached or every connection is
/// lost.
///
/// A call counts if it ends after the warm-up. Calls that are in flight when the time is over
/// are waited for and count, too, and so does the time until the last of them ends: the slowest
/// would be missing otherwise.
pub async fn drive<C: Caller>(limit: Limit, server: Option<u32>, callers: Vec<C>) -> Recording {
    let (warmup, time, calls) = match limit {
        Limit::Time(warmup, time) => (warmup, time, u64::MAX),
        // A century: there is no greatest instant.
        Limit::Calls(calls) => (Duration::ZERO, Duration::from_secs(100 * 31_557_600), calls),
    };
    let begin = Instant::now() + warmup;
    let end = begin + time;
    let next = Arc::new(AtomicU64::new(0));
    let recording = Arc::new(Mutex::new(Recording::new()));
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (next, recording) = (next.clone(), recording.clone());
        tasks.spawn(async move {
            let mut started = Instant::now();
            while started < end {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    break;
                }
                let result = caller.call(number).await;
                let ended = Instant::now();
                let mut recording = recording.lock().unwrap_or_else(PoisonError::into_inner);
                match result {
                    Ok(done) if ended >= begin => {
                        let latency = done.latency.unwrap_or(ended - started);
                        recording.done(&done, latency, ended - begin);
                    }
                    Ok(_) => {}
                    Err(fault) => {
                        recording.failed(&fault);
                        if matches!(fault, Fault::Lost(_)) {
                            break;
                        }
                    }
                }
                drop(recording);
                started = ended;
            }
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = Usage::now(server);
    tasks.join_all().await;
    let after = Usage::now(server);
    let seconds = begin.elapsed().as_secs_f64();
    let unused = Mutex::new(Recording::new());
    let recording = Arc::try_unwrap(recording).unwrap_or(unused);
    let mut recording = recording
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    recording.seconds = seconds;
    recording.client_cpu_seconds = after.client - before.client;
    recording.server_cpu_seconds = after.server.zip(before.server).map(|(a, b)| a - b);
    recording
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing {
        faults: bool,
    }

    impl Caller for Nothing {
        async fn call(&mut self, number: u64) -> Result<Done, Fault> {
            tokio::task::yield_now().await;
            match number % 3 {
                0 if self.faults => Err(Fault::unexpected("a third")),
                _ => Ok(Done::of("done", 2)),
            }
        }
    }

    fn callers(number: usize, faults: bool) -> Vec<Nothing> {
        (0..number).map(|_| Nothing { faults }).collect()
    }

    #[tokio::test]
    async fn a_count_is_kept_exactly() {
        let recording = drive(Limit::Calls(1000), None, callers(7, false)).await;
        assert_eq!((recording.calls, recording.operations), (1000, 2000));
        let recording = drive(Limit::Calls(3), None, callers(7, false)).await;
        assert_eq!(recording.calls, 3);
    }

    #[tokio::test]
    async fn faults_are_no_calls() {
        let recording = drive(Limit::Calls(999), None, callers(7, true)).await;
        assert_eq!(recording.calls, 666);
        assert_eq!(recording.errors["UNEXPECTED: a third"], 333);
    }

    #[tokio::test]
    async fn a_lost_connection_ends_its_caller() {
        struct Lost;
        impl Caller for Lost {
            async fn call(&mut self, _: u64) -> Result<Done, Fault> {
                Err(Fault::lost("gone"))
            }
        }
        let recording = drive(Limit::Calls(1000), None, vec![Lost, Lost]).await;
        assert_eq!(recording.errors["LOST: gone"], 2);
    }

    #[tokio::test]
    async fn a_time_is_measured_after_the_warm_up() {
        let times = Limit::Time(Duration::from_millis(60), Duration::from_millis(120));
        let recording = drive(times, None, callers(2, false)).await;
        assert!(recording.calls > 0);
        assert!(recording.seconds >= 0.12);
        assert!(recording.timeline.len() >= 2);
    }
}
