//! One shard: the claims of the tokens whose hash leads here.
//!
//! A shard is complete in itself. Its `runs` lists, for each run, the run's
//! tokens *in this shard*, so a claim or a release touches one shard only, and
//! the two views of a claim can never be seen apart.

use std::hint::black_box;

use crate::arena::{Arena, Slot};
use crate::hash::Hashes;
use crate::index::{Held, Owner};
use crate::record::{Record, RecordMut, record_bytes};
use crate::table::{Found, SlotTable, Vacancy};

pub(crate) struct Shard {
    arena: Arena,
    tokens: SlotTable,
    /// Of each run the head of its list. The others hang on `next`.
    runs: SlotTable,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self {
            arena: Arena::new(),
            tokens: SlotTable::new(),
            runs: SlotTable::new(),
        }
    }

    fn record(&self, slot: Slot) -> Record<'_> {
        Record(self.arena.get(slot))
    }

    fn record_mut(&mut self, slot: Slot) -> RecordMut<'_> {
        RecordMut(self.arena.get_mut(slot))
    }

    /// Reads what claims are going to read, for all of them before any of them.
    ///
    /// The memory of a large index is far from the processor. These reads do not
    /// depend on each other, so the processor waits for many of them at a time;
    /// claims made one after the other would wait for each of theirs.
    pub(crate) fn approach_claims(
        &self,
        hashes: impl ExactSizeIterator<Item = (u64, u64)> + Clone,
    ) {
        let mut seen = 0;
        for (token, run) in hashes.clone() {
            seen ^= self.tokens.touch(token) ^ self.runs.touch(run);
        }
        black_box(seen);
        let mut slots = Vec::with_capacity(2 * hashes.len());
        for (token, run) in hashes {
            slots.extend(self.tokens.likely(token));
            slots.extend(self.runs.likely(run));
        }
        self.approach(&slots);
    }

    /// Reads what releases are going to read; see `approach_claims`.
    pub(crate) fn approach_releases(
        &self,
        hashes: &Hashes,
        tokens: impl ExactSizeIterator<Item = u64> + Clone,
    ) {
        let mut seen = 0;
        for hash in tokens.clone() {
            seen ^= self.tokens.touch(hash);
        }
        let mut slots = Vec::with_capacity(tokens.len());
        slots.extend(tokens.filter_map(|hash| self.tokens.likely(hash)));
        self.approach(&slots);
        let mut neighbours = Vec::with_capacity(2 * slots.len());
        for slot in slots {
            let record = self.record(slot);
            let run = hashes.run(record.project(), record.owner().run);
            seen ^= self.runs.touch(run);
            neighbours.extend(record.previous());
            neighbours.extend(record.next());
        }
        black_box(seen);
        self.approach(&neighbours);
    }

    /// Reads records. A loop of its own: the shorter it is, the more of its
    /// reads are under way at a time.
    fn approach(&self, slots: &[Slot]) {
        let first = |slot: &Slot| self.arena.get(*slot)[0];
        black_box(slots.iter().map(first).fold(0, |seen, byte| seen ^ byte));
    }

    pub(crate) fn owner(&self, hash: u64, project: u32, token: &[u8]) -> Option<Owner> {
        let found = self
            .tokens
            .search(hash, |slot| self.record(slot).is_token(project, token));
        Some(self.record(found.ok()?.slot).owner())
    }

    /// Claims a token, or tells its owner.
    ///
    /// The hashes are those of the token and of the run.
    pub(crate) fn claim(
        &mut self,
        (hash, run_hash): (u64, u64),
        project: u32,
        token: &[u8],
        claim: Owner,
    ) -> Option<Owner> {
        let found = self
            .tokens
            .search(hash, |slot| self.record(slot).is_token(project, token));
        let place = match found {
            Ok(found) => return Some(self.record(found.slot).owner()),
            Err(place) => place,
        };
        let slot = self.arena.allocate(record_bytes(token.len()));
        self.tokens.insert(place, slot);
        self.record_mut(slot).write(project, token, claim);
        self.add_to_run(run_hash, project, claim.run, slot);
        None
    }

    /// Ends the claim of a token if it has this revision.
    pub(crate) fn release(
        &mut self,
        hashes: &Hashes,
        hash: u64,
        project: u32,
        token: &[u8],
        revision: u64,
    ) -> bool {
        let found = self.tokens.search(hash, |slot| {
            let record = self.record(slot);
            record.owner().revision == revision && record.is_token(project, token)
        });
        let Ok(found) = found else { return false };
        let slot = found.slot;
        self.tokens.remove(found);
        self.remove_from_run(hashes, slot);
        self.arena.free(slot);
        true
    }

    /// The head of a run's list.
    fn head(&self, hash: u64, project: u32, run: u64) -> Result<Found, Vacancy> {
        self.runs
            .search(hash, |slot| self.record(slot).is_run(project, run))
    }

    /// Adds what a run holds here to `held`.
    pub(crate) fn list_run(&self, hash: u64, project: u32, run: u64, held: &mut Vec<Held>) {
        let first = self.head(hash, project, run);
        let mut next = first.ok().map(|found| found.slot);
        while let Some(slot) = next {
            let record = self.record(slot);
            held.push(Held::new(record.token(), record.owner().revision));
            next = record.next();
        }
    }

    /// Ends all claims of a run here and adds them to `held`.
    pub(crate) fn release_run(
        &mut self,
        hashes: &Hashes,
        hash: u64,
        project: u32,
        run: u64,
        held: &mut Vec<Held>,
    ) {
        let Ok(first) = self.head(hash, project, run) else {
            return;
        };
        let mut next = Some(first.slot);
        self.runs.remove(first);
        while let Some(slot) = next {
            let record = Record(self.arena.get(slot));
            held.push(Held::new(record.token(), record.owner().revision));
            next = record.next();
            let hash = hashes.token(project, record.token());
            if let Ok(found) = self.tokens.search(hash, |other| other == slot) {
                self.tokens.remove(found);
            }
            self.arena.free(slot);
        }
    }

    /// The bytes allocated, without the shard itself.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.bytes() + self.tokens.bytes() + self.runs.bytes()
    }

    /// Makes a claim the head of its run's list.
    fn add_to_run(&mut self, hash: u64, project: u32, run: u64, slot: Slot) {
        match self.head(hash, project, run) {
            Err(place) => self.runs.insert(place, slot),
            Ok(head) => {
                let second = head.slot;
                self.runs.replace(head, slot);
                self.record_mut(second).set_previous(Some(slot));
                self.record_mut(slot).set_next(Some(second));
            }
        }
    }

    fn remove_from_run(&mut self, hashes: &Hashes, slot: Slot) {
        let record = self.record(slot);
        let (previous, next) = (record.previous(), record.next());
        let (project, run) = (record.project(), record.owner().run);
        if let Some(next) = next {
            self.record_mut(next).set_previous(previous);
        }
        if let Some(previous) = previous {
            self.record_mut(previous).set_next(next);
            return;
        }
        let hash = hashes.run(project, run);
        if let Ok(head) = self.runs.search(hash, |other| other == slot) {
            match next {
                Some(next) => self.runs.replace(head, next),
                None => self.runs.remove(head),
            }
        }
    }
}
