//! A hash table of slots that grows in small steps and knows its hashes.

use std::mem::size_of;

use crate::arena::Slot;

const PARTS: usize = 64;
/// Of how many even shares of the hashes the parts are made.
const SHARES: usize = 4096;
/// The part of each share.
///
/// The last part has twice as many as the first, and those between them in even
/// steps. So parts grow one after the other, and each into memory of the size
/// that another one has just left: equal parts would all do so at once, and
/// leave holes that nobody fits in.
static PART_OF_SHARE: [u8; SHARES] = part_of_share();

const fn part_of_share() -> [u8; SHARES] {
    const FIRST: usize = PARTS * PARTS;
    const END: usize = 4 * FIRST;
    let mut parts = [0; SHARES];
    let mut share = 0;
    while share < SHARES {
        // Even over the squares from PARTS² to (2 · PARTS)², of which the n-th
        // begins a part and is 2n + 1 away from the next.
        let square = FIRST + (END - FIRST) * share / SHARES;
        parts[share] = (square.isqrt() - PARTS) as u8;
        share += 1;
    }
    parts
}

/// An entry that is not used. It is greater than every other one.
const EMPTY: u64 = u64::MAX;
/// Entries behind the last home, for those that were pushed over the end.
const TAIL: usize = 8;
/// How many of so many homes may be taken.
const FULL: (usize, usize) = (7, 8);
/// The homes of the first table of a part.
const MIN_HOMES: usize = 8;

/// A slot that was found, and where.
pub(crate) struct Found {
    pub(crate) slot: Slot,
    number: usize,
    at: usize,
}

/// Where a slot belongs that was not found.
pub(crate) struct Vacancy {
    tag: u32,
    number: usize,
    at: usize,
}

/// A set of slots, found by hash.
///
/// It is cut into parts by some bits of the hash. Each grows by itself and by an
/// eighth, so that the pause is that of one part, and little is unused.
///
/// An entry is eight bytes: half the hash, and the slot, whose record has the
/// key. So a search reads one line of memory, and a record only if it is the
/// one, or one in four billion; and a part grows without looking at records.
pub(crate) struct SlotTable {
    parts: Box<[Part; PARTS]>,
}

impl SlotTable {
    pub(crate) fn new() -> Self {
        Self {
            parts: Box::new(std::array::from_fn(|_| Part::default())),
        }
    }

    /// The part of a hash.
    ///
    /// Entries keep the lowest 32 bits, and the index takes bits 48 to 50 for
    /// the shard.
    fn part(hash: u64) -> usize {
        usize::from(PART_OF_SHARE[(hash >> 32) as usize % SHARES])
    }

    /// The first slot that may be the one: as much of its hash as is known is the same.
    pub(crate) fn likely(&self, hash: u64) -> Option<Slot> {
        self.search(hash, |_| true).ok().map(|found| found.slot)
    }

    /// Reads where a search is going to begin, so that it will find that memory near.
    pub(crate) fn touch(&self, hash: u64) -> u64 {
        let part = &self.parts[Self::part(hash)];
        let home = part.home(hash as u32);
        part.entries.get(home).copied().unwrap_or(EMPTY)
    }

    /// The slot, or the place for it.
    pub(crate) fn search(
        &self,
        hash: u64,
        is_it: impl FnMut(Slot) -> bool,
    ) -> Result<Found, Vacancy> {
        let number = Self::part(hash);
        let part = &self.parts[number];
        match part.search(hash as u32, is_it) {
            Ok(at) => Ok(Found {
                slot: slot_of(part.entries[at]),
                number,
                at,
            }),
            Err(at) => Err(Vacancy {
                tag: hash as u32,
                number,
                at,
            }),
        }
    }

    /// Puts a slot that a search has not found. Nothing may have changed since.
    pub(crate) fn insert(&mut self, place: Vacancy, slot: Slot) {
        self.parts[place.number].insert(place.at, place.tag, slot);
    }

    /// Puts another slot in the place of one that a search has found. Nothing
    /// may have changed since.
    pub(crate) fn replace(&mut self, found: Found, slot: Slot) {
        let entry = &mut self.parts[found.number].entries[found.at];
        *entry = join(tag_of(*entry), slot);
    }

    /// Takes out a slot that a search has found. Nothing may have changed since.
    pub(crate) fn remove(&mut self, found: Found) {
        self.parts[found.number].remove(found.at);
    }

    pub(crate) fn bytes(&self) -> usize {
        let entries: usize = self.parts.iter().map(|part| part.entries.len()).sum();
        entries * size_of::<u64>() + size_of_val(&*self.parts)
    }
}

fn join(tag: u32, slot: Slot) -> u64 {
    u64::from(tag) << 32 | u64::from(Slot::encode(Some(slot)))
}

fn slot_of(entry: u64) -> Slot {
    Slot::decode_some(entry as u32)
}

fn tag_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

/// The entries in the order of their tags, with gaps.
///
/// An entry's home is where its tag stands among all tags, and it is there or
/// behind it with no gap between. This is linear probing in the order of
/// Robin Hood: what is behind the place where a tag belongs need not be read.
#[derive(Default)]
struct Part {
    /// Places: one for each home, and some for what was pushed over the end.
    entries: Box<[u64]>,
    homes: usize,
    count: usize,
}

impl Part {
    fn home(&self, tag: u32) -> usize {
        home(tag, self.homes)
    }

    /// Where a tag's entries begin, or would.
    fn begin(&self, tag: u32) -> usize {
        let key = u64::from(tag) << 32;
        let home = self.home(tag);
        let behind = &self.entries[home..];
        home + behind
            .iter()
            .position(|entry| *entry >= key)
            .unwrap_or(behind.len())
    }

