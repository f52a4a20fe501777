//! Keyed hashes of what the tables look up.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes under a random key.
pub(crate) struct Hashes {
    tokens: RandomState,
    /// The key of runs and of projects.
    runs: [u64; 2],
}

impl Hashes {
    pub(crate) fn new() -> Self {
        let tokens = RandomState::new();
        let runs = [RandomState::new(), RandomState::new()].map(|state| state.hash_one(0));
        Self { tokens, runs }
    }

    /// The hash of a token.
    ///
    /// Tokens come from outside. Without a secret key, whoever chooses them could
    /// choose them to collide, which is why this is the standard library's `SipHash`
    /// and none of the faster functions.
    pub(crate) fn token(&self, project: u32, token: &[u8]) -> u64 {
        let mut hasher = self.tokens.build_hasher();
        // The number last: the hasher is faster with bytes that begin at a word of its own.
        hasher.write(token);
        hasher.write_u32(project);
        hasher.finish()
    }

    /// The hash of a run.
    ///
    /// The numbers of runs and projects are given out by this process, in order:
    /// nobody chooses them. One multiplication spreads them well enough.
    pub(crate) fn run(&self, project: u32, run: u64) -> u64 {
        let (run, project) = (run ^ self.runs[0], u64::from(project) ^ self.runs[1]);
        let product = u128::from(run) * u128::from(project);
        (product >> 64) as u64 ^ product as u64
    }
}
