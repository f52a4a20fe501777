//! Claims that are given up at once.

use crate::drive::{Caller, Done};
use crate::fault::Fault;
use crate::grpc::Method;
use crate::keys::{HookId, RunId};
use crate::pb::hookd::v1 as pb;
use crate::wire::Writer;

use super::claims::{self, Claims};
use super::path;
use super::session::{Names, Session};

/// Callers that claim a token and give it up; each pair is one operation.
pub async fn pairs(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    let claims = claims::unary(s).await?;
    let methods = s.methods(path::DISPOSE_HOOK);
    let mut releases = s
        .callers(|i| Release::new(&methods[i], &s.names))
        .into_iter();
    let pairs = claims.into_iter().zip(&mut releases);
    Ok(pairs
        .map(|(claim, release)| Pair { claim, release })
        .collect())
}

struct Pair {
    claim: Claims,
    release: Release,
}

impl Caller for Pair {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        self.claim.call(number).await?;
        self.release.of(number).await?;
        Ok(Done::one("released"))
    }
}

/// Gives hooks up.
pub struct Release {
    method: Method,
    names: Names,
    writer: Writer,
}

impl Release {
    /// Gives up hooks that the names have, over the connection of `method`.
    pub fn new(method: &Method, names: &Names) -> Self {
        Self {
            method: method.clone(),
            names: names.clone(),
            writer: Writer::default(),
        }
    }

    /// Gives up what the claim with this number has got.
    pub async fn of(&mut self, number: u64) -> Result<(), Fault> {
        self.hook(self.names.run_of(number), self.names.hook(number))
            .await
    }

    async fn hook(&mut self, run: RunId, hook: HookId) -> Result<(), Fault> {
        let request = pb::DisposeHookRequest {
            project: self.names.project.clone(),
            r#ref: Some(pb::HookRef {
                run_id: run.text(),
                hook_id: hook.text(),
            }),
        };
        let framed = self.writer.message(&request);
        let answer: pb::DisposeHookResponse = self.method.ask(framed).await?;
        if answer.already_disposed {
            return Err(Fault::unexpected("a hook was given up before"));
        }
        Ok(())
    }
}
