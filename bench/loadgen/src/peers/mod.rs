//! The same claims on what people use instead.
//!
//! A token is a key there, and what hookd tells about an owner is its value.

use clap::ValueEnum;

use crate::batches::Batches;
use crate::drive::Limit;
use crate::keys::Keys;
use crate::options::{Load, Options};

pub mod etcd;
pub mod postgres;
pub mod redis;

/// What stands with a token: as long as the facts that hookd keeps about an owner.
const OWNER: &str =
    r#"{"run":"run_0123456789abcdefghijkl","hook":"hook_0123456789abcdefghijkl","n":42}"#;

/// The tokens of the load.
fn keys(options: &Options) -> Keys {
    let load = options.load.to_possible_value();
    let name = load.as_ref().map_or("", |load| load.get_name());
    Keys::new(&options.prefix, options.seed, name)
}

/// The batches of the load.
fn batches(options: &Options) -> Batches {
    Batches::new(options.per_call(), options.count)
}

/// How long calls are made.
fn limit(options: &Options) -> Limit {
    match options.count {
        Some(count) => Limit::Calls(count.div_ceil(options.per_call())),
        None => Limit::Time(options.warmup, options.seconds),
    }
}

/// How many connections there are.
fn connections(options: &Options) -> u32 {
    options.connections.min(options.concurrency)
}

/// A caller for each call in flight, from one of the connections.
fn callers<T, C>(options: &Options, connections: &[T], caller: impl Fn(&T) -> C) -> Vec<C> {
    connections
        .iter()
        .cycle()
        .take(options.concurrency as usize)
        .map(caller)
        .collect()
}

/// Whether a peer can be asked for it.
fn has(load: Load, batches: bool) -> bool {
    match load {
        Load::Claim | Load::Conflict | Load::ClaimRelease => true,
        Load::ClaimBatch => batches,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_80_bytes() {
        assert_eq!(OWNER.len(), 80);
    }
}
