//! Memory for records of different sizes, without an allocation for each.
//!
//! Memory comes in chunks of one size. A chunk is cut into equal slots for
//! records of one size class, named by the number of slots. Growing adds a
//! chunk and moves nothing. A freed slot goes to the next record of its class;
//! the memory of a chunk without records goes to the next chunk of any class,
//! or back to the allocator.

use std::mem::size_of;

/// The bytes of a chunk.
const CHUNK_BYTES: usize = 16 * 1024;
/// Slots of a chunk, at most: as many as `SLOT_BITS` can count.
const MAX_SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 9;
/// How many chunks' memory is kept for later. The rest goes back; these keep
/// a claim and release at the edge of a chunk from allocating every time.
const MAX_SPARES: usize = 4;
/// The end of a list of chunks.
const NO_CHUNK: u32 = u32::MAX;
/// The end of a chunk's list of freed slots.
const NO_PLACE: u16 = u16::MAX;

/// The smallest record: `MAX_SLOTS` of them fill a chunk.
const MIN_RECORD_BYTES: usize = CHUNK_BYTES / MAX_SLOTS;

/// The address of a record: its chunk, and its place in the chunk.
///
/// 23 bits of chunk numbers reach 128 GiB in one arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    fn new(chunk: u32, place: u16) -> Self {
        Self(chunk << SLOT_BITS | u32::from(place))
    }

    fn chunk(self) -> u32 {
        self.0 >> SLOT_BITS
    }

    fn place(self) -> u16 {
        (self.0 & (MAX_SLOTS as u32 - 1)) as u16
    }

    /// The form in which records refer to each other.
    pub(crate) fn encode(slot: Option<Self>) -> u32 {
        slot.map_or(u32::MAX, |slot| slot.0)
    }

    pub(crate) fn decode(encoded: u32) -> Option<Self> {
        (encoded != u32::MAX).then_some(Self(encoded))
    }

    /// The slot that `encode` was given.
    pub(crate) fn decode_some(encoded: u32) -> Self {
        debug_assert_ne!(encoded, u32::MAX);
        Self(encoded)
    }
}

struct Chunk {
    /// Empty while the chunk is vacant.
    data: Box<[u8]>,
    /// Neighbours among the open chunks of the class, or among the vacant.
    previous: u32,
    next: u32,
    /// Number of slots; names the class.
    slots: u16,
    slot_bytes: u16,
    live: u16,
    /// Slots from here on have never been used.
    fresh: u16,
    /// The first freed slot; each holds the next one in its first two bytes.
    freed: u16,
}

impl Chunk {
    fn range(&self, place: u16) -> std::ops::Range<usize> {
        let start = usize::from(place) * usize::from(self.slot_bytes);
        start..start + usize::from(self.slot_bytes)
    }

    fn take_place(&mut self) -> u16 {
        self.live += 1;
        let place = self.freed;
        if place == NO_PLACE {
            self.fresh += 1;
            return self.fresh - 1;
        }
        let start = self.range(place).start;
        self.freed = u16::from_le_bytes([self.data[start], self.data[start + 1]]);
        place
    }

    fn give_back(&mut self, place: u16) {
        self.live -= 1;
        let start = self.range(place).start;
        self.data[start..start + 2].copy_from_slice(&self.freed.to_le_bytes());
        self.freed = place;
    }
}

