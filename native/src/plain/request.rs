//! Requests for plain claims, read from their bytes.
//!
//! A claim is plain when it has an id, a token and nothing else: no metadata,
//! no `ttl`, no `hold_after`. Whatever is not plain, or not right, is left to
//! the daemon's Python code, which has the checks and the words for it.

use crate::index::MAX_TOKEN_BYTES;
use crate::wire::{Field, Fields, Malformed, Value, text};

const MAX_ITEMS: usize = 1024;
const MAX_ID_BYTES: usize = 128;
const MAX_PROJECT_BYTES: usize = 64;
const DEFAULT_PROJECT: &str = "default";

/// Which request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `CreateHookRequest`.
    One,
    /// `CreateHooksRequest`.
    Batch,
    /// `ClaimStreamRequest`.
    Stream,
}

/// One claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) hook_id: &'a str,
    pub(crate) token: &'a str,
}

/// A request that has only plain claims.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) kind: Kind,
    pub(crate) project: &'a str,
    /// Of a batch of a stream, the caller's number; else 0.
    pub(crate) batch_id: u64,
    pub(crate) items: Vec<Item<'a>>,
}

/// Where the fields stand in each kind of request.
struct Layout {
    batch_id: u64,
    project: u64,
    hooks: u64,
}

/// Not a field number.
const NONE: u64 = 0;

impl<'a> Request<'a> {
    /// Reads a request; `None` when it is not plain.
    pub(crate) fn parse(kind: Kind, bytes: &'a [u8], max_token_bytes: usize) -> Option<Self> {
        let request = Self::read(kind, bytes).ok()?;
        let max_token_bytes = max_token_bytes.min(MAX_TOKEN_BYTES);
        let is_right = is_project(request.project)
            && request.items.len() <= MAX_ITEMS
            && request.items.iter().all(|item| {
                is_id(item.run_id)
                    && is_id(item.hook_id)
                    && (1..=max_token_bytes).contains(&item.token.len())
            });
        is_right.then_some(request)
    }

    fn read(kind: Kind, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Self {
            kind,
            project: DEFAULT_PROJECT,
            batch_id: 0,
            items: Vec::new(),
        };
        match kind {
            Kind::One => request.read_one(bytes)?,
            Kind::Batch => request.read_many(
                bytes,
                &Layout {
                    batch_id: NONE,
                    project: 1,
                    hooks: 2,
                },
            )?,
            Kind::Stream => request.read_many(
                bytes,
                &Layout {
                    batch_id: 1,
                    project: 2,
                    hooks: 3,
                },
            )?,
        }
        Ok(request)
    }

    fn read_one(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut parts = Parts::default();
        for field in Fields::of(bytes) {
            let field = field?;
            match field.number {
                1 => self.set_project(field)?,
                2 => set(&mut parts.run_id, field)?,
                3 => set(&mut parts.hook, field)?,
                _ => return Err(Malformed),
            }
        }
        self.items.push(parts.item()?);
        Ok(())
    }

    fn read_many(&mut self, bytes: &'a [u8], layout: &Layout) -> Result<(), Malformed> {
        for field in Fields::of(bytes) {
            let field = field?;
            match (field.number, field.value) {
                (number, Value::Bytes(claim)) if number == layout.hooks => {
                    self.items.push(Parts::of_claim(claim)?.item()?);
                }
                (number, Value::Number(value)) if number == layout.batch_id => {
                    self.batch_id = value;
                }
                (number, _) if number == layout.project => self.set_project(field)?,
                _ => return Err(Malformed),
            }
        }
        Ok(())
    }

    fn set_project(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        let Value::Bytes(project) = field.value else {
            return Err(Malformed);
        };
        self.project = match text(project)? {
            "" => DEFAULT_PROJECT,
            project => project,
        };
        Ok(())
    }
}

