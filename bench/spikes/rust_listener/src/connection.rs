//! One connection: what arrives is staged, what Python answers is sent.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::Bytes;
use futures_util::FutureExt;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, Request, Response, StatusCode};
use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;

use crate::call::{Answer, Arrived, Refusal};
use crate::wire;

/// Windows so large that they never hold a unary call up.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// What is over the daemon's own limit of calls has to reach it, to be told so.
const MAX_STREAMS: u32 = 100_000;

/// What all connections share; they live on one thread.
pub struct Shared {
    /// The paths of the methods that are served.
    methods: HashMap<String, usize>,
    /// Calls that wait for their answer, by id.
    unanswered: RefCell<Slab<SendResponse<Bytes>>>,
    /// Calls that arrived in this turn of the thread.
    pub staged: RefCell<Vec<Arrived>>,
    /// Told when there are staged calls.
    pub arrived: Notify,
}

impl Shared {
    /// Nothing has arrived yet.
    pub fn new(methods: Vec<String>) -> Self {
        Self {
            methods: methods.into_iter().zip(0..).collect(),
            unanswered: RefCell::default(),
            staged: RefCell::default(),
            arrived: Notify::new(),
        }
    }

    /// Sends what Python answered; a caller that is gone is no error.
    pub fn send(&self, answers: Vec<Answer>) {
        for answer in answers {
            let stream = self.unanswered.borrow_mut().try_remove(answer.id);
            if let Some(mut stream) = stream {
                let _ = match answer.result {
                    Ok(message) => send_message(&mut stream, message),
                    Err(refusal) => send_refusal(&mut stream, &refusal),
                };
            }
        }
    }

    fn stage(
        &self,
        method: usize,
        headers: HeaderMap,
        message: Bytes,
        stream: SendResponse<Bytes>,
    ) {
        let id = self.unanswered.borrow_mut().insert(stream);
        self.staged.borrow_mut().push(Arrived {
            id,
            method,
            message,
            deadline: wire::deadline(&headers),
            headers,
        });
        self.arrived.notify_one();
    }

    /// Takes in a request, now if all of it is there, else when it is.
    fn begin(self: &Rc<Self>, request: Request<RecvStream>, mut stream: SendResponse<Bytes>) {
        let (head, mut body) = request.into_parts();
        if !wire::is_grpc(&head.headers) {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let _ = stream.send_response(response, true);
            return;
        }
        let Some(&method) = self.methods.get(head.uri.path()) else {
            let refusal = Refusal::new(wire::code::UNIMPLEMENTED, "Method not found!");
            let _ = send_refusal(&mut stream, &refusal);
            return;
        };
        let shared = Rc::clone(self);
        let mut reading = Box::pin(async move {
            match wire::read_message(&mut body).await {
                Ok(_) if is_reset(&mut stream) => {} // nobody waits: it must have no effect
                Ok(message) => shared.stage(method, head.headers, message, stream),
                Err(refusal) => {
                    let _ = send_refusal(&mut stream, &refusal);
                }
            }
        });
        // A small request comes with its headers: no task for those.
        if reading.as_mut().now_or_never().is_none() {
            spawn_local(reading);
        }
    }
}

/// Whether the caller has cancelled, as far as has been read.
fn is_reset(stream: &mut SendResponse<Bytes>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    stream.poll_reset(&mut context).is_ready()
}

fn send_message(stream: &mut SendResponse<Bytes>, message: Bytes) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    *response.headers_mut() = wire::answer_headers();
    let mut body = stream.send_response(response, false)?;
    body.send_data(message, false)?;
    body.send_trailers(wire::ok_trailers())
}

fn send_refusal(stream: &mut SendResponse<Bytes>, refusal: &Refusal) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    *response.headers_mut() = wire::answer_headers();
    wire::write_refusal(response.headers_mut(), refusal);
    stream.send_response(response, true).map(drop)
}

/// Serves a connection until it ends, or all its calls after the drain began.
pub async fn serve(socket: TcpStream, shared: Rc<Shared>, mut draining: watch::Receiver<bool>) {
    let _ = socket.set_nodelay(true);
    let handshake = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .handshake::<_, Bytes>(socket);
    let Ok(mut connection) = handshake.await else {
        return;
    };
    loop {
        tokio::select! {
            biased;
            accepted = connection.accept() => match accepted {
                Some(Ok((request, stream))) => shared.begin(request, stream),
                Some(Err(_)) | None => return,
            },
            _ = draining.wait_for(|begun| *begun) => break,
        }
    }
    connection.graceful_shutdown();
    while let Some(Ok((request, stream))) = connection.accept().await {
        shared.begin(request, stream);
    }
}
