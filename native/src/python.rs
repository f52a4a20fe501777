//! The index as Python sees it: `hookd_daemon._native`.
//!
//! No Python object is made or dropped under a lock of the index, so no Python
//! code can run there. A thread that waits for such a lock may hold the
//! interpreter lock: whoever has the index's lock needs no interpreter to give
//! it back.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySequence};

use crate::encode::PlainClaim;
use crate::error::IndexError;
use crate::index::stored::StoredClaim;
use crate::index::{self, Held, Owner};

/// What to reserve for a token: a UUID has 36 bytes.
const USUAL_TOKEN_BYTES: usize = 40;

impl From<IndexError> for PyErr {
    fn from(error: IndexError) -> Self {
        let message = error.to_string();
        match error {
            IndexError::RevisionOverflow => PyOverflowError::new_err(message),
            _ => PyValueError::new_err(message),
        }
    }
}

/// The tokens of a batch, copied: readable without the interpreter lock, and
/// near each other, which Python's objects are not.
#[derive(Default)]
struct Tokens {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Tokens {
    fn push(&mut self, token: &[u8]) {
        self.bytes.extend_from_slice(token);
        self.ends.push(self.bytes.len());
    }

    fn slices(&self) -> Vec<&[u8]> {
        let mut begin = 0;
        let slice = |end: &usize| &self.bytes[std::mem::replace(&mut begin, *end)..*end];
        self.ends.iter().map(slice).collect()
    }
}

impl<'py> FromPyObject<'_, 'py> for Tokens {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let count = object.len()?;
        let mut tokens = Self {
            bytes: Vec::with_capacity(count * USUAL_TOKEN_BYTES),
            ends: Vec::with_capacity(count),
        };
        each(object, |item| {
            tokens.push(item.cast::<PyBytes>()?.as_bytes());
            Ok(())
        })?;
        Ok(tokens)
    }
}

/// Runs or revisions of a batch.
struct Numbers(Vec<u64>);

impl<'py> FromPyObject<'_, 'py> for Numbers {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let mut numbers = Vec::with_capacity(object.len()?);
        each(object, |item| {
            numbers.push(item.extract()?);
            Ok(())
        })?;
        Ok(Self(numbers))
    }
}

/// Goes through a sequence; a list needs no iterator.
fn each<'py>(
    sequence: Borrowed<'_, 'py, PyAny>,
    mut take: impl FnMut(Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    if let Ok(list) = sequence.cast::<PyList>() {
        return list.iter().try_for_each(take);
    }
    for item in sequence.cast::<PySequence>()?.try_iter()? {
        take(item?)?;
    }
    Ok(())
}

type Pair = (u64, u64);

fn pair(owner: Owner) -> Pair {
    (owner.run, owner.revision)
}

fn pairs(owners: Vec<Option<Owner>>) -> Vec<Option<Pair>> {
    owners.into_iter().map(|owner| owner.map(pair)).collect()
}

fn tokens(py: Python<'_>, held: Vec<Held>) -> Vec<(Bound<'_, PyBytes>, u64)> {
    held.into_iter()
        .map(|held| (PyBytes::new(py, &held.token), held.revision))
        .collect()
}

/// Stored claims on their way into the index.
#[derive(Default)]
struct Claims {
    tokens: Tokens,
    runs: Vec<u64>,
    revisions: Vec<u64>,
}

impl Claims {
    fn push(&mut self, claim: StoredClaim<'_>) {
        self.tokens.push(claim.token);
        self.runs.push(claim.run);
        self.revisions.push(claim.revision);
    }

    /// Loads the claims, and makes room for others.
    fn load(&mut self, index: &index::TokenIndex, project: &str) -> Result<(), IndexError> {
        index.load(project, &self.tokens.slices(), &self.runs, &self.revisions)?;
        self.tokens.bytes.clear();
        self.tokens.ends.clear();
        self.runs.clear();
        self.revisions.clear();
        Ok(())
    }
}

/// What is said of stored claims that are not what was stored.
fn damaged(why: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("the table of claims is damaged: {why}"))
}

/// Which run of which project owns which hook token.
#[pyclass(frozen, module = "hookd_daemon._native")]
pub(crate) struct TokenIndex(pub(crate) index::TokenIndex);

#[pymethods]
impl TokenIndex {
    #[new]
    fn new() -> Self {
        Self(index::TokenIndex::new())
    }

    /// Claim a token; give the present (run, revision) if it is taken.
    fn claim(
        &self,
        project: &str,
        token: &Bound<'_, PyBytes>,
        run: u64,
        revision: u64,
    ) -> PyResult<Option<Pair>> {
        let owner = self
            .0
            .claim(project, token.as_bytes(), Owner { run, revision })?;
        Ok(owner.map(pair))
    }

