//! An experiment: a gRPC listener in Rust in front of Python handlers.
//!
//! A thread of its own speaks HTTP/2. It never asks for the interpreter: calls
//! that have arrived wait in an [`exchange`], and Python's event loop fetches
//! all of them at once when it has time. Answers go back the same way. What a
//! call costs Python for the transport is thus a share of two crossings.

mod call;
mod connection;
mod exchange;
mod python;
mod server;
mod wire;

#[pyo3::pymodule(name = "rust_listener")]
mod module {
    #[pymodule_export]
    use crate::python::{Call, Listener};
}
