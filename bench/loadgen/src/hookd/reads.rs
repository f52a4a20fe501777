//! Hooks read by their tokens.

use crate::drive::{Caller, Done};
use crate::fault::Fault;
use crate::grpc::Method;
use crate::options::TOKENS_PER_RUN;
use crate::pb::hookd::v1 as pb;
use crate::wire::Writer;

use super::session::{Names, Session};
use super::{claims, lives, path};

/// Callers that read the hooks of the first tokens of `fill`, in no order.
///
/// What is not there yet is claimed first, in the way of a `fill` with the usual number of
/// tokens for a run.
pub async fn by_token(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    let tokens = s.runs * TOKENS_PER_RUN;
    lives::start_runs(s, s.runs).await?;
    claims::set_up(s, &s.names, tokens).await?;
    let methods = s.methods(path::GET_HOOK);
    Ok(s.callers(|i| Read::new(&methods[i], &s.names, tokens)))
}

/// Reads hooks.
pub struct Read {
    method: Method,
    names: Names,
    writer: Writer,
    tokens: u64,
}

impl Read {
    /// Reads the hooks of the first `tokens` of the names, over the connection of `method`.
    pub fn new(method: &Method, names: &Names, tokens: u64) -> Self {
        Self {
            method: method.clone(),
            names: names.clone(),
            writer: Writer::default(),
            tokens,
        }
    }
}

impl Caller for Read {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let wanted = self.names.keys.choice(number) % self.tokens;
        let request = pb::GetHookRequest {
            project: self.names.project.clone(),
            by: Some(pb::get_hook_request::By::Token(
                self.names.token(wanted).text(),
            )),
            wait: None,
        };
        let framed = self.writer.message(&request);
        let answer: pb::GetHookResponse = self.method.ask(framed).await?;
        match answer.hook {
            Some(hook) if hook.hook_id == self.names.hook(wanted).as_str() => Ok(Done::one("read")),
            _ => Err(Fault::unexpected("another hook has the token")),
        }
    }
}
