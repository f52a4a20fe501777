//! Puts load on hookd, on a server that does nothing, or on a peer, and measures it.
//!
//! Every call's outcome is checked: a benchmark of refusals would be fast, too. Prints one JSON
//! object.

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use crate::options::{Options, Target};
use crate::record::Recording;

mod batches;
mod cpu;
mod drive;
mod fault;
mod grpc;
mod hookd;
mod keys;
#[cfg(test)]
mod loopback;
mod options;
mod pb;
mod peers;
mod pipe;
mod record;
mod report;
mod wire;

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hookd-loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what was measured; the exit status tells whether it was all as expected.
fn measure(options: &Options) -> anyhow::Result<ExitCode> {
    // One thread needs no scheduler that can share work.
    let runtime = if options.threads == 1 {
        Builder::new_current_thread().enable_all().build()?
    } else {
        let threads = options.threads as usize;
        Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()?
    };
    // Spawned as a whole: the threads of the runtime do all the work.
    let load = runtime.spawn(load(options.clone()));
    let Some(recording) = runtime.block_on(load)?? else {
        println!("{}", report::unsupported(options));
        return Ok(ExitCode::SUCCESS);
    };
    println!("{}", report::measured(options, &recording));
    runtime.shutdown_background();
    Ok(if recording.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Nothing if the target knows no such load.
async fn load(options: Options) -> anyhow::Result<Option<Recording>> {
    match options.target {
        Target::Hookd | Target::Empty => hookd::run(options).await,
        Target::Redis => peers::redis::run(options).await,
        Target::Postgres => peers::postgres::run(options).await,
        Target::Etcd => peers::etcd::run(options).await,
    }
}
