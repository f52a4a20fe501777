//! The record of a claim, as far as whoever loses to it is told.

use crate::wire::{Fields, Malformed, Value, text};

/// A `ClaimRecord` of `hookd_daemon.records.v1`.
#[derive(Default)]
pub(crate) struct Claim {
    pub(crate) run_uid: u64,
    pub(crate) run_id: String,
    pub(crate) hook_id: String,
    pub(crate) revision: u64,
    pub(crate) claimed_ms: u64,
    expires_ms: u64,
    held_until_ms: u64,
    pub(crate) traceparent: String,
}

impl Claim {
    pub(crate) fn read(record: &[u8]) -> Result<Self, Malformed> {
        let mut claim = Self::default();
        for field in Fields::of(record) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Number(value)) => claim.run_uid = value,
                (2, Value::Bytes(value)) => text(value)?.clone_into(&mut claim.run_id),
                (3, Value::Bytes(value)) => text(value)?.clone_into(&mut claim.hook_id),
                (4, Value::Number(value)) => claim.revision = value,
                (5, Value::Number(value)) => claim.claimed_ms = value,
                (6, Value::Number(value)) => claim.expires_ms = value,
                (8, Value::Number(value)) => claim.held_until_ms = value,
                (9, Value::Bytes(value)) => text(value)?.clone_into(&mut claim.traceparent),
                _ => {}
            }
        }
        Ok(claim)
    }

    /// Its time has passed, and it was not ended yet.
    pub(crate) fn is_overdue(&self, now_ms: u64) -> bool {
        let end = if self.held_until_ms > 0 {
            self.held_until_ms
        } else {
            self.expires_ms
        };
        end > 0 && end <= now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    fn claim(expires_ms: u64, held_until_ms: u64) -> Claim {
        let mut record = Message::default();
        record.number(1, 77);
        record.text(2, "run");
        record.number(6, expires_ms);
        record.number(7, 1);
        record.number(8, held_until_ms);
        Claim::read(record.as_bytes()).expect("a record")
    }

    #[test]
    fn a_hold_counts_before_a_ttl() {
        assert!(!claim(0, 0).is_overdue(u64::MAX));
        assert!(claim(10, 0).is_overdue(10));
        assert!(!claim(10, 0).is_overdue(9));
        assert!(!claim(10, 20).is_overdue(19));
        assert!(claim(10, 20).is_overdue(20));
    }
}
