//! The items of a batch, in the order in which they are worked on.

/// Enough that threads rarely meet, few enough that `release_run`, which visits
/// them all, takes a microsecond.
pub(crate) const SHARDS: usize = 8;

/// How many items are worked on together: what they read must still be in the
/// nearest memory when it is needed.
const AT_ONCE: usize = 32;

/// The shard of a token's hash.
pub(crate) fn shard_of(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

/// An item of a batch.
#[derive(Clone, Copy, Default)]
pub(crate) struct Item {
    /// The hash of its token.
    pub(crate) hash: u64,
    /// Where in the batch it stands.
    pub(crate) position: usize,
}

/// Items by shard, and in each in the order of the batch.
pub(crate) struct Batch {
    items: Vec<Item>,
    ends: [usize; SHARDS],
}

impl Batch {
    /// The items with these hashes.
    pub(crate) fn new(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        let hashes: Vec<u64> = hashes.collect();
        let mut counts = [0; SHARDS];
        for hash in &hashes {
            counts[shard_of(*hash)] += 1;
        }
        let (mut next, mut ends, mut end) = ([0; SHARDS], [0; SHARDS], 0);
        for shard in 0..SHARDS {
            next[shard] = end;
            end += counts[shard];
            ends[shard] = end;
        }
        let mut items = vec![Item::default(); hashes.len()];
        for (position, hash) in hashes.into_iter().enumerate() {
            let place = &mut next[shard_of(hash)];
            items[*place] = Item { hash, position };
            *place += 1;
        }
        Self { items, ends }
    }

    /// The items with their shards: the shards in ascending order, a few items of
    /// one shard at a time.
    pub(crate) fn by_shard(&self) -> impl Iterator<Item = (usize, &[Item])> {
        let mut begin = 0;
        self.ends.iter().enumerate().flat_map(move |(shard, end)| {
            let items = &self.items[begin..*end];
            begin = *end;
            items.chunks(AT_ONCE).map(move |items| (shard, items))
        })
    }

    /// The items before the one with this position, in the order of `by_shard`.
    pub(crate) fn before(&self, position: usize) -> impl Iterator<Item = (usize, &Item)> {
        let items = self.items.iter();
        items
            .take_while(move |item| item.position != position)
            .map(|item| (shard_of(item.hash), item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_once_with_its_shard_and_in_order() {
        let hashes: Vec<u64> = (0..1000_u64).map(|i| (i * i) << 48 | i).collect();
        let batch = Batch::new(hashes.iter().copied());
        let mut seen = Vec::new();
        for (shard, items) in batch.by_shard() {
            assert!(items.is_sorted_by_key(|item| item.position));
            for item in items {
                assert_eq!(shard_of(item.hash), shard);
                assert_eq!(hashes[item.position], item.hash);
                seen.push(item.position);
            }
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..1000));
    }

    #[test]
    fn an_empty_batch_has_no_shards() {
        assert_eq!(Batch::new([].into_iter()).by_shard().count(), 0);
    }
}