    /// Claim tokens in order, item i with revision `first_revision + i`.
    fn claim_batch(
        &self,
        py: Python<'_>,
        project: &str,
        tokens: Tokens,
        runs: Numbers,
        first_revision: u64,
    ) -> PyResult<Vec<Option<Pair>>> {
        let owners = py.detach(|| {
            let tokens = tokens.slices();
            self.0
                .claim_batch(project, &tokens, &runs.0, first_revision)
        })?;
        Ok(pairs(owners))
    }

    /// Release a token if its claim has this revision.
    fn release(&self, project: &str, token: &Bound<'_, PyBytes>, revision: u64) -> bool {
        self.0.release(project, token.as_bytes(), revision)
    }

    /// Release tokens in order, each if its claim has its revision.
    fn release_batch(
        &self,
        py: Python<'_>,
        project: &str,
        tokens: Tokens,
        revisions: Numbers,
    ) -> PyResult<Vec<bool>> {
        Ok(py.detach(|| {
            self.0
                .release_batch(project, &tokens.slices(), &revisions.0)
        })?)
    }

    /// Release all tokens of a run; give (token, revision) by revision.
    fn release_run<'py>(
        &self,
        py: Python<'py>,
        project: &str,
        run: u64,
    ) -> Vec<(Bound<'py, PyBytes>, u64)> {
        tokens(py, self.0.release_run(project, run))
    }

    /// Give (token, revision) of a run's tokens by revision.
    fn tokens_of<'py>(
        &self,
        py: Python<'py>,
        project: &str,
        run: u64,
    ) -> Vec<(Bound<'py, PyBytes>, u64)> {
        tokens(py, self.0.tokens_of(project, run))
    }

    /// Give the (run, revision) that holds a token.
    fn owner(&self, project: &str, token: &Bound<'_, PyBytes>) -> Option<Pair> {
        self.0.owner(project, token.as_bytes()).map(pair)
    }

    /// Give the (run, revision) that holds each token.
    fn owner_batch(&self, py: Python<'_>, project: &str, tokens: Tokens) -> Vec<Option<Pair>> {
        pairs(py.detach(|| self.0.owner_batch(project, &tokens.slices())))
    }

    /// Put claims with given revisions, all or none.
    fn load(
        &self,
        py: Python<'_>,
        project: &str,
        tokens: Tokens,
        runs: Numbers,
        revisions: Numbers,
    ) -> PyResult<()> {
        Ok(py.detach(|| {
            self.0
                .load(project, &tokens.slices(), &runs.0, &revisions.0)
        })?)
    }

    /// Put the claims of a store, `at_once` at a time; give their number.
    fn load_stored(
        &self,
        py: Python<'_>,
        pairs: &Bound<'_, PyAny>,
        at_once: usize,
    ) -> PyResult<usize> {
        let mut total = 0;
        let mut project = String::new();
        let mut claims = Claims::default();
        for pair in pairs.try_iter()? {
            let pair: (Bound<'_, PyBytes>, Bound<'_, PyBytes>) = pair?.extract()?;
            let claim = StoredClaim::decode(pair.0.as_bytes(), pair.1.as_bytes());
            let claim =
                claim.map_err(|error| damaged(format_args!("claim {total} has {error}")))?;
            if claim.project != project || claims.runs.len() >= at_once {
                py.detach(|| claims.load(&self.0, &project))
                    .map_err(damaged)?;
                claim.project.clone_into(&mut project);
            }
            claims.push(claim);
            total += 1;
        }
        py.detach(|| claims.load(&self.0, &project))
            .map_err(damaged)?;
        Ok(total)
    }

    /// Count the tokens that a project holds.
    fn count(&self, project: &str) -> usize {
        self.0.count(project)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// List the projects that hold tokens, with their counts.
    fn projects(&self) -> Vec<(String, usize)> {
        self.0.projects()
    }

    /// Count the bytes that the index has allocated.
    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

type Encoded<'py> = (
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
);

/// Writes the records of a claim without `ttl`, `hold_after`, metadata and trace
/// context: its event, its hook and its claim.
#[pyfunction]
#[pyo3(signature = (uid, run_id, hook_id, token, generated, revision, seq, now_ms, /))]
#[expect(
    clippy::too_many_arguments,
    reason = "one call instead of one object per claim"
)]
pub fn encode_plain_claim<'py>(
    py: Python<'py>,
    uid: u64,
    run_id: &str,
    hook_id: &str,
    token: &str,
    generated: bool,
    revision: u64,
    seq: u64,
    now_ms: u64,
) -> Encoded<'py> {
    let claim = PlainClaim {
        run_uid: uid,
        run_id,
        hook_id,
        token,
        generated,
        revision,
        seq,
        now_ms,
        traceparent: "",
    };
    (
        PyBytes::new(py, &claim.event()),
        PyBytes::new(py, &claim.hook()),
        PyBytes::new(py, &claim.claim()),
    )
}
