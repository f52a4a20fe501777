//! A run with a long log: payloads for it, and reads of the log's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::drive::{Caller, Done};
use crate::fault::Fault;
use crate::grpc::Method;
use crate::pb::hookd::v1 as pb;
use crate::wire::Writer;

use super::path;
use super::resumes::{self, Resume};
use super::session::{Names, Session};

/// How many events a read of the end asks for.
const TAIL: u64 = 10;

/// Callers that deliver payloads to one run and read the end of its log, by turns.
pub async fn callers(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    let count = s.count();
    let names = resumes::set_up(s, 1).await?;
    let (resume, read) = (s.methods(path::RESUME_HOOK), s.methods(path::LIST_EVENTS));
    s.set_up(count, |i| Resume::new(&resume[i], &names, 1))
        .await?;
    // Each payload is an event.
    let last = Arc::new(AtomicU64::new(count));
    Ok(s.callers(|i| Long {
        resume: Resume::new(&resume[i], &names, 1),
        list: read[i].clone(),
        names: names.clone(),
        writer: Writer::default(),
        made: count,
        last: last.clone(),
    }))
}

struct Long {
    resume: Resume,
    list: Method,
    names: Names,
    writer: Writer,
    /// Payloads that made the log long.
    made: u64,
    /// The last event that was seen.
    last: Arc<AtomicU64>,
}

impl Caller for Long {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        if number.is_multiple_of(2) {
            self.resume.call(self.made + number).await
        } else {
            self.read().await
        }
    }
}

impl Long {
    async fn read(&mut self) -> Result<Done, Fault> {
        let after = self.last.load(Ordering::Relaxed).saturating_sub(TAIL);
        let request = pb::ListEventsRequest {
            project: self.names.project.clone(),
            run_id: self.names.run_of(0).text(),
            after_seq: after,
            page_size: TAIL as i32,
        };
        let framed = self.writer.message(&request);
        let answer: pb::ListEventsResponse = self.list.ask(framed).await?;
        self.last.fetch_max(answer.last_seq, Ordering::Relaxed);
        if answer.events.first().map(|event| event.seq) != Some(after + 1) {
            return Err(Fault::unexpected("a log does not go on where it was left"));
        }
        Ok(Done::one("read"))
    }
}
