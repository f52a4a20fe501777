//! The index as Python sees it: `hookd_daemon._native`.
//!
//! No Python object is made or dropped under a lock of the index, so no Python
//! code can run there. A thread that waits for such a lock may hold the
//! interpreter lock: whoever has the index's lock needs no interpreter to give
//! it back.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::encode::PlainClaim;
use crate::error::IndexError;
use crate::index::{self, Held, Owner};

impl From<IndexError> for PyErr {
    fn from(error: IndexError) -> Self {
        let message = error.to_string();
        match error {
            IndexError::RevisionOverflow => PyOverflowError::new_err(message),
            _ => PyValueError::new_err(message),
        }
    }
}

/// A token of a batch: a reference to the `bytes` object, readable without the
/// interpreter lock because `bytes` never change.
struct Token(PyBackedBytes);

impl AsRef<[u8]> for Token {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'py> FromPyObject<'_, 'py> for Token {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let bytes = object.cast::<PyBytes>()?;
        Ok(Self(bytes.to_owned().into()))
    }
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

/// Which run of which project owns which hook token.
#[pyclass(frozen, module = "hookd_daemon._native")]
pub(crate) struct TokenIndex(index::TokenIndex);

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
        tokens: Vec<Token>,
        runs: Vec<u64>,
        first_revision: u64,
    ) -> PyResult<Vec<Option<Pair>>> {
        let owners = py.detach(|| self.0.claim_batch(project, &tokens, &runs, first_revision))?;
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
        tokens: Vec<Token>,
        revisions: Vec<u64>,
    ) -> PyResult<Vec<bool>> {
        Ok(py.detach(|| self.0.release_batch(project, &tokens, &revisions))?)
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
    fn owner_batch(&self, py: Python<'_>, project: &str, tokens: Vec<Token>) -> Vec<Option<Pair>> {
        pairs(py.detach(|| self.0.owner_batch(project, &tokens)))
    }

    /// Put claims with given revisions, all or none.
    fn load(
        &self,
        py: Python<'_>,
        project: &str,
        tokens: Vec<Token>,
        runs: Vec<u64>,
        revisions: Vec<u64>,
    ) -> PyResult<()> {
        Ok(py.detach(|| self.0.load(project, &tokens, &runs, &revisions))?)
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
    };
    (
        PyBytes::new(py, &claim.event()),
        PyBytes::new(py, &claim.hook()),
        PyBytes::new(py, &claim.claim()),
    )
}
