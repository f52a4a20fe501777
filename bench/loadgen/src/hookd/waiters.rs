//! Many calls that wait for the results of runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::drive::{Caller, Done};
use crate::fault::Fault;
use crate::pb::hookd::v1 as pb;
use crate::wire::Writer;

use super::lives::{self, Complete};
use super::path;
use super::session::{Names, Session};

/// How long a waiter waits, in seconds; near the API's limit of 5 minutes.
const PATIENCE_S: i64 = 290;

/// What a waiter was told, and when.
type Waiter = JoinHandle<(Result<Bytes, Fault>, Instant)>;

/// Callers that complete runs, for each of which somebody waits.
pub async fn completions(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    let count = s.count();
    lives::start_runs(s, count).await?;
    let methods = s.methods(path::AWAIT_RUN);
    let mut writer = Writer::default();
    let mut waiters = Vec::new();
    for number in 0..count {
        let method = &methods[number as usize % methods.len()];
        let request = pb::AwaitRunRequest {
            project: s.names.project.clone(),
            run_id: s.names.keys.run(number).text(),
            wait: Some(prost_types::Duration {
                seconds: PATIENCE_S,
                nanos: 0,
            }),
        };
        let sent = method.send(writer.message(&request)).await?;
        waiters.push(Some(tokio::spawn(async move {
            let result = sent.answer().await;
            (result, Instant::now())
        })));
    }
    until_waiting(s, &waiters).await?;
    let waiters = Arc::new(Mutex::new(waiters));
    let methods = s.methods(path::COMPLETE_RUN);
    Ok(s.callers(|i| Completion {
        complete: Complete::new(&methods[i], &s.names),
        names: s.names.clone(),
        waiters: waiters.clone(),
    }))
}

/// Comes back when all waiters wait.
///
/// A server takes the calls of a connection in their order: once it has answered one that was
/// sent after the waiters, it has theirs. A waiter that has been answered by then was refused.
async fn until_waiting(s: &Session, waiters: &[Option<Waiter>]) -> anyhow::Result<()> {
    let request = pb::GetRunRequest {
        project: s.names.project.clone(),
        run_id: s.names.keys.run(0).text(),
        ..Default::default()
    };
    let mut writer = Writer::default();
    for method in s.methods(path::GET_RUN) {
        method.call(writer.message(&request)).await?;
    }
    let early = waiters
        .iter()
        .flatten()
        .filter(|waiter| waiter.is_finished())
        .count();
    (early == 0)
        .then_some(())
        .with_context(|| format!("{early} waiters did not wait: is the limit of streams reached?"))
}

struct Completion {
    complete: Complete,
    names: Names,
    waiters: Arc<Mutex<Vec<Option<Waiter>>>>,
}

impl Caller for Completion {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let waiter = {
            let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
            waiters.get_mut(number as usize).and_then(Option::take)
        };
        let waiter = waiter.ok_or_else(|| Fault::unexpected("nobody waits for a run"))?;
        let begin = Instant::now();
        self.complete.complete(self.names.keys.run(number)).await?;
        let (answer, told) = waiter.await.map_err(Fault::lost)?;
        let answer: pb::AwaitRunResponse = prost::Message::decode(answer?)?;
        match answer.run {
            Some(run) if run.status() == pb::RunStatus::Completed => Ok(Done {
                outcome: "told",
                operations: 1,
                latency: Some(told.saturating_duration_since(begin)),
            }),
            _ => Err(Fault::unexpected(
                "a waiter was told of a run that has not completed",
            )),
        }
    }
}
