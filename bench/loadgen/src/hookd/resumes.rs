//! Payloads for hooks.

use crate::drive::{Caller, Done};
use crate::fault::Fault;
use crate::grpc::Method;
use crate::pb::hookd::v1 as pb;
use crate::wire::Writer;

use super::claims;
use super::lives::{json, start_runs};
use super::path;
use super::session::{Names, Session};

/// 64 bytes.
const PAYLOAD: &[u8; 64] = br#"{"amount": 99, "currency": "EUR", "note": "paid in full, today"}"#;

/// Callers that deliver payloads to the hooks of `runs` runs, by turns.
pub async fn callers(s: &Session, runs: u64) -> anyhow::Result<Vec<Resume>> {
    let names = set_up(s, runs).await?;
    let methods = s.methods(path::RESUME_HOOK);
    Ok(s.callers(|i| Resume::new(&methods[i], &names, runs)))
}

/// Starts `runs` runs with one hook each, and gives the names that they have.
pub async fn set_up(s: &Session, runs: u64) -> anyhow::Result<Names> {
    let names = s.names.with_per_run(1);
    start_runs(s, runs).await?;
    claims::set_up(s, &names, runs).await?;
    Ok(names)
}

/// Delivers payloads.
pub struct Resume {
    method: Method,
    names: Names,
    writer: Writer,
    hooks: u64,
}

impl Resume {
    /// Delivers to the first `hooks` tokens of the names, over the connection of `method`.
    pub fn new(method: &Method, names: &Names, hooks: u64) -> Self {
        Self {
            method: method.clone(),
            names: names.clone(),
            writer: Writer::default(),
            hooks,
        }
    }
}

impl Caller for Resume {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let request = pb::ResumeHookRequest {
            project: self.names.project.clone(),
            token: self.names.token(number % self.hooks).text(),
            payload_id: self.names.keys.payload(number).text(),
            payload: Some(json(PAYLOAD)),
            wait: None,
        };
        let framed = self.writer.message(&request);
        let answer: pb::ResumeHookResponse = self.method.ask(framed).await?;
        if answer.duplicate || answer.payload_seq == 0 {
            return Err(Fault::unexpected("a payload was not taken as a new one"));
        }
        Ok(Done::one("resumed"))
    }
}
