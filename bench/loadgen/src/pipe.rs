//! A stream of messages whose answers come in the order of the questions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::SendStream;
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::grpc::{Messages, Method};

/// A stream that many callers use at a time; clones share it.
#[derive(Clone)]
pub struct Pipe {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    stream: SendStream<Bytes>,
    waiting: VecDeque<oneshot::Sender<Bytes>>,
    /// Why no more answers come.
    end: Option<String>,
}

impl Pipe {
    /// Opens the stream.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub async fn open(method: &Method) -> Result<Self, Fault> {
        let (response, stream) = method.begin().await?;
        let shared = Arc::new(Mutex::new(Shared {
            stream,
            waiting: VecDeque::new(),
            end: None,
        }));
        let reader = shared.clone();
        tokio::spawn(async move {
            let end = match Messages::begin(response).await {
                Ok(messages) => hand_out(messages, &reader).await,
                Err(fault) => why(&fault),
            };
            let mut shared = lock(&reader);
            shared.waiting.clear();
            shared.end = Some(end);
        });
        Ok(Self { shared })
    }

    /// Sends a framed message and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`Fault::Lost`] if the stream has ended.
    pub async fn call(&self, framed: Bytes) -> Result<Bytes, Fault> {
        let (sender, answer) = oneshot::channel();
        {
            let mut shared = lock(&self.shared);
            if let Some(end) = &shared.end {
                return Err(Fault::lost(end));
            }
            shared
                .stream
                .send_data(framed, false)
                .map_err(Fault::lost)?;
            shared.waiting.push_back(sender);
        }
        answer.await.map_err(|_| {
            let end = lock(&self.shared).end.clone();
            Fault::lost(end.unwrap_or_default())
        })
    }
}

/// Gives each answer to the first who waits, until the stream ends; tells why it ended.
async fn hand_out(mut messages: Messages, shared: &Mutex<Shared>) -> String {
    loop {
        match messages.next().await {
            Ok(Some(message)) => {
                if let Some(sender) = lock(shared).waiting.pop_front() {
                    // Whoever waited may be gone.
                    drop(sender.send(message));
                }
            }
            Ok(None) => return "the server has ended the stream".to_owned(),
            Err(fault) => return why(&fault),
        }
    }
}

fn why(fault: &Fault) -> String {
    match fault {
        Fault::Lost(what) => what.clone(),
        other => other.to_string(),
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
