//! `TokenIndex`: which run of which project owns which hook token, in memory.
//!
//! [`index`] is the whole of it in plain Rust. [`encode`] writes what a claim
//! leaves in the store, and [`plain`] makes whole groups of claims. `python`
//! and `python_plain` show them to Python as the extension module
//! `hookd_daemon._native`.

mod arena;
pub mod encode;
pub mod error;
mod hash;
pub mod index;
pub mod plain;
mod projects;
mod record;
mod shard;
mod table;
mod wire;

#[cfg(feature = "extension-module")]
mod python;
#[cfg(feature = "extension-module")]
mod python_plain;

#[cfg(feature = "extension-module")]
#[pyo3::pymodule(name = "_native")]
mod module {
    #[pymodule_export]
    use crate::python::{TokenIndex, encode_plain_claim};
    #[pymodule_export]
    use crate::python_plain::{PlainClaims, PlainOutcome};
}
