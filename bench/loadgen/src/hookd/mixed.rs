//! A bit of everything, in the shares of a service at work.

use std::collections::VecDeque;

use crate::drive::{Caller, Done};
use crate::fault::Fault;

use super::claims::{self, Claims};
use super::conflicts::Conflicts;
use super::reads::Read;
use super::releases::Release;
use super::resumes::Resume;
use super::session::{Names, Session};
use super::{lives, path};

/// Callers that claim (50 of 100 calls), deliver (20), give an own claim up (15), read (10), and
/// ask for a token that is taken (5).
pub async fn callers(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    // The first token of each run stays: payloads, reads and conflicts go to those.
    lives::start_runs(s, s.runs).await?;
    claims::set_up(s, &s.names, s.runs).await?;
    let create = s.methods(path::CREATE_HOOK);
    let resume = s.methods(path::RESUME_HOOK);
    let dispose = s.methods(path::DISPOSE_HOOK);
    let get = s.methods(path::GET_HOOK);
    Ok(s.callers(|i| Mixed {
        claim: Claims::new(&create[i], &s.names, true),
        conflict: Conflicts::new(&create[i], &s.names),
        resume: Resume::new(&resume[i], &s.names, s.runs),
        release: Release::new(&dispose[i], &s.names),
        read: Read::new(&get[i], &s.names, s.runs),
        names: s.names.clone(),
        kept: s.runs,
        own: VecDeque::new(),
    }))
}

struct Mixed {
    claim: Claims,
    conflict: Conflicts,
    resume: Resume,
    release: Release,
    read: Read,
    names: Names,
    /// So many numbers belong to claims that stay.
    kept: u64,
    /// The numbers of the claims that this caller has.
    own: VecDeque<u64>,
}

impl Caller for Mixed {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let number = number + self.kept;
        match self.names.keys.choice(number) % 100 {
            50..70 => self.resume.call(number).await,
            70..85 if !self.own.is_empty() => {
                let oldest = self.own.pop_front().unwrap_or_default();
                self.release.of(oldest).await?;
                Ok(Done::one("released"))
            }
            85..95 => self.read.call(number).await,
            95..100 => self.conflict.call(number).await,
            // Also when there is nothing to give up yet.
            _ => {
                let done = self.claim.call(number).await?;
                self.own.push_back(number);
                Ok(done)
            }
        }
    }
}