/// What a claim is made of, as far as it was read.
#[derive(Default)]
struct Parts<'a> {
    run_id: Option<&'a [u8]>,
    hook: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Reads a `HookClaim`.
    fn of_claim(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = Self::default();
        for field in Fields::of(bytes) {
            let field = field?;
            match field.number {
                1 => set(&mut parts.run_id, field)?,
                2 => set(&mut parts.hook, field)?,
                _ => return Err(Malformed),
            }
        }
        Ok(parts)
    }

    /// Reads the `HookSpec`.
    fn item(self) -> Result<Item<'a>, Malformed> {
        let (mut hook_id, mut token) = (None, None);
        for field in Fields::of(self.hook.ok_or(Malformed)?) {
            let field = field?;
            match field.number {
                1 => set(&mut hook_id, field)?,
                2 => set(&mut token, field)?,
                _ => return Err(Malformed),
            }
        }
        Ok(Item {
            run_id: text(self.run_id.ok_or(Malformed)?)?,
            hook_id: text(hook_id.ok_or(Malformed)?)?,
            token: text(token.ok_or(Malformed)?)?,
        })
    }
}

/// Keeps the bytes of a field. What stands there twice is left to others:
/// protobuf merges the two if they are messages.
fn set<'a>(place: &mut Option<&'a [u8]>, field: Field<'a>) -> Result<(), Malformed> {
    match (field.value, &place) {
        (Value::Bytes(bytes), None) => {
            *place = Some(bytes);
            Ok(())
        }
        _ => Err(Malformed),
    }
}

/// An id that a caller has chosen: visible ASCII.
fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_project(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=MAX_PROJECT_BYTES).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    fn spec(hook_id: &str, token: &str) -> Message {
        let mut spec = Message::default();
        spec.text(1, hook_id);
        spec.bytes(2, token.as_bytes());
        spec
    }

    fn one(project: &str, run_id: &str, spec: &Message) -> Vec<u8> {
        let mut request = Message::default();
        request.text(1, project);
        request.text(2, run_id);
        request.bytes(3, spec.as_bytes());
        request.into_bytes()
    }

    fn parsed(bytes: &[u8]) -> Option<Request<'_>> {
        Request::parse(Kind::One, bytes, 512)
    }

    #[test]
    fn a_claim_is_read() {
        let bytes = one("shop", "run", &spec("hook", "order:1"));
        let item = Item {
            run_id: "run",
            hook_id: "hook",
            token: "order:1",
        };
        let request = parsed(&bytes).expect("plain");
        assert_eq!((request.project, request.items), ("shop", vec![item]));
    }

    #[test]
    fn no_project_is_the_default_one() {
        let bytes = one("", "run", &spec("hook", "token"));
        assert_eq!(parsed(&bytes).expect("plain").project, "default");
    }

    #[test]
    fn a_batch_of_a_stream_is_read() {
        let mut claim = Message::default();
        claim.text(1, "run");
        claim.bytes(2, spec("hook", "token").as_bytes());
        let mut request = Message::default();
        request.number(1, 7);
        request.text(2, "shop");
        request.bytes(3, claim.as_bytes());
        request.bytes(3, claim.as_bytes());
        let request = Request::parse(Kind::Stream, request.as_bytes(), 512).expect("plain");
        assert_eq!((request.batch_id, request.items.len()), (7, 2));
    }

    #[test]
    fn what_is_not_right_is_left_to_others() {
        let good = spec("hook", "token");
        for (project, run_id) in [
            ("shop!", "run"),
            ("-shop", "run"),
            ("shop", ""),
            ("shop", "a run"),
            ("shop", "r\u{fc}n"),
        ] {
            assert_eq!(parsed(&one(project, run_id, &good)), None);
        }
        let long = "x".repeat(129);
        for spec in [spec("", "token"), spec(&long, "token"), spec("hook", "")] {
            assert_eq!(parsed(&one("shop", "run", &spec)), None);
        }
        let token = "x".repeat(513);
        assert_eq!(parsed(&one("shop", "run", &spec("hook", &token))), None);
        assert!(parsed(&one("shop", "run", &spec("hook", &token[1..]))).is_some());
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        for field in 3..=6 {
            let mut more = spec("hook", "token");
            more.bytes(field, b"");
            assert_eq!(parsed(&one("shop", "run", &more)), None);
        }
        let mut without = Message::default();
        without.text(1, "hook");
        assert_eq!(parsed(&one("shop", "run", &without)), None);
    }

    #[test]
    fn what_stands_there_twice_is_left_to_others() {
        let mut bytes = one("shop", "run", &spec("hook", "token"));
        let mut again = Message::default();
        again.bytes(3, spec("hook", "token").as_bytes());
        bytes.extend(again.as_bytes());
        assert_eq!(parsed(&bytes), None);
    }
}
