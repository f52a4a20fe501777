//! What is known before a group is carried out, and which of it is plain.

use std::collections::{HashMap, HashSet};

use crate::index::TokenIndex;
use crate::plain::claim::Claim;
use crate::plain::group::{Moment, Records};
use crate::plain::keys;
use crate::plain::request::Request;
use crate::plain::run::Run;

/// What an item of a plain request has to do with.
pub(crate) struct Plan {
    /// The place of its run in `Known::runs`.
    pub(crate) run: usize,
    /// The place of its hook's key in `Known::hook_keys`.
    pub(crate) hook: usize,
    /// The place in `Known::owners` of who had its token before the group.
    pub(crate) owner: Option<usize>,
}

/// The owner of a token from before the group.
pub(crate) struct Owned {
    pub(crate) claim: Claim,
    /// The place of its run in `Known::runs`.
    pub(crate) run: usize,
}

/// Everything that was read for a group.
pub(crate) struct Known<V> {
    /// `None` for a run that is not there or cannot be read.
    pub(crate) runs: Vec<Option<Run<V>>>,
    pub(crate) run_keys: Vec<Vec<u8>>,
    /// `None` for an owner that has to be looked at more closely.
    pub(crate) owners: Vec<Option<Owned>>,
    pub(crate) hook_keys: Vec<Vec<u8>>,
    /// For each request its items' plans; `None` for one that is not plain.
    pub(crate) plans: Vec<Option<Vec<Plan>>>,
}

/// Things by their keys, each once: its place, in the order in which they came.
#[derive(Default)]
struct Places {
    places: HashMap<Vec<u8>, usize>,
    /// Those that were not read yet.
    new: Vec<Vec<u8>>,
}

impl Places {
    fn of(&mut self, key: Vec<u8>) -> usize {
        let next = self.places.len();
        let new = &mut self.new;
        *self.places.entry(key).or_insert_with_key(|key| {
            new.push(key.clone());
            next
        })
    }
}

impl<V: AsRef<[u8]>> Known<V> {
    /// Reads what the requests have to do with, and changes nothing.
    pub(crate) fn read<R: Records<Value = V>>(
        index: &TokenIndex,
        records: &mut R,
        requests: &[Option<Request<'_>>],
        moment: Moment,
    ) -> Result<Self, R::Error> {
        let mut known = Self {
            runs: Vec::new(),
            run_keys: Vec::new(),
            owners: Vec::new(),
            hook_keys: Vec::new(),
            plans: Vec::new(),
        };
        let mut places = Places::default();
        let runs: Vec<Option<Vec<usize>>> = requests
            .iter()
            .map(|request| {
                let request = request.as_ref()?;
                let mut run = |run_id| places.of(keys::run(request.project, run_id));
                Some(request.items.iter().map(|item| run(item.run_id)).collect())
            })
            .collect();
        known.read_runs(records, &mut places, moment)?;
        for (request, runs) in requests.iter().zip(runs) {
            let plans = match (request, runs) {
                (Some(request), Some(runs)) => known.plan(request, &runs, moment),
                _ => None,
            };
            known.plans.push(plans);
        }
        known.drop_known_hooks(records)?;
        known.read_owners(index, records, requests, places, moment)?;
        Ok(known)
    }

    fn read_runs<R: Records<Value = V>>(
        &mut self,
        records: &mut R,
        places: &mut Places,
        moment: Moment,
    ) -> Result<(), R::Error> {
        let new = std::mem::take(&mut places.new);
        if new.is_empty() {
            return Ok(());
        }
        for value in records.read(&new)? {
            let run = value.and_then(|value| Run::read(value, moment.booted_ms).ok());
            self.runs.push(run);
        }
        self.run_keys.extend(new);
        Ok(())
    }

    /// The plans of a request whose runs are all there and at work.
    fn plan(&mut self, request: &Request<'_>, runs: &[usize], moment: Moment) -> Option<Vec<Plan>> {
        let mut plans = Vec::with_capacity(runs.len());
        for (item, place) in request.items.iter().zip(runs) {
            let run = self.runs[*place].as_ref()?;
            if !run.is_active() || run.is_overdue(moment.now_ms) {
                return None;
            }
            self.hook_keys.push(keys::hook(run.uid, item.hook_id));
            plans.push(Plan {
                run: *place,
                hook: self.hook_keys.len() - 1,
                owner: None,
            });
        }
        Some(plans)
    }

    /// Takes out the requests with a hook id that was used before, or that
    /// stands in the group already.
    fn drop_known_hooks<R: Records<Value = V>>(&mut self, records: &mut R) -> Result<(), R::Error> {
        if self.hook_keys.is_empty() {
            return Ok(());
        }
        let values = records.read(&self.hook_keys)?;
        let mut seen = HashSet::with_capacity(self.hook_keys.len());
        let is_new: Vec<bool> = values
            .iter()
            .zip(&self.hook_keys)
            .map(|(value, key)| seen.insert(key.as_slice()) && value.is_none())
            .collect();
        for plans in &mut self.plans {
            plans.take_if(|items| !items.iter().all(|item| is_new[item.hook]));
        }
        Ok(())
    }

    /// Reads who has the tokens that are taken, and takes out the requests that
    /// have to do with an owner whose time has passed.
    fn read_owners<R: Records<Value = V>>(
        &mut self,
        index: &TokenIndex,
        records: &mut R,
        requests: &[Option<Request<'_>>],
        mut run_places: Places,
        moment: Moment,
    ) -> Result<(), R::Error> {
        let mut owner_places = Places::default();
        let mut projects = Vec::new();
        for (request, plans) in requests.iter().zip(&mut self.plans) {
            let (Some(request), Some(plans)) = (request, plans) else {
                continue;
            };
            for (item, plan) in request.items.iter().zip(plans) {
                if index
                    .owner(request.project, item.token.as_bytes())
                    .is_some()
                {
                    let place = owner_places.of(keys::claim(request.project, item.token));
                    if place == projects.len() {
                        projects.push(request.project);
                    }
                    plan.owner = Some(place);
                }
            }
        }
        if projects.is_empty() {
            return Ok(());
        }
        let values = records.read(&owner_places.new)?;
        for (value, project) in values.into_iter().zip(projects) {
            let claim = value.and_then(|value| Claim::read(value.as_ref()).ok());
            self.owners.push(claim.map(|claim| Owned {
                run: run_places.of(keys::run(project, &claim.run_id)),
                claim,
            }));
        }
        self.read_runs(records, &mut run_places, moment)?;
        for owner in &mut self.owners {
            owner.take_if(|owner| !is_clear(owner, &self.runs, moment.now_ms));
        }
        for plans in &mut self.plans {
            plans.take_if(|items| {
                let mut owners = items.iter().filter_map(|item| item.owner);
                owners.any(|place| self.owners[place].is_none())
            });
        }
        Ok(())
    }
}

/// Whether an owner and its run are there, and the time of neither has passed.
fn is_clear<V: AsRef<[u8]>>(owner: &Owned, runs: &[Option<Run<V>>], now_ms: u64) -> bool {
    runs[owner.run].as_ref().is_some_and(|run| {
        run.uid == owner.claim.run_uid && !run.is_overdue(now_ms) && !owner.claim.is_overdue(now_ms)
    })
}
