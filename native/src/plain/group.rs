//! A group of requests, claimed one after the other in one go.
//!
//! First everything is read, and nothing changed: the runs, the hook ids, the
//! owners of tokens that are taken. From it follows which requests are plain.
//! Then these are carried out, and nothing can go wrong any more but the
//! writing itself, after which nobody goes on.

use crate::encode::{PlainClaim, event};
use crate::index::{Owner as Holder, TokenIndex};
use crate::plain::answer::{Answer, Owner, Won};
use crate::plain::keys;
use crate::plain::known::{Known, Owned, Plan};
use crate::plain::request::{Item, Kind, Request};
use crate::plain::run::{PENDING, RUNNING, Run};
use crate::wire::Message;

/// The field of `run_started` in an event.
const RUN_STARTED: u64 = 11;
/// The field of `hook_conflict` in an event.
const HOOK_CONFLICT: u64 = 21;

/// The store, as a group sees it.
pub trait Records {
    /// The bytes of a record.
    type Value: AsRef<[u8]>;
    /// Why it can be read or written no longer.
    type Error;

    /// Reads records, one for each key.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn read(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Option<Self::Value>>, Self::Error>;

    /// Writes a record.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Self::Error>;

    /// Removes a record.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    fn delete(&mut self, key: &[u8]) -> Result<(), Self::Error>;
}

/// A request as it came.
pub struct Call<'a> {
    /// Which request it is.
    pub kind: Kind,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The W3C trace context of the call; empty for none.
    pub traceparent: &'a str,
    /// A request for another project is not plain; empty for any.
    pub project: &'a str,
}

/// When and how a group is carried out.
#[derive(Clone, Copy)]
pub struct Moment {
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// Since when the daemon runs.
    pub booted_ms: u64,
    /// The revision of the first claim.
    pub first_revision: u64,
    /// The longest token that is allowed.
    pub max_token_bytes: usize,
    /// Whether the tokens that were won are to be named in the outcome.
    pub name_tokens: bool,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was left alone, and has had no effect.
    NotPlain,
    /// The bytes of the answer.
    Message(Vec<u8>),
    /// A single claim that has lost.
    Conflict {
        /// The run that has lost.
        run_id: String,
        /// The `hookd.v1.HookConflict`.
        detail: Vec<u8>,
        /// The W3C trace context of the owner's claim; empty for none.
        traceparent: String,
    },
}

/// What became of a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// An answer for each request.
    pub answers: Vec<Answered>,
    /// How many claims were made, won or lost: each has used a revision.
    pub revisions: u64,
    /// How many claims have won.
    pub won: u64,
    /// How many claims have lost.
    pub lost: u64,
    /// How many runs were pending until now.
    pub begun: u64,
    /// The runs whose logs have grown, by their uids.
    pub grown: Vec<u64>,
    /// The tokens that were won, with their projects; see `Moment::name_tokens`.
    pub tokens: Vec<(String, String)>,
}

/// Makes the claims of all requests that are plain.
///
/// # Errors
///
/// The store cannot be read, and nothing has happened; or it cannot be
/// written, and the index is ahead of it.
pub fn claim_group<R: Records>(
    index: &TokenIndex,
    records: &mut R,
    calls: &[Call<'_>],
    moment: Moment,
) -> Result<Outcome, R::Error> {
    let requests: Vec<Option<Request<'_>>> = calls
        .iter()
        .map(|call| {
            Request::parse(call.kind, call.bytes, moment.max_token_bytes)
                .filter(|request| ["", request.project].contains(&call.project))
        })
        .collect();
    let known = Known::read(index, records, &requests, moment)?;
    let mut group = Group {
        index,
        records,
        moment,
        runs: known.runs,
        run_keys: known.run_keys,
        owners: known.owners,
        hook_keys: known.hook_keys,
        wins: Vec::new(),
        outcome: Outcome::default(),
    };
    for ((call, request), plans) in calls.iter().zip(&requests).zip(known.plans) {
        let answer = match (request, plans) {
            (Some(request), Some(plans)) => group.carry_out(call, request, &plans)?,
            _ => Answered::NotPlain,
        };
        group.outcome.answers.push(answer);
    }
    group.finish()
}

/// A claim of this group that has won.
struct Win<'a> {
    project: &'a str,
    item: Item<'a>,
    run: usize,
    traceparent: &'a str,
}

/// A group while it is carried out.
struct Group<'a, R: Records> {
    index: &'a TokenIndex,
    records: &'a mut R,
    moment: Moment,
    runs: Vec<Option<Run<R::Value>>>,
    run_keys: Vec<Vec<u8>>,
    owners: Vec<Option<Owned>>,
    hook_keys: Vec<Vec<u8>>,
    /// For each revision of this group the claim that has won with it.
    wins: Vec<Option<Win<'a>>>,
    outcome: Outcome,
}

