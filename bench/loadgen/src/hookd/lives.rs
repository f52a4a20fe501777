//! Runs: started, with and without a claim, and completed.

use crate::drive::{Caller, Done};
use crate::fault::Fault;
use crate::grpc::Method;
use crate::keys::RunId;
use crate::pb::hookd::v1 as pb;
use crate::wire::Writer;

use super::path;
use super::session::{Names, Session};

/// The workflow of all runs.
const WORKFLOW: &str = "load";

/// Starts `runs` external runs, those that are there already excepted.
pub async fn start_runs(s: &Session, runs: u64) -> anyhow::Result<()> {
    let methods = s.methods(path::START_RUN);
    s.set_up(runs, |i| Start::new(&methods[i], &s.names, false))
        .await
}

/// Callers that start runs with one claim each.
pub fn starts(s: &Session) -> Vec<impl Caller + use<>> {
    let methods = s.methods(path::START_RUN);
    s.callers(|i| Start::new(&methods[i], &s.names, true))
}

/// Callers that start runs with one claim each, and complete them.
pub fn whole(s: &Session) -> Vec<impl Caller + use<>> {
    let (start, complete) = (s.methods(path::START_RUN), s.methods(path::COMPLETE_RUN));
    s.callers(|i| Life {
        start: Start::new(&start[i], &s.names, true),
        complete: Complete::new(&complete[i], &s.names),
    })
}

/// Callers that complete the runs of the load.
pub fn ends(s: &Session) -> Vec<impl Caller + use<>> {
    let methods = s.methods(path::COMPLETE_RUN);
    s.callers(|i| Complete::new(&methods[i], &s.names))
}

struct Start {
    method: Method,
    names: Names,
    writer: Writer,
    /// Whether the run claims a token, and must be new.
    claims: bool,
}

impl Start {
    fn new(method: &Method, names: &Names, claims: bool) -> Self {
        Self {
            method: method.clone(),
            names: names.clone(),
            writer: Writer::default(),
            claims,
        }
    }
}

impl Caller for Start {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let claim = || pb::HookSpec {
            hook_id: self.names.hook(number).text(),
            token: Some(self.names.token(number).text()),
            ..Default::default()
        };
        let request = pb::StartRunRequest {
            project: self.names.project.clone(),
            run_id: self.names.keys.run(number).text(),
            workflow: WORKFLOW.to_owned(),
            external: true,
            claims: if self.claims {
                vec![claim()]
            } else {
                Vec::new()
            },
            ..Default::default()
        };
        let framed = self.writer.message(&request);
        let answer: pb::StartRunResponse = self.method.ask(framed).await?;
        match answer.outcome() {
            pb::StartOutcome::Started if answer.hooks.len() == request.claims.len() => {
                Ok(Done::one("started"))
            }
            pb::StartOutcome::AlreadyStarted if !self.claims => Ok(Done::one("already started")),
            other => Err(Fault::unexpected(format!(
                "a start was {}",
                other.as_str_name()
            ))),
        }
    }
}

/// Completes runs.
pub struct Complete {
    method: Method,
    names: Names,
    writer: Writer,
}

impl Complete {
    /// Completes the runs that the names have, over the connection of `method`.
    pub fn new(method: &Method, names: &Names) -> Self {
        Self {
            method: method.clone(),
            names: names.clone(),
            writer: Writer::default(),
        }
    }

    /// Completes a run that has not ended.
    pub async fn complete(&mut self, run: RunId) -> Result<(), Fault> {
        let request = pb::CompleteRunRequest {
            project: self.names.project.clone(),
            run_id: run.text(),
            output: Some(json(b"{\"done\":true}")),
        };
        let framed = self.writer.message(&request);
        let answer: pb::CompleteRunResponse = self.method.ask(framed).await?;
        let status = answer.run.as_ref().map(pb::Run::status);
        if answer.already_completed || status != Some(pb::RunStatus::Completed) {
            return Err(Fault::unexpected("a run was not completed"));
        }
        Ok(())
    }
}

impl Caller for Complete {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        self.complete(self.names.keys.run(number)).await?;
        Ok(Done::one("completed"))
    }
}

struct Life {
    start: Start,
    complete: Complete,
}

impl Caller for Life {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        self.start.call(number).await?;
        self.complete.call(number).await
    }
}

/// A payload in JSON.
pub fn json(text: &[u8]) -> pb::Payload {
    pb::Payload {
        content_type: "application/json".to_owned(),
        data: text.to_vec(),
    }
}