    /// Where a tag's slot is, or where it belongs.
    fn search(&self, tag: u32, mut is_it: impl FnMut(Slot) -> bool) -> Result<usize, usize> {
        let begin = self.begin(tag);
        let mut place = begin;
        // An empty entry looks as if it had the last of all tags.
        while let Some(entry) = self.entries.get(place)
            && tag_of(*entry) == tag
            && *entry != EMPTY
        {
            if is_it(slot_of(*entry)) {
                return Ok(place);
            }
            place += 1;
        }
        Err(begin)
    }

    /// Puts a slot where a search has said.
    fn insert(&mut self, at: usize, tag: u32, slot: Slot) {
        let mut at = at;
        if (self.count + 1) * FULL.1 > self.homes * FULL.0 {
            self.spread(MIN_HOMES.max(self.homes + self.homes / 8));
            at = self.begin(tag);
        }
        let behind = &self.entries[at..];
        let gap = behind.iter().position(|entry| *entry == EMPTY);
        let gap = gap.unwrap_or(behind.len());
        if at + gap == self.entries.len() {
            self.lengthen();
        }
        let behind = &mut self.entries[at..];
        behind.copy_within(..gap, 1);
        behind[0] = join(tag, slot);
        self.count += 1;
    }

    /// Spreads the entries over more homes.
    fn spread(&mut self, homes: usize) {
        let mut spread = vec![EMPTY; homes + TAIL];
        let mut free = 0;
        for entry in self.entries.iter().filter(|entry| **entry != EMPTY) {
            let place = home(tag_of(*entry), homes).max(free);
            if place == spread.len() {
                spread.push(*entry);
            } else {
                spread[place] = *entry;
            }
            free = place + 1;
        }
        self.entries = spread.into_boxed_slice();
        self.homes = homes;
    }

    /// Makes more places behind the last home.
    fn lengthen(&mut self) {
        let mut entries = std::mem::take(&mut self.entries).into_vec();
        entries.resize(entries.len() + TAIL, EMPTY);
        self.entries = entries.into_boxed_slice();
    }

    fn remove(&mut self, at: usize) {
        let homes = self.homes;
        let behind = &self.entries[at + 1..];
        // What is at its home stays there, and all behind it.
        let stays = behind
            .iter()
            .enumerate()
            .position(|(i, entry)| *entry == EMPTY || home(tag_of(*entry), homes) == at + 1 + i)
            .unwrap_or(behind.len());
        self.entries.copy_within(at + 1..at + 1 + stays, at);
        self.entries[at + stays] = EMPTY;
        self.count -= 1;
    }
}

fn home(tag: u32, homes: usize) -> usize {
    ((u64::from(tag) * homes as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A hash with a bad spread of tags: many are the same, or the last of all.
    fn bad_hash(key: u32) -> u64 {
        let tag = match key % 7 {
            0 => u32::MAX,
            1 => u32::MAX - key % 3,
            2 => 0,
            _ => (key % 50).wrapping_mul(0x9e37_79b9),
        };
        u64::from(key % 2) << 32 | u64::from(tag)
    }

    fn good_hash(key: u32) -> u64 {
        (u64::from(key) + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(17)
    }

    /// Random operations beside a map; a slot is its own key.
    fn like_a_map(hash: fn(u32) -> u64, keys: u32, rounds: u32) {
        let mut table = SlotTable::new();
        let mut map = BTreeMap::new();
        let mut dice = 1_u64;
        for round in 0..rounds {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (dice >> 33) as u32 % keys;
            let slot = Slot::decode_some(key * 2);
            let other = Slot::decode_some(key * 2 + 1);
            let mine = |found: Slot| found == slot || found == other;
            match table.search(hash(key), mine) {
                Ok(found) => {
                    assert_eq!(map.get(&key), Some(&Slot::encode(Some(found.slot))));
                    if round % 3 == 0 {
                        table.replace(found, other);
                        map.insert(key, Slot::encode(Some(other)));
                    } else {
                        table.remove(found);
                        map.remove(&key);
                    }
                }
                Err(place) => {
                    assert_eq!(map.get(&key), None);
                    table.insert(place, slot);
                    map.insert(key, Slot::encode(Some(slot)));
                }
            }
        }
        for key in 0..keys {
            let mine = |found: Slot| Slot::encode(Some(found)) / 2 == key;
            let found = table.search(hash(key), mine).ok();
            let found = found.map(|found| Slot::encode(Some(found.slot)));
            assert_eq!(found, map.get(&key).copied());
        }
    }

    #[test]
    fn a_table_is_like_a_map() {
        like_a_map(good_hash, 20, 50_000);
        like_a_map(good_hash, 30_000, 200_000);
    }

    #[test]
    fn a_table_is_like_a_map_when_hashes_collide() {
        like_a_map(bad_hash, 400, 50_000);
    }

    #[test]
    fn little_is_unused() {
        let mut table = SlotTable::new();
        for key in 0..200_000 {
            let Err(place) = table.search(good_hash(key), |_| false) else {
                unreachable!("nothing is the one")
            };
            table.insert(place, Slot::decode_some(key));
        }
        assert!(table.bytes() < 200_000 * 11, "{}", table.bytes());
    }

    #[test]
    fn the_last_part_is_twice_the_first() {
        let mut shares = [0_u32; PARTS];
        for part in PART_OF_SHARE {
            shares[usize::from(part)] += 1;
        }
        assert!(shares.is_sorted_by(|a, b| *a <= *b + 2), "{shares:?}");
        let ratio = f64::from(shares[PARTS - 1]) / f64::from(shares[0]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }
}