/// Chunked, size-classed memory.
pub(crate) struct Arena {
    chunks: Vec<Chunk>,
    /// The first chunk with a free slot, by class.
    open: Box<[u32; MAX_SLOTS + 1]>,
    /// The first chunk number without memory.
    vacant: u32,
    occupied: usize,
    spares: Vec<Box<[u8]>>,
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            open: Box::new([NO_CHUNK; MAX_SLOTS + 1]),
            vacant: NO_CHUNK,
            occupied: 0,
            spares: Vec::new(),
        }
    }

    /// How many slots a chunk for records of this size has.
    ///
    /// Sizes are rounded up to four bytes, so that tokens of nearly the same
    /// length share chunks.
    fn class_of(record_bytes: usize) -> u16 {
        let rounded = record_bytes.max(MIN_RECORD_BYTES).next_multiple_of(4);
        debug_assert!(rounded <= CHUNK_BYTES);
        (CHUNK_BYTES / rounded) as u16
    }

    /// A slot for a record. Its bytes are whatever they were.
    pub(crate) fn allocate(&mut self, record_bytes: usize) -> Slot {
        let class = Self::class_of(record_bytes);
        let number = match self.open[usize::from(class)] {
            NO_CHUNK => self.open_chunk(class),
            number => number,
        };
        let chunk = self.chunk_mut(number);
        let place = chunk.take_place();
        if chunk.live == chunk.slots {
            self.unlink(number);
        }
        Slot::new(number, place)
    }

    /// Ends the life of a record.
    pub(crate) fn free(&mut self, slot: Slot) {
        let number = slot.chunk();
        let chunk = self.chunk_mut(number);
        let was_full = chunk.live == chunk.slots;
        chunk.give_back(slot.place());
        let is_empty = chunk.live == 0;
        if was_full {
            self.link(number);
        }
        if is_empty {
            self.close_chunk(number);
        }
    }

    pub(crate) fn get(&self, slot: Slot) -> &[u8] {
        let chunk = &self.chunks[slot.chunk() as usize];
        &chunk.data[chunk.range(slot.place())]
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut [u8] {
        let chunk = self.chunk_mut(slot.chunk());
        let range = chunk.range(slot.place());
        &mut chunk.data[range]
    }

    /// The bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        (self.occupied + self.spares.len()) * CHUNK_BYTES
            + self.spares.capacity() * size_of::<Box<[u8]>>()
            + self.chunks.capacity() * size_of::<Chunk>()
            + size_of_val(&*self.open)
    }

    fn chunk_mut(&mut self, number: u32) -> &mut Chunk {
        &mut self.chunks[number as usize]
    }

    fn open_chunk(&mut self, class: u16) -> u32 {
        let data = self.spares.pop();
        let data = data.unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice());
        let chunk = Chunk {
            data,
            previous: NO_CHUNK,
            next: NO_CHUNK,
            slots: class,
            slot_bytes: (CHUNK_BYTES / usize::from(class)) as u16,
            live: 0,
            fresh: 0,
            freed: NO_PLACE,
        };
        let number = self.vacant;
        let number = if number == NO_CHUNK {
            self.chunks.push(chunk);
            self.chunks.len() as u32 - 1
        } else {
            let place = self.chunk_mut(number);
            let next_vacant = std::mem::replace(place, chunk).next;
            self.vacant = next_vacant;
            number
        };
        self.occupied += 1;
        self.link(number);
        number
    }

    /// Takes an empty chunk's memory away.
    fn close_chunk(&mut self, number: u32) {
        self.unlink(number);
        let vacant = std::mem::replace(&mut self.vacant, number);
        let chunk = self.chunk_mut(number);
        chunk.next = vacant;
        let data = std::mem::take(&mut chunk.data);
        if self.spares.len() < MAX_SPARES {
            self.spares.push(data);
        }
        self.occupied -= 1;
    }

    /// Makes a chunk the first open one of its class.
    fn link(&mut self, number: u32) {
        let class = usize::from(self.chunk_mut(number).slots);
        let next = std::mem::replace(&mut self.open[class], number);
        if next != NO_CHUNK {
            self.chunk_mut(next).previous = number;
        }
        let chunk = self.chunk_mut(number);
        chunk.previous = NO_CHUNK;
        chunk.next = next;
    }

    fn unlink(&mut self, number: u32) {
        let chunk = self.chunk_mut(number);
        let (class, previous, next) = (usize::from(chunk.slots), chunk.previous, chunk.next);
        if previous == NO_CHUNK {
            self.open[class] = next;
        } else {
            self.chunk_mut(previous).next = next;
        }
        if next != NO_CHUNK {
            self.chunk_mut(next).previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let mut arena = Arena::new();
        let slots: Vec<(Slot, usize)> = (0..20_000)
            .map(|i| {
                let size = 31 + (i * 7) % 4096;
                let slot = arena.allocate(size);
                arena.get_mut(slot)[..size].fill((i % 251) as u8);
                (slot, size)
            })
            .collect();
        for (i, (slot, size)) in slots.iter().enumerate() {
            let record = &arena.get(*slot)[..*size];
            assert!(record.iter().all(|byte| *byte == (i % 251) as u8));
        }
    }

    #[test]
    fn freed_memory_serves_other_sizes() {
        let mut arena = Arena::new();
        let slots: Vec<Slot> = (0..10_000).map(|_| arena.allocate(66)).collect();
        let peak = arena.bytes();
        for slot in slots {
            arena.free(slot);
        }
        assert!(arena.bytes() < peak / 5);
        for _ in 0..5_000 {
            arena.allocate(120);
        }
        assert!(arena.bytes() <= peak);
    }

    #[test]
    fn a_claim_at_the_edge_allocates_once() {
        let mut arena = Arena::new();
        let first = arena.allocate(66);
        arena.free(first);
        let bytes = arena.bytes();
        for _ in 0..1000 {
            let slot = arena.allocate(66);
            arena.free(slot);
            assert_eq!(arena.bytes(), bytes);
        }
    }

    #[test]
    fn slots_survive_their_encoding() {
        let slot = Slot::new(12_345, 511);
        assert_eq!(Slot::decode(Slot::encode(Some(slot))), Some(slot));
        assert_eq!(Slot::decode(Slot::encode(None)), None);
    }
}
