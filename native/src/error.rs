//! What the index refuses.
//!
//! Tokens are bearer secrets, so errors name the position of a token in its
//! call and never the token.

use std::fmt;

/// A call that the index refused. It has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// A token is empty or longer than [`crate::index::MAX_TOKEN_BYTES`].
    TokenLength {
        /// Where in the call it stands.
        position: usize,
        /// How many bytes it has.
        length: usize,
    },
    /// A token given to `load` has an owner already, maybe from the same call.
    TokenTaken {
        /// Where in the call it stands.
        position: usize,
        /// The run that owns it.
        run: u64,
        /// The revision of that claim.
        revision: u64,
    },
    /// Sequences that belong together differ in length.
    LengthMismatch {
        /// The number of tokens.
        tokens: usize,
        /// The number of the values that go with them.
        values: usize,
    },
    /// The last revision of a batch does not fit 64 bits.
    RevisionOverflow,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenLength { position, length } => write!(
                f,
                "token {position} has {length} bytes, not 1 to {}",
                crate::index::MAX_TOKEN_BYTES
            ),
            Self::TokenTaken {
                position,
                run,
                revision,
            } => write!(
                f,
                "token {position} is already claimed by run {run} with revision {revision}"
            ),
            Self::LengthMismatch { tokens, values } => {
                write!(f, "{values} values for {tokens} tokens")
            }
            Self::RevisionOverflow => write!(f, "the batch's last revision exceeds 64 bits"),
        }
    }
}

impl std::error::Error for IndexError {}
