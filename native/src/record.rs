//! The bytes of one claim in the arena.
//!
//! | bytes  | field                                       |
//! |--------|---------------------------------------------|
//! | 0..8   | run                                         |
//! | 8..16  | revision                                    |
//! | 16..20 | project                                     |
//! | 20..24 | previous claim of the run in the same shard |
//! | 24..28 | next claim of the run in the same shard     |
//! | 28..30 | length of the token                         |
//! | 30..   | token                                       |
//!
//! Packed by hand: a struct with a pointer to the token would need 64 bytes
//! where this needs 30, and an allocation per token beside them.

use crate::arena::Slot;
use crate::index::Owner;

const RUN: usize = 0;
const REVISION: usize = 8;
const PROJECT: usize = 16;
const PREVIOUS: usize = 20;
const NEXT: usize = 24;
const LENGTH: usize = 28;
const TOKEN: usize = 30;

/// The bytes that a claim of a token of this length takes.
pub(crate) fn record_bytes(token_length: usize) -> usize {
    TOKEN + token_length
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

/// A claim, read in place.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a>(pub(crate) &'a [u8]);

impl<'a> Record<'a> {
    pub(crate) fn owner(self) -> Owner {
        Owner {
            run: u64_at(self.0, RUN),
            revision: u64_at(self.0, REVISION),
        }
    }

    pub(crate) fn project(self) -> u32 {
        u32_at(self.0, PROJECT)
    }

    pub(crate) fn previous(self) -> Option<Slot> {
        Slot::decode(u32_at(self.0, PREVIOUS))
    }

    pub(crate) fn next(self) -> Option<Slot> {
        Slot::decode(u32_at(self.0, NEXT))
    }

    pub(crate) fn token(self) -> &'a [u8] {
        let length = u16::from_le_bytes([self.0[LENGTH], self.0[LENGTH + 1]]);
        &self.0[TOKEN..TOKEN + usize::from(length)]
    }

    pub(crate) fn is_token(self, project: u32, token: &[u8]) -> bool {
        self.project() == project && self.token() == token
    }

    pub(crate) fn is_run(self, project: u32, run: u64) -> bool {
        u64_at(self.0, RUN) == run && self.project() == project
    }
}

/// A claim, written in place.
pub(crate) struct RecordMut<'a>(pub(crate) &'a mut [u8]);

impl RecordMut<'_> {
    /// Writes a claim that is not yet in its run's list.
    pub(crate) fn write(&mut self, project: u32, token: &[u8], claim: Owner) {
        // Tokens have at most 4096 bytes.
        let length = token.len() as u16;
        self.0[RUN..REVISION].copy_from_slice(&claim.run.to_le_bytes());
        self.0[REVISION..PROJECT].copy_from_slice(&claim.revision.to_le_bytes());
        self.0[PROJECT..PREVIOUS].copy_from_slice(&project.to_le_bytes());
        self.set_previous(None);
        self.set_next(None);
        self.0[LENGTH..TOKEN].copy_from_slice(&length.to_le_bytes());
        self.0[TOKEN..TOKEN + token.len()].copy_from_slice(token);
    }

    pub(crate) fn set_previous(&mut self, slot: Option<Slot>) {
        self.0[PREVIOUS..NEXT].copy_from_slice(&Slot::encode(slot).to_le_bytes());
    }

    pub(crate) fn set_next(&mut self, slot: Option<Slot>) {
        self.0[NEXT..LENGTH].copy_from_slice(&Slot::encode(slot).to_le_bytes());
    }
}
