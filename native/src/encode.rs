//! The records of a plain claim, written as protobuf without any object.
//!
//! A claim writes three small messages: the event, the hook and the claim.
//! Made as protobuf objects in Python they cost more than everything else
//! about the claim together. The schemas are `hookd.v1.Event` and those of
//! `hookd_daemon.records.v1`; a test holds these bytes against the generated
//! code.

use crate::wire::Message;

/// `HOOK_STATE_CONFLICTED`.
const CONFLICTED: u64 = 3;

/// What a plain claim consists of: one without `ttl`, `hold_after` or metadata.
pub struct PlainClaim<'a> {
    /// The run's uid.
    pub run_uid: u64,
    /// The run's id.
    pub run_id: &'a str,
    /// The hook's id.
    pub hook_id: &'a str,
    /// The token.
    pub token: &'a str,
    /// The token was made by the daemon.
    pub generated: bool,
    /// The claim's fencing number.
    pub revision: u64,
    /// The event's position in the log.
    pub seq: u64,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// The W3C trace context of the call; empty for none.
    pub traceparent: &'a str,
}

impl PlainClaim<'_> {
    /// The `hookd.v1.Event` with its `hook_created`.
    #[must_use]
    pub fn event(&self) -> Vec<u8> {
        let mut created = Message::with_capacity(self.token.len() + 16);
        created.text(1, self.token);
        created.number(5, self.revision);
        event(self.seq, self.now_ms, self.hook_id, 20, created.as_bytes())
    }

    /// The `HookRecord`.
    #[must_use]
    pub fn hook(&self) -> Vec<u8> {
        self.hook_with(0, self.revision)
    }

    /// The `HookRecord` when the claim is lost.
    pub(crate) fn lost_hook(&self) -> Vec<u8> {
        self.hook_with(CONFLICTED, 0)
    }

    fn hook_with(&self, state: u64, revision: u64) -> Vec<u8> {
        let mut hook = Message::with_capacity(self.token.len() + 40);
        hook.text(1, self.token);
        hook.number(2, state);
        hook.number(3, revision);
        hook.number(4, self.seq);
        hook.number(5, self.now_ms);
        hook.number(9, u64::from(self.generated));
        hook.into_bytes()
    }

    /// The `ClaimRecord`.
    #[must_use]
    pub fn claim(&self) -> Vec<u8> {
        let lengths = self.run_id.len() + self.hook_id.len() + self.traceparent.len();
        let mut claim = Message::with_capacity(lengths + 40);
        claim.number(1, self.run_uid);
        claim.text(2, self.run_id);
        claim.text(3, self.hook_id);
        claim.number(4, self.revision);
        claim.number(5, self.now_ms);
        claim.text(9, self.traceparent);
        claim.into_bytes()
    }
}

/// A `hookd.v1.Event` whose `data` is the field `number`.
pub(crate) fn event(
    seq: u64,
    now_ms: u64,
    correlation_id: &str,
    number: u64,
    data: &[u8],
) -> Vec<u8> {
    let mut event = Message::with_capacity(data.len() + correlation_id.len() + 40);
    event.number(1, seq);
    event.time(2, now_ms);
    event.text(3, correlation_id);
    event.bytes(number, data);
    event.into_bytes()
}
