//! The record of a run, as far as a claim reads and changes it.
//!
//! The schema is `RunRecord` of `hookd_daemon.records.v1`. Fields that are not
//! named here are kept as they are, byte by byte.

use crate::wire::{Fields, Malformed, Message, Value, text};

const UID: u64 = 1;
const WORKFLOW: u64 = 2;
const STATUS: u64 = 3;
const LAST_SEQ: u64 = 4;
const CREATED_MS: u64 = 5;
const STARTED_MS: u64 = 6;
const LEASE_TTL_MS: u64 = 9;
const LEASE_UNTIL_MS: u64 = 10;

/// `RUN_STATUS_PENDING`.
pub(crate) const PENDING: u64 = 1;
/// `RUN_STATUS_RUNNING`.
pub(crate) const RUNNING: u64 = 2;

/// A run that claims are made for, or that owns a token.
pub(crate) struct Run<V> {
    value: V,
    pub(crate) uid: u64,
    pub(crate) status: u64,
    pub(crate) last_seq: u64,
    pub(crate) created_ms: u64,
    started_ms: u64,
    lease_ttl_ms: u64,
    lease_until_ms: u64,
    /// Its log has grown, and its record is to be written.
    pub(crate) grown: bool,
}

impl<V: AsRef<[u8]>> Run<V> {
    pub(crate) fn read(value: V, booted_ms: u64) -> Result<Self, Malformed> {
        let mut numbers = [0; 11];
        for field in Fields::of(value.as_ref()) {
            let field = field?;
            if let (Some(place), Value::Number(number)) =
                (numbers.get_mut(field.number as usize), field.value)
            {
                *place = number;
            }
        }
        let mut run = Self {
            uid: numbers[UID as usize],
            status: numbers[STATUS as usize],
            last_seq: numbers[LAST_SEQ as usize],
            created_ms: numbers[CREATED_MS as usize],
            started_ms: numbers[STARTED_MS as usize],
            lease_ttl_ms: numbers[LEASE_TTL_MS as usize],
            lease_until_ms: numbers[LEASE_UNTIL_MS as usize],
            value,
            grown: false,
        };
        if run.lease_ttl_ms > 0 && run.is_active() {
            // After a restart every lease has its full time again.
            run.lease_until_ms = run.lease_until_ms.max(booted_ms + run.lease_ttl_ms);
        }
        Ok(run)
    }

    pub(crate) fn is_active(&self) -> bool {
        matches!(self.status, PENDING | RUNNING)
    }

    /// Its lease has lapsed, and it was not ended yet.
    pub(crate) fn is_overdue(&self, now_ms: u64) -> bool {
        self.is_active() && self.lease_ttl_ms > 0 && self.lease_until_ms <= now_ms
    }

    /// The name of its workflow.
    pub(crate) fn workflow(&self) -> &str {
        Fields::of(self.value.as_ref())
            .flatten()
            .find_map(|field| match (field.number, field.value) {
                (WORKFLOW, Value::Bytes(name)) => Some(text(name).unwrap_or_default()),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// The position of the next event, which is from now on the last.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.grown = true;
        self.last_seq += 1;
        self.last_seq
    }

    /// Somebody works on it from now on.
    pub(crate) fn begin(&mut self, now_ms: u64) {
        self.status = RUNNING;
        self.started_ms = now_ms;
    }

    /// The record as it is to be written.
    pub(crate) fn record(&self) -> Vec<u8> {
        let old = self.value.as_ref();
        let mut record = Message::with_capacity(old.len() + 24);
        let mut new = [
            (STATUS, self.status),
            (LAST_SEQ, self.last_seq),
            (STARTED_MS, self.started_ms),
            (LEASE_UNTIL_MS, self.lease_until_ms),
        ]
        .into_iter()
        .peekable();
        // In the order of the numbers, as the generated code writes them.
        for field in Fields::of(old).flatten() {
            while let Some((number, value)) = new.next_if(|(number, _)| *number <= field.number) {
                record.number(number, value);
            }
            if ![STATUS, LAST_SEQ, STARTED_MS, LEASE_UNTIL_MS].contains(&field.number) {
                record.raw(field.raw);
            }
        }
        for (number, value) in new {
            record.number(number, value);
        }
        record.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Message {
        let mut record = Message::default();
        record.number(UID, 77);
        record.text(WORKFLOW, "checkout");
        record.number(STATUS, PENDING);
        record.number(LAST_SEQ, 1);
        record.number(CREATED_MS, 1000);
        record.number(8, 1);
        record.number(LEASE_TTL_MS, 500);
        record.number(LEASE_UNTIL_MS, 1500);
        record.text(11, "digest");
        record.number(29, 3);
        record
    }

    #[test]
    fn what_a_claim_does_not_know_stays() {
        let mut run = Run::read(stored().into_bytes(), 0).expect("a record");
        assert_eq!((run.uid, run.workflow()), (77, "checkout"));
        assert_eq!(run.next_seq(), 2);
        run.begin(1234);

        let mut wanted = Message::default();
        wanted.number(UID, 77);
        wanted.text(WORKFLOW, "checkout");
        wanted.number(STATUS, RUNNING);
        wanted.number(LAST_SEQ, 2);
        wanted.number(CREATED_MS, 1000);
        wanted.number(STARTED_MS, 1234);
        wanted.number(8, 1);
        wanted.number(LEASE_TTL_MS, 500);
        wanted.number(LEASE_UNTIL_MS, 1500);
        wanted.text(11, "digest");
        wanted.number(29, 3);
        assert_eq!(run.record(), wanted.into_bytes());
    }

    #[test]
    fn a_lease_has_its_full_time_after_a_restart() {
        let run = Run::read(stored().into_bytes(), 5000).expect("a record");
        assert!(!run.is_overdue(5499));
        assert!(run.is_overdue(5500));
    }
}
