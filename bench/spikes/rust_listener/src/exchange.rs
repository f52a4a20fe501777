//! Where calls wait for Python: one lock, one wake-up for as many as there are.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Mutex;

use crate::call::Arrived;

/// Calls that have arrived and that Python has not fetched.
///
/// There is a byte in the pipe exactly when the exchange has calls (or is about
/// to be told so): whoever makes it non-empty writes one, and a fetch reads one
/// and takes everything. So neither end of the pipe ever blocks.
pub struct Exchange {
    waiting: Mutex<Vec<Arrived>>,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Exchange {
    /// An empty exchange.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self {
            waiting: Mutex::default(),
            reader,
            writer,
        })
    }

    /// The descriptor that is readable when there is something to fetch.
    pub fn descriptor(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Adds calls, at least one, and wakes Python if it does not know already.
    pub fn put(&self, calls: &mut Vec<Arrived>) -> io::Result<()> {
        let was_empty = {
            let mut waiting = self.waiting.lock().expect("nobody panics with it");
            let was_empty = waiting.is_empty();
            waiting.append(calls);
            was_empty
        };
        if was_empty {
            (&self.writer).write_all(&[1])?;
        }
        Ok(())
    }

    /// Takes all calls; to be called once whenever the descriptor is readable.
    pub fn fetch(&self) -> io::Result<Vec<Arrived>> {
        (&self.reader).read_exact(&mut [0])?;
        Ok(std::mem::take(
            &mut *self.waiting.lock().expect("nobody panics with it"),
        ))
    }
}
