//! What can go wrong with a call.

use std::fmt;

use bytes::Bytes;

/// Why a call did not have the outcome that the load expects.
#[derive(Debug)]
pub enum Fault {
    /// The server has refused it.
    Refused(Refusal),
    /// The answer is there, and is not what the load expects.
    Unexpected(String),
    /// The connection is gone; it is of no more use.
    Lost(String),
}

/// A refusal over gRPC.
#[derive(Debug)]
pub struct Refusal {
    /// The status code; see [`ALREADY_EXISTS`].
    pub code: u32,
    /// The status message.
    pub message: String,
    /// The trailer `grpc-status-details-bin`, still in base64.
    pub details: Option<Bytes>,
}

/// The status code of a conflict.
pub const ALREADY_EXISTS: u32 = 6;

/// The names of the gRPC status codes.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Fault {
    /// An answer that the load does not expect.
    pub fn unexpected(what: impl Into<String>) -> Self {
        Self::Unexpected(what.into())
    }

    /// The end of a connection.
    pub fn lost(what: impl fmt::Display) -> Self {
        Self::Lost(what.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => {
                let name = CODES.get(refusal.code as usize).unwrap_or(&"UNKNOWN");
                write!(out, "{name}: {}", refusal.message)
            }
            Self::Unexpected(what) => write!(out, "UNEXPECTED: {what}"),
            Self::Lost(what) => write!(out, "LOST: {what}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<prost::DecodeError> for Fault {
    fn from(error: prost::DecodeError) -> Self {
        Self::Unexpected(error.to_string())
    }
}
