//! Answers to plain claims, as the bytes of the API's messages.

use crate::plain::request::{Item, Kind, Request};
use crate::wire::Message;

/// `HOOK_STATUS_ACTIVE`.
const ACTIVE: u64 = 1;
/// The gRPC status `ALREADY_EXISTS`.
const ALREADY_EXISTS: u64 = 6;
/// `ERROR_REASON_HOOK_CONFLICT`.
const HOOK_CONFLICT: u64 = 1;
/// A token in a message is cut after so many characters, as in Python's `errors`.
const SHOWN_TOKEN_CHARS: usize = 128;
const STATUS_NAMES: [&str; 6] = [
    "unspecified",
    "pending",
    "running",
    "completed",
    "failed",
    "cancelled",
];

/// The owner of a token, as whoever lost it is told.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) hook_id: &'a str,
    pub(crate) run_status: u64,
    pub(crate) workflow: &'a str,
    pub(crate) claimed_ms: u64,
    pub(crate) revision: u64,
    pub(crate) traceparent: &'a str,
}

impl Owner<'_> {
    /// The `hookd.v1.HookConflict`.
    pub(crate) fn conflict(&self, project: &str, token: &str) -> Vec<u8> {
        let mut detail = Message::with_capacity(token.len() + 160);
        detail.text(1, project);
        detail.text(2, token);
        detail.text(3, self.run_id);
        detail.text(4, self.hook_id);
        detail.number(5, self.run_status);
        detail.text(6, self.workflow);
        detail.time(7, self.claimed_ms);
        detail.number(8, self.revision);
        detail.into_bytes()
    }

    /// The `hookd.v1.Error` of an item of a batch.
    fn error(&self, token: &str, detail: &[u8]) -> Message {
        let mut shown = token.char_indices().skip(SHOWN_TOKEN_CHARS);
        let cut = shown.next().map(|(at, _)| &token[..at]);
        let (name, dots) = cut.map_or((token, ""), |cut| (cut, "…"));
        let mut error = Message::with_capacity(2 * token.len() + detail.len() + 400);
        error.number(1, ALREADY_EXISTS);
        error.number(2, HOOK_CONFLICT);
        error.text(
            3,
            &format!(
                "Hook token \"{name}{dots}\" is already in use by another workflow (run {}). \
                 See docs/errors/hook-conflict.md",
                self.run_id
            ),
        );
        let revision = self.revision.to_string();
        let facts = [
            ("run_id", self.run_id),
            ("hook_id", self.hook_id),
            ("run_status", STATUS_NAMES[self.run_status as usize]),
            ("workflow", self.workflow),
            ("revision", &revision),
        ];
        let token = cut.is_none().then_some(("token", token));
        for (key, value) in facts.into_iter().chain(token) {
            let mut entry = Message::with_capacity(key.len() + value.len() + 8);
            entry.bytes(1, key.as_bytes());
            entry.bytes(2, value.as_bytes());
            error.bytes(4, entry.as_bytes());
        }
        error.bytes(5, detail);
        error
    }
}

/// A run and a moment, as the answer to a claim that was won tells them.
pub(crate) struct Won<'a> {
    pub(crate) run_status: u64,
    pub(crate) workflow: &'a str,
    pub(crate) now_ms: u64,
    pub(crate) revision: u64,
}

/// The answer to a request while its claims are made.
pub(crate) struct Answer {
    message: Message,
    item: Message,
    /// The field of the results; of a single claim, that of the hook.
    results: u64,
}

impl Answer {
    pub(crate) fn to(request: &Request<'_>) -> Self {
        let mut message = Message::with_capacity(request.items.len() * 96 + 64);
        let results = match request.kind {
            Kind::One | Kind::Batch => 1,
            Kind::Stream => {
                message.number(1, request.batch_id);
                2
            }
        };
        Self {
            message,
            item: Message::default(),
            results,
        }
    }

    /// Adds the `ClaimedHook` of an item that has won.
    pub(crate) fn add_claimed(&mut self, item: &Item<'_>, revision: u64) {
        let mut claimed = Message::with_capacity(item.hook_id.len() + item.token.len() + 16);
        claimed.text(1, item.hook_id);
        claimed.text(2, item.token);
        claimed.number(3, revision);
        self.add(1, &claimed);
    }

    /// Adds the `Error` of an item that has lost.
    pub(crate) fn add_conflict(&mut self, item: &Item<'_>, owner: &Owner<'_>, detail: &[u8]) {
        let error = owner.error(item.token, detail);
        self.add(2, &error);
    }

    /// Adds a `HookClaimResult`.
    fn add(&mut self, field: u64, result: &Message) {
        self.item.clear();
        self.item.bytes(field, result.as_bytes());
        self.message.bytes(self.results, self.item.as_bytes());
    }

    /// Makes this the answer to a single claim that has won: a `CreateHookResponse`.
    pub(crate) fn set_hook(&mut self, project: &str, item: &Item<'_>, won: &Won<'_>) {
        let hook = &mut self.item;
        hook.text(1, project);
        hook.text(2, item.run_id);
        hook.text(3, item.hook_id);
        hook.text(4, item.token);
        hook.number(5, ACTIVE);
        hook.time(7, won.now_ms);
        hook.number(10, won.revision);
        hook.number(12, won.run_status);
        hook.text(13, won.workflow);
        self.message.bytes(self.results, self.item.as_bytes());
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.message.into_bytes()
    }
}
