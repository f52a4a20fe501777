//! Claims of new tokens: one by one, in batches, over streams.

use crate::batches::{Batches, count};
use crate::drive::{Caller, Done};
use crate::fault::Fault;
use crate::grpc::Method;
use crate::pb::hookd::v1 as pb;
use crate::pb::hookd::v1::hook_claim_result::Result as ClaimResult;
use crate::pipe::Pipe;
use crate::wire::Writer;
use prost::Message;

use super::lives;
use super::path;
use super::session::{Names, Session};

/// What a claim that was there already comes to, where a load is set up.
const REPLAYED: &str = "replayed";

/// Callers that claim one token with each call.
pub async fn unary(s: &Session) -> anyhow::Result<Vec<Claims>> {
    start_runs(s).await?;
    let methods = s.methods(path::CREATE_HOOK);
    Ok(s.callers(|i| Claims::new(&methods[i], &s.names, s.checked())))
}

/// Callers that claim a batch of tokens with each call.
pub async fn batches(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    start_runs(s).await?;
    let methods = s.methods(path::CREATE_HOOKS);
    Ok(s.callers(|i| ClaimBatches::new(s, Way::unary(&methods[i]))))
}

/// Callers that claim batches over streams, one for each connection.
pub async fn streams(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    start_runs(s).await?;
    let pipes = open_pipes(s).await?;
    Ok(s.callers(|i| ClaimBatches::new(s, Way::Stream(pipes[i].clone()))))
}

/// Claims the first `count` tokens of the names, those that their runs have already excepted.
pub async fn set_up(s: &Session, names: &Names, count: u64) -> anyhow::Result<()> {
    let methods = s.methods(path::CREATE_HOOK);
    s.set_up(count, |i| Claims {
        replays: true,
        ..Claims::new(&methods[i], names, true)
    })
    .await
}

/// A claim stream over each connection.
pub async fn open_pipes(s: &Session) -> Result<Vec<Pipe>, Fault> {
    let mut pipes = Vec::new();
    for method in s.methods(path::CLAIM_STREAM) {
        pipes.push(Pipe::open(&method).await?);
    }
    Ok(pipes)
}

async fn start_runs(s: &Session) -> anyhow::Result<()> {
    if s.checked() {
        lives::start_runs(s, s.runs).await?;
    }
    Ok(())
}

/// Claims one token with each call.
pub struct Claims {
    method: Method,
    names: Names,
    writer: Writer,
    checked: bool,
    /// Whether a claim may be there already.
    replays: bool,
}

impl Claims {
    /// Claims what the names say, over the connection of `method`; looks at the answers if
    /// `checked`.
    pub fn new(method: &Method, names: &Names, checked: bool) -> Self {
        Self {
            method: method.clone(),
            names: names.clone(),
            writer: Writer::default(),
            checked,
            replays: false,
        }
    }
}

impl Caller for Claims {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let claim = self.names.claim(number);
        let framed = self.writer.create_hook(&self.names.project, &claim);
        let answer = self.method.call(framed).await?;
        if self.checked {
            let answer = pb::CreateHookResponse::decode(answer)?;
            match answer.hook {
                Some(hook) if hook.token != claim.token.as_str() => {
                    return Err(Fault::unexpected("the hook of another token"));
                }
                Some(_) if answer.already_exists && self.replays => {
                    return Ok(Done::one(REPLAYED));
                }
                Some(_) if !answer.already_exists => {}
                _ => return Err(Fault::unexpected("a claim that is not new")),
            }
        }
        Ok(Done::one("claimed"))
    }
}

/// How batches go to the daemon.
pub enum Way {
    /// With a call for each.
    Unary(Box<Method>),
    /// Over a stream.
    Stream(Pipe),
}

impl Way {
    /// With calls over the connection of `method`.
    pub fn unary(method: &Method) -> Self {
        Self::Unary(Box::new(method.clone()))
    }
}

/// Claims a batch of tokens with each call.
struct ClaimBatches {
    way: Way,
    names: Names,
    writer: Writer,
    batches: Batches,
    checked: bool,
}

impl ClaimBatches {
    fn new(s: &Session, way: Way) -> Self {
        Self {
            way,
            names: s.names.clone(),
            writer: Writer::default(),
            batches: s.batches(),
            checked: s.checked(),
        }
    }
}

impl Caller for ClaimBatches {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let numbers = self.batches.numbers(number);
        let claims = numbers.clone().map(|number| self.names.claim(number));
        let project = &self.names.project;
        let results = match &self.way {
            Way::Unary(method) => {
                let answer = method
                    .call(self.writer.create_hooks(project, claims))
                    .await?;
                if !self.checked {
                    return Ok(Done::of("claimed", count(&numbers)));
                }
                pb::CreateHooksResponse::decode(answer)?.results
            }
            Way::Stream(pipe) => {
                let answer = pipe
                    .call(self.writer.claim_stream(number, project, claims))
                    .await?;
                if !self.checked {
                    return Ok(Done::of("claimed", count(&numbers)));
                }
                let answer = pb::ClaimStreamResponse::decode(answer)?;
                if answer.batch_id != number {
                    return Err(Fault::unexpected("the answer to another batch"));
                }
                answer.results
            }
        };
        if results.len() as u64 != count(&numbers) {
            return Err(Fault::unexpected("not as many results as claims"));
        }
        for (number, result) in numbers.clone().zip(results) {
            match result.result {
                Some(ClaimResult::Claimed(claimed))
                    if claimed.token == self.names.token(number).as_str()
                        && !claimed.already_exists => {}
                Some(ClaimResult::Error(error)) => {
                    return Err(Fault::unexpected(format!("in a batch: {}", error.message)));
                }
                _ => return Err(Fault::unexpected("a claim that is not new")),
            }
        }
        Ok(Done::of("claimed", count(&numbers)))
    }
}
