//! The concurrent index: (project, token) → (run, revision), and run → tokens.
//!
//! # Consistency
//!
//! Tokens are spread over shards by hash, each behind its own mutex, and a
//! shard holds both views of its tokens: who owns them, and which of them
//! belong to a run. What concerns one token locks one shard. What concerns
//! several at once (`release_run`, `tokens_of`, `load`) locks all shards, in
//! ascending order, and so is atomic towards everything else: a claim is
//! either before the release of its run and released by it, or after and kept.
//! Nobody who holds one shard waits for a lower one, hence no deadlock. Each item
//! of a batch is atomic; the batch as a whole is not. Items of one token take
//! effect in order, items of different tokens in any order during the call.
//!
//! The lock on the project names comes before those on shards. It is held for
//! reading during every operation, so that a project cannot lose its number
//! meanwhile.

mod batch;
pub mod stored;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::IndexError;
use crate::hash::Hashes;
use crate::index::batch::{Batch, Item, SHARDS, shard_of};
use crate::projects::Projects;
use crate::shard::Shard;

/// The longest token.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// The holder of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The run that made the claim.
    pub run: u64,
    /// The claim's fencing number.
    pub revision: u64,
}

/// A token that a run holds, or held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The token.
    pub token: Box<[u8]>,
    /// The claim's fencing number.
    pub revision: u64,
}

impl Held {
    pub(crate) fn new(token: &[u8], revision: u64) -> Self {
        Self {
            token: token.into(),
            revision,
        }
    }
}

/// Who owns which token.
pub struct TokenIndex {
    hashes: Hashes,
    projects: RwLock<Projects>,
    shards: Box<[Mutex<Shard>]>,
}

