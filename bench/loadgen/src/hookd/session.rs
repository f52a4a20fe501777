//! What all loads share: connections, names, and how much is to be done.

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::batches::Batches;
use crate::drive::{Caller, Limit, drive};
use crate::grpc::{Channel, Method};
use crate::keys::{HookId, Keys, RunId, Token};
use crate::options::{Load, Options, TOKENS_PER_RUN, Target};
use crate::wire::Claim;

/// Calls in flight while a load is set up.
const SETUP_CALLS: u64 = 64;
/// Waiters of `wait-result`, and payloads of `long-run`, unless it is told otherwise.
const USUAL_COUNT: u64 = 10_000;

/// Open connections, and what is asked for.
pub struct Session {
    /// The command line.
    pub options: Options,
    /// One or more.
    channels: Vec<Channel>,
    /// The names of everything.
    pub names: Names,
    /// The runs that the load spreads over.
    pub runs: u64,
}

/// Which run, hook and token belongs to which claim.
#[derive(Clone)]
pub struct Names {
    /// The ids and tokens of the load.
    pub keys: Keys,
    /// The project; empty means the default one.
    pub project: String,
    /// So many claims in a row are of one run.
    per_run: u64,
    runs: u64,
}

impl Names {
    /// The names with so many claims in a row for one run.
    pub fn with_per_run(&self, per_run: u64) -> Self {
        Self {
            per_run,
            ..self.clone()
        }
    }

    /// The run of the claim with this number.
    pub fn run_of(&self, number: u64) -> RunId {
        self.keys.run(number / self.per_run % self.runs)
    }

    /// The hook of the claim with this number.
    pub fn hook(&self, number: u64) -> HookId {
        self.keys.hook(number)
    }

    /// The token of the claim with this number.
    pub fn token(&self, number: u64) -> Token {
        self.keys.token(number)
    }

    /// The claim with this number.
    pub fn claim(&self, number: u64) -> Claim {
        Claim {
            run: self.run_of(number),
            hook: self.hook(number),
            token: self.token(number),
        }
    }
}

impl Session {
    /// Opens the connections.
    ///
    /// # Errors
    ///
    /// The target cannot be reached.
    pub async fn connect(options: Options) -> anyhow::Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..options.connections.min(options.concurrency) {
            channels.push(Channel::connect(&options.address).await?);
        }
        let runs = options.runs();
        // What `fill` makes must be found by the loads that refer to it.
        let label = match options.load {
            Load::Fill | Load::ReleaseAll | Load::Get => "fill".to_owned(),
            other => other
                .to_possible_value()
                .context("a load")?
                .get_name()
                .to_owned(),
        };
        let per_run = match (options.load, options.count) {
            (Load::Claim | Load::Mixed, _) => 1,
            (Load::Fill, Some(count)) => count.div_ceil(runs),
            _ => TOKENS_PER_RUN,
        };
        let names = Names {
            keys: Keys::new(&options.prefix, options.seed, &label),
            project: options.project.clone(),
            per_run,
            runs,
        };
        Ok(Self {
            options,
            channels,
            names,
            runs,
        })
    }

    /// How long calls are made.
    pub fn limit(&self) -> Limit {
        match self.total() {
            Some(total) => Limit::Calls(total.div_ceil(self.options.per_call())),
            None => Limit::Time(self.options.warmup, self.options.seconds),
        }
    }

    /// How many operations are to be made; nothing if a time is to be measured.
    pub fn total(&self) -> Option<u64> {
        match self.options.load {
            Load::Fill => Some(self.options.count.unwrap_or(self.runs * TOKENS_PER_RUN)),
            Load::ReleaseAll => Some(self.runs),
            Load::WaitResult => Some(self.count()),
            Load::LongRun => None,
            _ => self.options.count,
        }
    }

    /// The batches of the load.
    pub fn batches(&self) -> Batches {
        Batches::new(self.options.per_call(), self.total())
    }

    /// The `--count` of a load in which it is no number of operations.
    pub fn count(&self) -> u64 {
        self.options.count.unwrap_or(USUAL_COUNT)
    }

    /// Whether answers are worth a look.
    pub fn checked(&self) -> bool {
        self.options.target == Target::Hookd
    }

    /// A method over each connection.
    pub fn methods(&self, path: &str) -> Vec<Method> {
        self.channels
            .iter()
            .map(|channel| channel.method(path))
            .collect()
    }

    /// A caller for each call in flight, from the number of its connection.
    pub fn callers<C>(&self, caller: impl Fn(usize) -> C) -> Vec<C> {
        let connections = self.channels.len();
        (0..self.options.concurrency as usize)
            .map(|i| caller(i % connections))
            .collect()
    }

    /// Makes `calls` calls that are not measured.
    ///
    /// # Errors
    ///
    /// One of them has failed.
    pub async fn set_up<C: Caller>(
        &self,
        calls: u64,
        caller: impl Fn(usize) -> C,
    ) -> anyhow::Result<()> {
        let connections = self.channels.len();
        let number = SETUP_CALLS.min(calls) as usize;
        let callers = (0..number).map(|i| caller(i % connections)).collect();
        let recording = drive(Limit::Calls(calls), None, callers).await;
        if let Some((error, times)) = recording.errors.first_key_value() {
            bail!("the load cannot be set up; {times} times: {error}");
        }
        Ok(())
    }
}
