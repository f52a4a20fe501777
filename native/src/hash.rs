//! Keyed hashes of what the tables look up.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes under a random key.
///
/// Tokens come from outside. Without a secret key, whoever chooses them could
/// choose them to collide, which is why this is the standard library's `SipHash`
/// and none of the faster functions.
pub(crate) struct Hashes(RandomState);

impl Hashes {
    pub(crate) fn new() -> Self {
        Self(RandomState::new())
    }

    pub(crate) fn token(&self, project: u32, token: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u32(project);
        hasher.write(token);
        hasher.finish()
    }

    pub(crate) fn run(&self, project: u32, run: u64) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u32(project);
        hasher.write_u64(run);
        hasher.finish()
    }
}