impl Default for TokenIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenIndex {
    /// An index without claims.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hashes: Hashes::new(),
            projects: RwLock::new(Projects::new()),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
        }
    }

    /// Claims a token, or tells who holds it already, be it the same run.
    ///
    /// # Errors
    ///
    /// [`IndexError::TokenLength`].
    pub fn claim(
        &self,
        project: &str,
        token: &[u8],
        claim: Owner,
    ) -> Result<Option<Owner>, IndexError> {
        check_length(0, token)?;
        let (projects, number) = self.intern(project);
        let hash = self.hashes.token(number, token);
        let mut shard = self.shards[shard_of(hash)].lock();
        let hashes = (hash, self.hashes.run(number, claim.run));
        let owner = shard.claim(hashes, number, token, claim);
        if owner.is_none() {
            projects.add(number, 1);
        }
        Ok(owner)
    }

    /// Claims tokens one after the other, the i-th with `first_revision + i`.
    ///
    /// # Errors
    ///
    /// [`IndexError::TokenLength`], [`IndexError::LengthMismatch`],
    /// [`IndexError::RevisionOverflow`]; nothing is claimed then.
    pub fn claim_batch<T: AsRef<[u8]>>(
        &self,
        project: &str,
        tokens: &[T],
        runs: &[u64],
        first_revision: u64,
    ) -> Result<Vec<Option<Owner>>, IndexError> {
        check_count(tokens, runs)?;
        check_lengths(tokens)?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        if first_revision
            .checked_add(tokens.len() as u64 - 1)
            .is_none()
        {
            return Err(IndexError::RevisionOverflow);
        }
        let (projects, number) = self.intern(project);
        let mut owners = vec![None; tokens.len()];
        self.visit(number, tokens, |shard, items| {
            let mut claimed = 0;
            let hashes = |item: &Item| (item.hash, self.hashes.run(number, runs[item.position]));
            shard.approach_claims(items.iter().map(hashes));
            for item in items {
                let claim = Owner {
                    run: runs[item.position],
                    revision: first_revision + item.position as u64,
                };
                let token = tokens[item.position].as_ref();
                let owner = shard.claim(hashes(item), number, token, claim);
                claimed += usize::from(owner.is_none());
                owners[item.position] = owner;
            }
            projects.add(number, claimed);
        });
        Ok(owners)
    }

    /// Ends a claim if it has this revision, and tells whether it did.
    pub fn release(&self, project: &str, token: &[u8], revision: u64) -> bool {
        let projects = self.projects.read();
        let Some(number) = projects.number(project) else {
            return false;
        };
        let hash = self.hashes.token(number, token);
        let mut shard = self.shards[shard_of(hash)].lock();
        let released = shard.release(&self.hashes, hash, number, token, revision);
        if released {
            projects.subtract(number, 1);
        }
        released
    }

    /// Ends claims one after the other, each if it has its revision.
    ///
    /// # Errors
    ///
    /// [`IndexError::LengthMismatch`].
    pub fn release_batch<T: AsRef<[u8]>>(
        &self,
        project: &str,
        tokens: &[T],
        revisions: &[u64],
    ) -> Result<Vec<bool>, IndexError> {
        check_count(tokens, revisions)?;
        let projects = self.projects.read();
        let Some(number) = projects.number(project) else {
            return Ok(vec![false; tokens.len()]);
        };
        let mut released = vec![false; tokens.len()];
        self.visit(number, tokens, |shard, items| {
            let mut count = 0;
            shard.approach_releases(&self.hashes, items.iter().map(|item| item.hash));
            for item in items {
                let token = tokens[item.position].as_ref();
                let revision = revisions[item.position];
                let done = shard.release(&self.hashes, item.hash, number, token, revision);
                count += usize::from(done);
                released[item.position] = done;
            }
            projects.subtract(number, count);
        });
        Ok(released)
    }

    /// Ends all claims of a run at once. They are in the order of revisions.
    pub fn release_run(&self, project: &str, run: u64) -> Vec<Held> {
        let projects = self.projects.read();
        let Some(number) = projects.number(project) else {
            return Vec::new();
        };
        let hash = self.hashes.run(number, run);
        let mut held = Vec::new();
        let mut shards = self.lock_all();
        for shard in &mut shards {
            shard.release_run(&self.hashes, hash, number, run, &mut held);
        }
        projects.subtract(number, held.len());
        drop(shards);
        held.sort_unstable_by_key(|held| held.revision);
        held
    }

    /// The tokens that a run holds, in the order of revisions.
    pub fn tokens_of(&self, project: &str, run: u64) -> Vec<Held> {
        let projects = self.projects.read();
        let Some(number) = projects.number(project) else {
            return Vec::new();
        };
        let hash = self.hashes.run(number, run);
        let mut held = Vec::new();
        let shards = self.lock_all();
        for shard in &shards {
            shard.list_run(hash, number, run, &mut held);
        }
        drop(shards);
        held.sort_unstable_by_key(|held| held.revision);
        held
    }

    /// The holder of a token.
    pub fn owner(&self, project: &str, token: &[u8]) -> Option<Owner> {
        let projects = self.projects.read();
        let number = projects.number(project)?;
        let hash = self.hashes.token(number, token);
        let shard = self.shards[shard_of(hash)].lock();
        shard.owner(hash, number, token)
    }

    /// The holders of tokens, asked one after the other.
    pub fn owner_batch<T: AsRef<[u8]>>(&self, project: &str, tokens: &[T]) -> Vec<Option<Owner>> {
        let projects = self.projects.read();
        let Some(number) = projects.number(project) else {
            return vec![None; tokens.len()];
        };
        let mut owners = vec![None; tokens.len()];
        self.visit(number, tokens, |shard, items| {
            for item in items {
                owners[item.position] =
                    shard.owner(item.hash, number, tokens[item.position].as_ref());
            }
        });
        owners
    }

    /// Puts claims with given revisions, all of them or, on an error, none.
    ///
    /// # Errors
    ///
    /// [`IndexError::TokenTaken`], [`IndexError::TokenLength`],
    /// [`IndexError::LengthMismatch`].
    pub fn load<T: AsRef<[u8]>>(
        &self,
        project: &str,
        tokens: &[T],
        runs: &[u64],
        revisions: &[u64],
    ) -> Result<(), IndexError> {
        check_count(tokens, runs)?;
        check_count(tokens, revisions)?;
        check_lengths(tokens)?;
        if tokens.is_empty() {
            return Ok(());
        }
        let (projects, number) = self.intern(project);
        let hashes = |item: &Item| (item.hash, self.hashes.run(number, runs[item.position]));
        let batch = self.batch(number, tokens);
        let mut shards = self.lock_all();
        for (shard, items) in batch.by_shard() {
            shards[shard].approach_claims(items.iter().map(hashes));
            for item in items {
                let claim = Owner {
                    run: runs[item.position],
                    revision: revisions[item.position],
                };
                let token = tokens[item.position].as_ref();
                let present = shards[shard].claim(hashes(item), number, token, claim);
                let Some(owner) = present else { continue };
                for (shard, done) in batch.before(item.position) {
                    let token = tokens[done.position].as_ref();
                    let revision = revisions[done.position];
                    shards[shard].release(&self.hashes, done.hash, number, token, revision);
                }
                return Err(IndexError::TokenTaken {
                    position: item.position,
                    run: owner.run,
                    revision: owner.revision,
                });
            }
        }
        projects.add(number, tokens.len());
        Ok(())
    }

    /// The number of tokens that a project holds.
    pub fn count(&self, project: &str) -> usize {
        let projects = self.projects.read();
        projects
            .number(project)
            .map_or(0, |number| projects.active(number))
    }

    /// The number of tokens that all projects hold.
    pub fn len(&self) -> usize {
        self.projects.read().total()
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every project that holds tokens, with their number, by name.
    pub fn projects(&self) -> Vec<(String, usize)> {
        self.projects.read().list()
    }

    /// The bytes that the index has allocated.
    pub fn memory_bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(|shard| shard.lock().bytes()).sum();
        shards + size_of_val(&*self.shards) + self.projects.read().bytes() + size_of::<Self>()
    }

    /// The project's number, and the lock under which it stays valid.
    fn intern(&self, project: &str) -> (RwLockReadGuard<'_, Projects>, u32) {
        let projects = self.projects.read();
        if let Some(number) = projects.number(project) {
            return (projects, number);
        }
        drop(projects);
        let mut projects = self.projects.write();
        let number = projects.intern(project);
        (RwLockWriteGuard::downgrade(projects), number)
    }

    fn lock_all(&self) -> Vec<MutexGuard<'_, Shard>> {
        self.shards.iter().map(Mutex::lock).collect()
    }

    /// Hands each shard, locked, the items of a batch that lead to it.
    ///
    /// One lock for many items, and no locked instruction between them, which
    /// would make each item wait until the memory of the one before it has
    /// come. A token's items stay in order, as they are all in one shard.
    fn visit<T: AsRef<[u8]>>(
        &self,
        number: u32,
        tokens: &[T],
        mut work: impl FnMut(&mut Shard, &[Item]),
    ) {
        for (shard, items) in self.batch(number, tokens).by_shard() {
            work(&mut self.shards[shard].lock(), items);
        }
    }

    fn batch<T: AsRef<[u8]>>(&self, number: u32, tokens: &[T]) -> Batch {
        let hash = |token: &T| self.hashes.token(number, token.as_ref());
        Batch::new(tokens.iter().map(hash))
    }
}

fn check_length(position: usize, token: &[u8]) -> Result<(), IndexError> {
    if (1..=MAX_TOKEN_BYTES).contains(&token.len()) {
        return Ok(());
    }
    Err(IndexError::TokenLength {
        position,
        length: token.len(),
    })
}

fn check_lengths<T: AsRef<[u8]>>(tokens: &[T]) -> Result<(), IndexError> {
    tokens
        .iter()
        .enumerate()
        .try_for_each(|(position, token)| check_length(position, token.as_ref()))
}

fn check_count<T>(tokens: &[T], values: &[u64]) -> Result<(), IndexError> {
    if tokens.len() == values.len() {
        return Ok(());
    }
    Err(IndexError::LengthMismatch {
        tokens: tokens.len(),
        values: values.len(),
    })
}
