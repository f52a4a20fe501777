//! The listener as Python sees it: the module `rust_listener`.

use std::net::TcpListener;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use tokio::sync::{mpsc, watch};

use crate::call::{Answer, Arrived, Refusal};
use crate::exchange::Exchange;
use crate::server::{self, Orders};
use crate::wire;

/// Headers that belong to the protocol, and are not what the caller sent along.
fn is_ours(name: &str) -> bool {
    name == "content-type" || name == "te" || name.starts_with("grpc-")
}

/// One call that has arrived.
#[pyclass(frozen, module = "rust_listener")]
pub struct Call(Arrived);

#[pymethods]
impl Call {
    /// By which the call is answered.
    #[getter]
    fn id(&self) -> usize {
        self.0.id
    }

    /// Position of its method in the table that the listener was given.
    #[getter]
    fn method(&self) -> usize {
        self.0.method
    }

    /// The message of the request.
    #[getter]
    fn message<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.message)
    }

    /// What the caller sent along: names, and values (bytes for `-bin` names).
    fn metadata<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
        let mut pairs = Vec::new();
        for (name, value) in &self.0.headers {
            let name = name.as_str();
            if is_ours(name) {
                continue;
            }
            let value = if name.ends_with("-bin") {
                let raw = wire::decode_binary(value.as_bytes()).unwrap_or_default();
                PyBytes::new(py, &raw).into_any()
            } else {
                let text = String::from_utf8_lossy(value.as_bytes());
                text.into_pyobject(py)?.into_any()
            };
            pairs.push((PyString::intern(py, name), value));
        }
        Ok(pairs)
    }

    /// Seconds until the caller gives up; None when it has set no deadline.
    fn time_remaining(&self) -> Option<f64> {
        let deadline = self.0.deadline?;
        Some(
            deadline
                .saturating_duration_since(Instant::now())
                .as_secs_f64(),
        )
    }
}

/// A refusal from Python: status, message, trailers.
type Refused = (u16, String, Vec<(String, Vec<u8>)>);

#[derive(FromPyObject)]
enum Reply<'py> {
    Message(Bound<'py, PyBytes>),
    Refused(Refused),
}

impl Reply<'_> {
    fn on_the_wire(self) -> PyResult<Result<bytes::Bytes, Refusal>> {
        Ok(match self {
            Self::Message(message) => Ok(wire::frame(message.as_bytes())
                .ok_or_else(|| PyValueError::new_err("a message has at most 4 GiB"))?),
            Self::Refused((code, message, trailers)) => Err(Refusal {
                code,
                message,
                trailers,
            }),
        })
    }
}

/// What Python holds of the thread that listens; all of it goes with `stop`.
struct Thread {
    answers: mpsc::UnboundedSender<Vec<Answer>>,
    draining: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

/// Listens, and exchanges calls and answers with one event loop.
#[pyclass(frozen, module = "rust_listener")]
pub struct Listener {
    exchange: Arc<Exchange>,
    port: u16,
    thread: Mutex<Option<Thread>>,
}

#[pymethods]
impl Listener {
    /// Bind an address (port 0 picks a free one) and begin to listen.
    ///
    /// `methods` are the paths of the unary calls; what is called besides is
    /// answered UNIMPLEMENTED without asking Python.
    #[new]
    fn new(host: &str, port: u16, methods: Vec<String>) -> PyResult<Self> {
        let socket = TcpListener::bind((host, port))?;
        let port = socket.local_addr()?.port();
        let exchange = Arc::new(Exchange::new()?);
        let (answers, answered) = mpsc::unbounded_channel();
        let (draining, drained) = watch::channel(false);
        let orders = Orders {
            answers: answered,
            draining: drained,
        };
        let handle = server::start(socket, methods, Arc::clone(&exchange), orders)?;
        let thread = Mutex::new(Some(Thread {
            answers,
            draining,
            handle,
        }));
        Ok(Self {
            exchange,
            port,
            thread,
        })
    }

    /// The port that is bound.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    /// The descriptor that is readable when calls wait.
    fn fileno(&self) -> RawFd {
        self.exchange.descriptor()
    }

    /// Take all calls that wait; only when the descriptor is readable.
    ///
    /// Those whose time is up are answered here: they must have no effect.
    fn fetch(&self) -> PyResult<Vec<Call>> {
        let calls = self.exchange.fetch()?;
        let (late, calls): (Vec<_>, Vec<_>) = calls.into_iter().partition(Arrived::is_late);
        if !late.is_empty() {
            self.send(late.into_iter().map(|call| Answer {
                id: call.id,
                result: Err(Refusal::new(
                    wire::code::DEADLINE_EXCEEDED,
                    "Deadline Exceeded",
                )),
            }));
        }
        Ok(calls.into_iter().map(Call).collect())
    }

    /// Send answers: pairs of a call's id and a message or a refusal.
    fn answer(&self, answers: Vec<(usize, Reply<'_>)>) -> PyResult<()> {
        let batch = answers
            .into_iter()
            .map(|(id, reply)| {
                let result = reply.on_the_wire()?;
                Ok(Answer { id, result })
            })
            .collect::<PyResult<Vec<_>>>()?;
        self.send(batch);
        Ok(())
    }

    /// Accept nothing new; connections end with their calls.
    fn drain(&self) {
        if let Some(thread) = &*self.thread.lock().expect("nobody panics with it") {
            let _ = thread.draining.send(true);
        }
    }

    /// End the thread and all connections.
    fn stop(&self, py: Python<'_>) {
        let thread = self.thread.lock().expect("nobody panics with it").take();
        if let Some(Thread {
            answers, handle, ..
        }) = thread
        {
            drop(answers);
            py.detach(|| handle.join()).ok();
        }
    }
}

impl Listener {
    fn send(&self, answers: impl IntoIterator<Item = Answer>) {
        if let Some(thread) = &*self.thread.lock().expect("nobody panics with it") {
            let _ = thread.answers.send(answers.into_iter().collect());
        }
    }
}
