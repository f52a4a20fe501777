//! The records of a plain claim, written as protobuf without any object.
//!
//! A claim writes three small messages: the event, the hook and the claim.
//! Made as protobuf objects in Python they cost more than everything else
//! about the claim together. The schemas are `hookd.v1.Event` and those of
//! `hookd_daemon.records.v1`; a test holds these bytes against the generated
//! code.

/// What a plain claim consists of: one without `ttl`, `hold_after`, metadata
/// or trace context.
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
}

impl PlainClaim<'_> {
    /// The `hookd.v1.Event` with its `hook_created`.
    #[must_use]
    pub fn event(&self) -> Vec<u8> {
        let mut created = Message::with_capacity(self.token.len() + 16);
        created.text(1, self.token);
        created.number(5, self.revision);
        let mut time = Message::with_capacity(16);
        time.number(1, self.now_ms / 1000);
        time.number(2, self.now_ms % 1000 * 1_000_000);
        let mut event = Message::with_capacity(created.len() + self.hook_id.len() + 40);
        event.number(1, self.seq);
        event.bytes(2, &time.0);
        event.text(3, self.hook_id);
        event.bytes(20, &created.0);
        event.0
    }

    /// The `HookRecord`.
    #[must_use]
    pub fn hook(&self) -> Vec<u8> {
        let mut hook = Message::with_capacity(self.token.len() + 40);
        hook.text(1, self.token);
        hook.number(3, self.revision);
        hook.number(4, self.seq);
        hook.number(5, self.now_ms);
        hook.number(9, u64::from(self.generated));
        hook.0
    }

    /// The `ClaimRecord`.
    #[must_use]
    pub fn claim(&self) -> Vec<u8> {
        let mut claim = Message::with_capacity(self.run_id.len() + self.hook_id.len() + 40);
        claim.number(1, self.run_uid);
        claim.text(2, self.run_id);
        claim.text(3, self.hook_id);
        claim.number(4, self.revision);
        claim.number(5, self.now_ms);
        claim.0
    }
}

/// A protobuf message under construction. As in proto3, what is 0 or empty is
/// left out.
struct Message(Vec<u8>);

impl Message {
    fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits, and the mark that more follow.
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3);
            self.varint(value);
        }
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, field: u64, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    #[test]
    fn numbers_are_base_128() {
        let mut message = Message::with_capacity(0);
        message.number(1, 150);
        assert_eq!(message.0, [0x08, 0x96, 0x01]);
    }

    #[test]
    fn zero_and_empty_are_left_out() {
        let mut message = Message::with_capacity(0);
        message.number(1, 0);
        message.text(2, "");
        assert_eq!(message.len(), 0);
    }

    #[test]
    fn a_field_above_15_has_a_tag_of_two_bytes() {
        let mut message = Message::with_capacity(0);
        message.text(20, "a");
        assert_eq!(message.0, [0xa2, 0x01, 0x01, b'a']);
    }
}
