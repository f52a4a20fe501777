//! The keys of the records that a claim reads and writes.
//!
//! The layout is that of `core.keys` and `store.keys`, which describe it; a
//! test holds the two against each other.

/// A run, by its project and id.
pub(crate) fn run(project: &str, run_id: &str) -> Vec<u8> {
    named(b'R', project, run_id)
}

/// The claim of a token.
pub(crate) fn claim(project: &str, token: &str) -> Vec<u8> {
    named(b'T', project, token)
}

fn named(table: u8, project: &str, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(project.len() + name.len() + 2);
    key.push(table);
    key.extend_from_slice(project.as_bytes());
    key.push(0);
    key.extend_from_slice(name.as_bytes());
    key
}

/// A hook of a run.
pub(crate) fn hook(uid: u64, hook_id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(hook_id.len() + 9);
    key.push(b'H');
    key.extend_from_slice(&uid.to_be_bytes());
    key.extend_from_slice(hook_id.as_bytes());
    key
}

/// An event of a run's log.
pub(crate) fn event(uid: u64, seq: u64) -> [u8; 17] {
    let mut key = [b'E'; 17];
    key[1..9].copy_from_slice(&uid.to_be_bytes());
    key[9..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// A run in the list of runs by status.
pub(crate) fn run_by_status(status: u64, project: &str, created_ms: u64, uid: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(project.len() + 19);
    key.push(b'S');
    key.push(status.to_le_bytes()[0]);
    key.extend_from_slice(project.as_bytes());
    key.push(0);
    // The newest comes first.
    key.extend_from_slice(&(!created_ms).to_be_bytes());
    key.extend_from_slice(&(!uid).to_be_bytes());
    key
}
