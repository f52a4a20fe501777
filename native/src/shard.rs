//! One shard: the claims of the tokens whose hash leads here.
//!
//! A shard is complete in itself. Its `runs` lists, for each run, the run's
//! tokens *in this shard*, so a claim or a release touches one shard only, and
//! the two views of a claim can never be seen apart.

use hashbrown::hash_table::Entry;

use crate::arena::{Arena, Slot};
use crate::hash::Hashes;
use crate::index::{Held, Owner};
use crate::record::{Record, RecordMut, record_bytes};
use crate::table::SlotTable;

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

    pub(crate) fn owner(&self, hash: u64, project: u32, token: &[u8]) -> Option<Owner> {
        let slot = self
            .tokens
            .find(hash, |slot| self.record(*slot).is_token(project, token))?;
        Some(self.record(slot).owner())
    }

    /// Claims a token, or tells its owner. `hash` is that of the token.
    pub(crate) fn claim(
        &mut self,
        hashes: &Hashes,
        hash: u64,
        project: u32,
        token: &[u8],
        claim: Owner,
    ) -> Option<Owner> {
        let arena = &self.arena;
        let entry = self.tokens.entry(
            hash,
            |slot| Record(arena.get(*slot)).is_token(project, token),
            |slot| {
                let record = Record(arena.get(*slot));
                hashes.token(record.project(), record.token())
            },
        );
        let entry = match entry {
            Entry::Occupied(entry) => return Some(Record(arena.get(*entry.get())).owner()),
            Entry::Vacant(entry) => entry,
        };
        let slot = self.arena.allocate(record_bytes(token.len()));
        entry.insert(slot);
        self.record_mut(slot).write(project, token, claim);
        self.add_to_run(hashes, project, claim.run, slot);
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
        let arena = &self.arena;
        let entry = self.tokens.occupied(hash, |slot| {
            let record = Record(arena.get(*slot));
            record.owner().revision == revision && record.is_token(project, token)
        });
        let Some(entry) = entry else { return false };
        let (slot, _) = entry.remove();
        self.remove_from_run(hashes, slot);
        self.arena.free(slot);
        true
    }

    /// Adds what a run holds here to `held`.
    pub(crate) fn list_run(&self, hash: u64, project: u32, run: u64, held: &mut Vec<Held>) {
        let mut next = self
            .runs
            .find(hash, |slot| self.record(*slot).is_run(project, run));
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
        let arena = &self.arena;
        let entry = self
            .runs
            .occupied(hash, |slot| Record(arena.get(*slot)).is_run(project, run));
        let mut next = entry.map(|entry| entry.remove().0);
        while let Some(slot) = next {
            let record = Record(self.arena.get(slot));
            held.push(Held::new(record.token(), record.owner().revision));
            next = record.next();
            let hash = hashes.token(project, record.token());
            if let Some(entry) = self.tokens.occupied(hash, |other| *other == slot) {
                entry.remove();
            }
            self.arena.free(slot);
        }
    }

    /// The bytes allocated, without the shard itself.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.bytes() + self.tokens.bytes() + self.runs.bytes()
    }

    /// Makes a claim the head of its run's list.
    fn add_to_run(&mut self, hashes: &Hashes, project: u32, run: u64, slot: Slot) {
        let arena = &self.arena;
        let entry = self.runs.entry(
            hashes.run(project, run),
            |slot| Record(arena.get(*slot)).is_run(project, run),
            |slot| {
                let record = Record(arena.get(*slot));
                hashes.run(record.project(), record.owner().run)
            },
        );
        match entry {
            Entry::Vacant(entry) => {
                entry.insert(slot);
            }
            Entry::Occupied(mut entry) => {
                let second = std::mem::replace(entry.get_mut(), slot);
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
        if let Some(mut entry) = self.runs.occupied(hash, |other| *other == slot) {
            if let Some(next) = next {
                *entry.get_mut() = next;
            } else {
                entry.remove();
            }
        }
    }
}
