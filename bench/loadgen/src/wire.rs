//! Requests in protobuf, written without an object for each message.
//!
//! A claim is made some hundred thousand times in a second; as objects its texts would be
//! allocated one by one. Seldom messages use the generated types.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::keys::{HookId, RunId, Token};

/// What stands before every gRPC message: "not compressed", and its length.
pub const FRAME_HEAD: usize = 5;

/// A claim of a token for a run.
pub struct Claim {
    /// The run.
    pub run: RunId,
    /// The hook to create.
    pub hook: HookId,
    /// The token to claim.
    pub token: Token,
}

impl Claim {
    /// `hookd.v1.HookSpec`
    fn spec_len(&self) -> usize {
        text_len(1, self.hook.as_str()) + text_len(2, self.token.as_str())
    }

    fn put_spec(&self, field: u32, out: &mut BytesMut) {
        put_head(field, self.spec_len(), out);
        put_text(1, self.hook.as_str(), out);
        put_text(2, self.token.as_str(), out);
    }

    /// `hookd.v1.HookClaim`
    fn len(&self) -> usize {
        text_len(1, self.run.as_str()) + nested_len(2, self.spec_len())
    }
}

/// Writes framed gRPC messages into one buffer, which is used again once they are sent.
#[derive(Default)]
pub struct Writer {
    buffer: BytesMut,
}

impl Writer {
    /// `hookd.v1.CreateHookRequest`, framed.
    pub fn create_hook(&mut self, project: &str, claim: &Claim) -> Bytes {
        self.framed(|out| {
            put_text(1, project, out);
            put_text(2, claim.run.as_str(), out);
            claim.put_spec(3, out);
        })
    }

    /// `hookd.v1.CreateHooksRequest`, framed.
    pub fn create_hooks(&mut self, project: &str, claims: impl Iterator<Item = Claim>) -> Bytes {
        self.framed(|out| {
            put_text(1, project, out);
            put_claims(2, claims, out);
        })
    }

    /// `hookd.v1.ClaimStreamRequest`, framed.
    pub fn claim_stream(
        &mut self,
        batch_id: u64,
        project: &str,
        claims: impl Iterator<Item = Claim>,
    ) -> Bytes {
        self.framed(|out| {
            if batch_id != 0 {
                encode_key(1, WireType::Varint, out);
                encode_varint(batch_id, out);
            }
            put_text(2, project, out);
            put_claims(3, claims, out);
        })
    }

    /// Any message, framed.
    pub fn message(&mut self, message: &impl prost::Message) -> Bytes {
        self.framed(|out| message.encode_raw(out))
    }

    fn framed(&mut self, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        self.buffer.put_bytes(0, FRAME_HEAD);
        write(&mut self.buffer);
        let length = (self.buffer.len() - FRAME_HEAD) as u32;
        self.buffer[1..FRAME_HEAD].copy_from_slice(&length.to_be_bytes());
        self.buffer.split().freeze()
    }
}

fn put_claims(field: u32, claims: impl Iterator<Item = Claim>, out: &mut BytesMut) {
    for claim in claims {
        put_head(field, claim.len(), out);
        put_text(1, claim.run.as_str(), out);
        claim.put_spec(2, out);
    }
}

fn text_len(field: u32, text: &str) -> usize {
    if text.is_empty() {
        0
    } else {
        nested_len(field, text.len())
    }
}

fn nested_len(field: u32, length: usize) -> usize {
    key_len(field) + encoded_len_varint(length as u64) + length
}

fn put_head(field: u32, length: usize, out: &mut BytesMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

fn put_text(field: u32, text: &str, out: &mut BytesMut) {
    if !text.is_empty() {
        put_head(field, text.len(), out);
        out.put_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::keys::Keys;
    use crate::pb::hookd::v1 as pb;

    fn claim(number: u64) -> Claim {
        let keys = Keys::new("p", 1, "test");
        Claim {
            run: keys.run(number),
            hook: keys.hook(number),
            token: keys.token(number),
        }
    }

    fn expected(number: u64) -> pb::HookClaim {
        let claim = claim(number);
        pb::HookClaim {
            run_id: claim.run.text(),
            hook: Some(pb::HookSpec {
                hook_id: claim.hook.text(),
                token: Some(claim.token.text()),
                ..Default::default()
            }),
        }
    }

    fn unframed(bytes: &[u8]) -> &[u8] {
        assert_eq!(bytes[0], 0);
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        assert_eq!(length, bytes.len() - FRAME_HEAD);
        &bytes[FRAME_HEAD..]
    }

    #[test]
    fn requests_are_what_the_generated_types_read_and_write() {
        let mut writer = Writer::default();
        for project in ["", "shop"] {
            let one = writer.create_hook(project, &claim(1));
            let pb::HookClaim { run_id, hook } = expected(1);
            let message = pb::CreateHookRequest {
                project: project.into(),
                run_id,
                hook,
            };
            assert_eq!(unframed(&one), message.encode_to_vec());

            let hooks: Vec<_> = (0..300).map(expected).collect();
            let many = writer.create_hooks(project, (0..300).map(claim));
            let message = pb::CreateHooksRequest {
                project: project.into(),
                hooks: hooks.clone(),
            };
            assert_eq!(unframed(&many), message.encode_to_vec());

            for batch_id in [0, 1, 300] {
                let part = writer.claim_stream(batch_id, project, (0..300).map(claim));
                let project = project.into();
                let message = pb::ClaimStreamRequest {
                    batch_id,
                    project,
                    hooks: hooks.clone(),
                };
                assert_eq!(unframed(&part), message.encode_to_vec());
            }
        }
    }

    #[test]
    fn any_message_is_framed() {
        let message = expected(5);
        let bytes = Writer::default().message(&message);
        assert_eq!(pb::HookClaim::decode(unframed(&bytes)).unwrap(), message);
    }
}
