//! Which claims a batch consists of.

use std::ops::Range;

/// Batches of one size, of which there may be so many claims only.
#[derive(Clone, Copy)]
pub struct Batches {
    size: u64,
    total: u64,
}

impl Batches {
    /// Batches of `size` claims each, until `total` claims are made, if there is such a number.
    pub fn new(size: u64, total: Option<u64>) -> Self {
        Self {
            size,
            total: total.unwrap_or(u64::MAX),
        }
    }

    /// The numbers of the claims of one batch; the last may be a short one.
    pub fn numbers(self, batch: u64) -> Range<u64> {
        batch * self.size..((batch + 1) * self.size).min(self.total)
    }
}

/// How many claims there are in a range of their numbers.
pub fn count(numbers: &Range<u64>) -> u64 {
    numbers.end - numbers.start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batch_may_be_short() {
        let batches = Batches::new(256, Some(300));
        assert_eq!((batches.numbers(0), batches.numbers(1)), (0..256, 256..300));
        assert_eq!(count(&Batches::new(256, None).numbers(7)), 256);
    }
}
