//! Groups of plain claims as Python sees them.
//!
//! Python's methods of the store are called while a group is carried out, but
//! never under a lock of the index.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyList};

use crate::plain::{Answered, Call, Kind, Moment, Outcome, Records, claim_group};
use crate::python::TokenIndex;

/// The store: its `get` of a list of keys, and the `put` and `delete` of a batch.
struct Store<'py> {
    get: Bound<'py, PyAny>,
    put: Bound<'py, PyAny>,
    delete: Bound<'py, PyAny>,
}

impl Records for Store<'_> {
    type Value = PyBackedBytes;
    type Error = PyErr;

    fn read(&mut self, keys: &[Vec<u8>]) -> PyResult<Vec<Option<PyBackedBytes>>> {
        let py = self.get.py();
        let keys = PyList::new(py, keys.iter().map(|key| PyBytes::new(py, key)))?;
        let values = self.get.call1((keys,))?;
        values
            .cast::<PyList>()?
            .iter()
            .map(|value| Ok(value.extract()?))
            .collect()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> PyResult<()> {
        let py = self.put.py();
        self.put
            .call1((PyBytes::new(py, key), PyBytes::new(py, value)))?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> PyResult<()> {
        let key = PyBytes::new(self.delete.py(), key);
        self.delete.call1((key,))?;
        Ok(())
    }
}

/// A request: its kind, its bytes, its trace context, and the project that it
/// must have.
type Request = (u8, PyBackedBytes, PyBackedStr, PyBackedStr);

/// What became of a group of requests.
#[pyclass(frozen, get_all, module = "hookd_daemon._native")]
pub(crate) struct PlainOutcome {
    answers: Py<PyList>,
    revisions: u64,
    won: u64,
    lost: u64,
    begun: u64,
    grown: Vec<u64>,
    tokens: Vec<(String, String)>,
}

/// Makes plain claims: those of an id and a token alone, for runs at work.
#[pyclass(frozen, module = "hookd_daemon._native")]
pub(crate) struct PlainClaims {
    index: Py<TokenIndex>,
    max_token_bytes: usize,
}

#[pymethods]
impl PlainClaims {
    #[new]
    fn new(index: Py<TokenIndex>, max_token_bytes: usize) -> Self {
        Self {
            index,
            max_token_bytes,
        }
    }

    /// Carry out the requests that are plain.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call for a group, and no object for its arguments"
    )]
    fn claim(
        &self,
        py: Python<'_>,
        requests: Vec<Request>,
        get: Bound<'_, PyAny>,
        put: Bound<'_, PyAny>,
        delete: Bound<'_, PyAny>,
        now_ms: u64,
        booted_ms: u64,
        first_revision: u64,
        name_tokens: bool,
    ) -> PyResult<PlainOutcome> {
        let calls: Vec<Call<'_>> = requests
            .iter()
            .map(|(kind, bytes, traceparent, project)| {
                Ok(Call {
                    kind: kind_of(*kind)?,
                    bytes,
                    traceparent,
                    project,
                })
            })
            .collect::<PyResult<_>>()?;
        let moment = Moment {
            now_ms,
            booted_ms,
            first_revision,
            max_token_bytes: self.max_token_bytes,
            name_tokens,
        };
        let mut store = Store { get, put, delete };
        let outcome = claim_group(&self.index.get().0, &mut store, &calls, moment)?;
        show(py, outcome)
    }
}

fn kind_of(number: u8) -> PyResult<Kind> {
    match number {
        0 => Ok(Kind::One),
        1 => Ok(Kind::Batch),
        2 => Ok(Kind::Stream),
        _ => Err(PyValueError::new_err(format!(
            "{number} is no kind of request"
        ))),
    }
}

fn show(py: Python<'_>, outcome: Outcome) -> PyResult<PlainOutcome> {
    let answers = PyList::empty(py);
    for answer in outcome.answers {
        match answer {
            Answered::NotPlain => answers.append(py.None())?,
            Answered::Message(bytes) => answers.append(PyBytes::new(py, &bytes))?,
            Answered::Conflict {
                run_id,
                detail,
                traceparent,
            } => answers.append((run_id, PyBytes::new(py, &detail), traceparent))?,
        }
    }
    Ok(PlainOutcome {
        answers: answers.unbind(),
        revisions: outcome.revisions,
        won: outcome.won,
        lost: outcome.lost,
        begun: outcome.begun,
        grown: outcome.grown,
        tokens: outcome.tokens,
    })
}