impl<'a, R: Records> Group<'a, R> {
    /// Makes the claims of a request, in their order.
    fn carry_out(
        &mut self,
        call: &Call<'a>,
        request: &Request<'a>,
        plans: &[Plan],
    ) -> Result<Answered, R::Error> {
        let mut answer = Answer::to(request);
        for (item, plan) in request.items.iter().zip(plans) {
            self.begin(request.project, item, plan)?;
            let (uid, seq) = {
                let run = self.run_mut(plan.run);
                (run.uid, run.next_seq())
            };
            let claim = PlainClaim {
                run_uid: uid,
                run_id: item.run_id,
                hook_id: item.hook_id,
                token: item.token,
                generated: false,
                revision: self.moment.first_revision + self.wins.len() as u64,
                seq,
                now_ms: self.moment.now_ms,
                traceparent: call.traceparent,
            };
            let is_alone = request.kind == Kind::One;
            if self.claim(request.project, plan, &claim)? {
                self.wins.push(Some(Win {
                    project: request.project,
                    item: *item,
                    run: plan.run,
                    traceparent: call.traceparent,
                }));
                if is_alone {
                    let run = self.run(plan.run);
                    let won = Won {
                        run_status: run.status,
                        workflow: run.workflow(),
                        now_ms: claim.now_ms,
                        revision: claim.revision,
                    };
                    answer.set_hook(request.project, item, &won);
                } else {
                    answer.add_claimed(item, claim.revision);
                }
                continue;
            }
            let owner = self.owner(request.project, item, plan);
            let detail = owner.conflict(request.project, item.token);
            if is_alone {
                let traceparent = owner.traceparent.to_owned();
                self.lose(plan, &claim, &detail)?;
                return Ok(Answered::Conflict {
                    run_id: item.run_id.to_owned(),
                    detail,
                    traceparent,
                });
            }
            answer.add_conflict(item, &owner, &detail);
            self.lose(plan, &claim, &detail)?;
        }
        Ok(Answered::Message(answer.into_bytes()))
    }

    fn run(&self, place: usize) -> &Run<R::Value> {
        self.runs[place].as_ref().expect("a run of a plan is there")
    }

    fn run_mut(&mut self, place: usize) -> &mut Run<R::Value> {
        self.runs[place].as_mut().expect("a run of a plan is there")
    }

    /// Notes that somebody works on the run, if nobody did until now.
    fn begin(&mut self, project: &str, item: &Item<'_>, plan: &Plan) -> Result<(), R::Error> {
        let now_ms = self.moment.now_ms;
        let run = self.run_mut(plan.run);
        if run.status != PENDING {
            return Ok(());
        }
        run.begin(now_ms);
        let (uid, seq, created_ms) = (run.uid, run.next_seq(), run.created_ms);
        let started = event(seq, now_ms, "", RUN_STARTED, b"");
        self.records.put(&keys::event(uid, seq), &started)?;
        let old = keys::run_by_status(PENDING, project, created_ms, uid);
        self.records.delete(&old)?;
        let new = keys::run_by_status(RUNNING, project, created_ms, uid);
        self.records.put(&new, item.run_id.as_bytes())?;
        self.outcome.begun += 1;
        Ok(())
    }

    /// Claims a token, if it is free, and writes the claim; tells whether it did.
    fn claim(
        &mut self,
        project: &str,
        plan: &Plan,
        claim: &PlainClaim<'_>,
    ) -> Result<bool, R::Error> {
        let holder = Holder {
            run: claim.run_uid,
            revision: claim.revision,
        };
        let is_won = plan.owner.is_none()
            && self
                .index
                .claim(project, claim.token.as_bytes(), holder)
                .expect("the token's length was checked")
                .is_none();
        if is_won {
            let event_key = keys::event(claim.run_uid, claim.seq);
            self.records.put(&event_key, &claim.event())?;
            self.records
                .put(&self.hook_keys[plan.hook], &claim.hook())?;
            self.records
                .put(&keys::claim(project, claim.token), &claim.claim())?;
            self.outcome.won += 1;
        }
        Ok(is_won)
    }

    /// Who has the token that an item has lost.
    fn owner(&self, project: &str, item: &Item<'_>, plan: &Plan) -> Owner<'_> {
        if let Some(place) = plan.owner {
            let owned = self.owners[place]
                .as_ref()
                .expect("an owner of a plan is there");
            let run = self.run(owned.run);
            return Owner {
                run_id: &owned.claim.run_id,
                hook_id: &owned.claim.hook_id,
                run_status: run.status,
                workflow: run.workflow(),
                claimed_ms: owned.claim.claimed_ms,
                revision: owned.claim.revision,
                traceparent: &owned.claim.traceparent,
            };
        }
        let holder = self.index.owner(project, item.token.as_bytes());
        let revision = holder.expect("a token that was lost is held").revision;
        let win = self.wins[(revision - self.moment.first_revision) as usize].as_ref();
        let win = win.expect("a token that was free before was won in this group");
        let run = self.run(win.run);
        Owner {
            run_id: win.item.run_id,
            hook_id: win.item.hook_id,
            run_status: run.status,
            workflow: run.workflow(),
            claimed_ms: self.moment.now_ms,
            revision,
            traceparent: win.traceparent,
        }
    }

    /// Writes that a claim was lost.
    fn lose(&mut self, plan: &Plan, claim: &PlainClaim<'_>, detail: &[u8]) -> Result<(), R::Error> {
        let mut data = Message::with_capacity(detail.len() + 8);
        data.bytes(1, detail);
        let lost = event(
            claim.seq,
            claim.now_ms,
            claim.hook_id,
            HOOK_CONFLICT,
            data.as_bytes(),
        );
        let event_key = keys::event(claim.run_uid, claim.seq);
        self.records.put(&event_key, &lost)?;
        let hook_key = &self.hook_keys[plan.hook];
        self.records.put(hook_key, &claim.lost_hook())?;
        self.wins.push(None);
        self.outcome.lost += 1;
        Ok(())
    }

    /// Writes the records of the runs.
    fn finish(mut self) -> Result<Outcome, R::Error> {
        for (run, key) in self.runs.iter().zip(&self.run_keys) {
            let Some(run) = run.as_ref().filter(|run| run.grown) else {
                continue;
            };
            self.records.put(key, &run.record())?;
            self.outcome.grown.push(run.uid);
        }
        self.outcome.revisions = self.wins.len() as u64;
        if self.moment.name_tokens {
            let named = |win: &Win<'_>| (win.project.to_owned(), win.item.token.to_owned());
            self.outcome.tokens = self.wins.iter().flatten().map(named).collect();
        }
        Ok(self.outcome)
    }
}
