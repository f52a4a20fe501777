//! The command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Tokens of a run that `fill` makes, unless it is told otherwise.
pub const TOKENS_PER_RUN: u64 = 10;

/// Whom the load is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A daemon.
    Hookd,
    /// A server that answers hookd's calls with nothing: the answers are not looked at.
    Empty,
    /// Redis.
    Redis,
    /// `PostgreSQL`; its address is a list of settings, `host=… port=… user=… dbname=…`.
    Postgres,
    /// etcd.
    Etcd,
}

/// What the calls are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// One new token for each call.
    Claim,
    /// A batch of new tokens for each call.
    ClaimBatch,
    /// Batches of new tokens over one stream for each connection.
    ClaimStream,
    /// One token that is taken.
    Conflict,
    /// Batches that ask for a token that is taken.
    ConflictBatch,
    /// The same over one stream for each connection.
    ConflictStream,
    /// A claim and its release.
    ClaimRelease,
    /// Payloads for one hook.
    ResumeOne,
    /// Payloads for a hook of each run.
    ResumeMany,
    /// New runs with one claim each.
    StartClaim,
    /// Whole lives: a new run with one claim, completed.
    StartComplete,
    /// Waiters for the results of as many runs; measured from the completion's sending to the
    /// waiter's answer.
    WaitResult,
    /// 50 % claims, 20 % payloads, 15 % releases, 10 % reads, 5 % conflicts.
    Mixed,
    /// Hooks read by their tokens.
    Get,
    /// Many tokens, to stay.
    Fill,
    /// Completes the runs that `fill` made with the same prefix, seed, count and runs.
    ReleaseAll,
    /// Payloads for a run with a long log, and reads of the log's tail, by turns.
    LongRun,
}

/// Puts load on a server and prints what it measured as one JSON object.
///
/// The exit status is 1 if a call had an outcome that the load does not expect.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Whom the load is put on.
    #[arg(long)]
    pub target: Target,
    /// Where the target is, as `HOST:PORT`.
    #[arg(long)]
    pub address: String,
    /// What the calls are.
    #[arg(long)]
    pub load: Load,
    /// Calls in flight, over all connections together.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// Connections; never more than calls in flight.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// How long to measure, in seconds.
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub seconds: Duration,
    /// How long to make calls before measuring, in seconds.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    pub warmup: Duration,
    /// Threads that make the calls.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: u32,
    /// Goes into every id and token. The same prefix and seed make the same tokens again.
    #[arg(long, default_value = "load")]
    pub prefix: String,
    /// Goes into every id and token.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Runs that the load spreads over; 100 unless `fill` has a count to derive it from.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub runs: Option<u64>,
    /// Claims of a batch.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub batch: u64,
    /// The project; empty means the default one.
    #[arg(long, default_value = "")]
    pub project: String,
    /// Redis commands that go out together in `claim-batch`.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    pub pipeline: u64,
    /// Make exactly so many operations, without a warm-up, instead of measuring for a time. In
    /// `wait-result` it is the number of waiters, in `long-run` the length of the log.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// A process whose processor time to report, with its children's, for what is measured.
    #[arg(long)]
    pub pid: Option<u32>,
}

impl Options {
    /// The runs that the load spreads over.
    pub fn runs(&self) -> u64 {
        self.runs.unwrap_or(match (self.load, self.count) {
            (Load::Fill | Load::ReleaseAll, Some(count)) => count.div_ceil(TOKENS_PER_RUN),
            _ => 100,
        })
    }

    /// How many claims one call makes.
    pub fn per_call(&self) -> u64 {
        match (self.target, self.load) {
            (Target::Redis, Load::ClaimBatch) => self.pipeline,
            (
                _,
                Load::ClaimBatch
                | Load::ClaimStream
                | Load::ConflictBatch
                | Load::ConflictStream
                | Load::Fill,
            ) => self.batch,
            _ => 1,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> Result<Options, clap::Error> {
        let least = ["hookd-loadgen", "--target=hookd", "--address=localhost:1"];
        Options::try_parse_from(least.iter().chain(more))
    }

    #[test]
    fn names_are_in_kebab_case_and_defaults_hold() {
        let options = parse(&["--load", "claim-stream", "--seconds", "0.25"]).unwrap();
        assert_eq!(options.load, Load::ClaimStream);
        assert_eq!(options.seconds, Duration::from_millis(250));
        assert_eq!(options.warmup, Duration::from_millis(500));
        assert_eq!((options.runs(), options.per_call()), (100, 256));
    }

    #[test]
    fn fill_and_its_release_derive_the_runs_from_the_count() {
        for load in ["fill", "release-all"] {
            assert_eq!(
                parse(&["--load", load, "--count", "1001"]).unwrap().runs(),
                101
            );
            let both = parse(&["--load", load, "--count", "1001", "--runs", "7"]).unwrap();
            assert_eq!(both.runs(), 7);
        }
        assert_eq!(
            parse(&["--load", "claim", "--count", "1001"])
                .unwrap()
                .runs(),
            100
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["--load", "claim", "--seconds=-1"]).is_err());
        assert!(parse(&["--load", "claim", "--concurrency", "0"]).is_err());
        assert!(parse(&["--load", "claim", "--batch", "1025"]).is_err());
        assert!(parse(&["--load", "dance"]).is_err());
    }
}
