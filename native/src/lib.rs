//! `TokenIndex`: which run of which project owns which hook token, in memory.
//!
//! [`index`] is the whole of it in plain Rust, and [`encode`] writes what a claim
//! leaves in the store; `python` shows both to Python as the extension module
//! `hookd_daemon._native`.

mod arena;
pub mod encode;
pub mod error;
mod hash;
pub mod index;
mod projects;
mod record;
mod shard;
mod table;

#[cfg(feature = "extension-module")]
mod python;

#[cfg(feature = "extension-module")]
#[pyo3::pymodule(name = "_native")]
mod module {
    #[pymodule_export]
    use crate::python::{TokenIndex, encode_plain_claim};
}
