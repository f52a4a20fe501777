//! A hash table of slots that grows in small steps.

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, OccupiedEntry};

use crate::arena::Slot;

const PARTS: usize = 64;

/// A set of slots, found by hash.
///
/// It is cut into parts by some bits of the hash. Each grows by itself, so the
/// pause of a rehash is that of one part. The last part gets twice as many of
/// the hashes as the first, and those between them in even steps: equal parts
/// would all be full at the same time, and would all be half empty after it.
///
/// A slot takes five bytes and the table's slack; its key is in the record.
pub(crate) struct SlotTable {
    parts: [HashTable<Slot>; PARTS],
}

impl SlotTable {
    pub(crate) fn new() -> Self {
        Self {
            parts: std::array::from_fn(|_| HashTable::new()),
        }
    }

    /// The part of a hash.
    ///
    /// `hashbrown` takes the lowest bits for the bucket and the highest seven
    /// for the tag, and the index takes bits 48 to 51 for the shard.
    fn part(hash: u64) -> usize {
        const FIRST: usize = PARTS * PARTS;
        const END: usize = 4 * FIRST;
        let share = (hash >> 32) as u16;
        // Even over the squares from PARTS² to (2 · PARTS)², of which the n-th
        // begins a part and is 2n + 1 away from the next.
        let square = FIRST + (((END - FIRST) * usize::from(share)) >> 16);
        square.isqrt() - PARTS
    }

    pub(crate) fn find(&self, hash: u64, is_it: impl FnMut(&Slot) -> bool) -> Option<Slot> {
        self.parts[Self::part(hash)].find(hash, is_it).copied()
    }

    /// The place of a slot that may be taken out or exchanged.
    pub(crate) fn occupied(
        &mut self,
        hash: u64,
        is_it: impl FnMut(&Slot) -> bool,
    ) -> Option<OccupiedEntry<'_, Slot>> {
        self.parts[Self::part(hash)].find_entry(hash, is_it).ok()
    }

    /// The place of a slot that may be there or be put there.
    pub(crate) fn entry(
        &mut self,
        hash: u64,
        is_it: impl FnMut(&Slot) -> bool,
        rehash: impl Fn(&Slot) -> u64,
    ) -> Entry<'_, Slot> {
        self.parts[Self::part(hash)].entry(hash, is_it, rehash)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(HashTable::allocation_size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_twice_the_first() {
        let mut shares = [0_u32; PARTS];
        for share in 0..=u64::from(u16::MAX) {
            shares[SlotTable::part(share << 32)] += 1;
        }
        assert!(shares.is_sorted_by(|a, b| *a <= *b + 6), "{shares:?}");
        let ratio = f64::from(shares[PARTS - 1]) / f64::from(shares[0]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }
}
