//! The thread that listens: a socket, its connections, and two couriers.

use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};

use crate::call::Answer;
use crate::connection::{self, Shared};
use crate::exchange::Exchange;

/// What the thread gets from Python.
pub struct Orders {
    /// Answers, in the batches that Python gave them in.
    pub answers: mpsc::UnboundedReceiver<Vec<Answer>>,
    /// Becomes true when connections are to end with their calls.
    pub draining: watch::Receiver<bool>,
}

/// Starts the thread; it ends when nobody can send answers any more.
pub fn start(
    socket: StdListener,
    methods: Vec<String>,
    exchange: Arc<Exchange>,
    orders: Orders,
) -> io::Result<JoinHandle<()>> {
    socket.set_nonblocking(true)?;
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new()
        .name("rust-listener".into())
        .spawn(move || {
            let shared = Rc::new(Shared::new(methods));
            let Orders {
                mut answers,
                draining,
            } = orders;
            LocalSet::new().block_on(&runtime, async move {
                spawn_local(accept(socket, Rc::clone(&shared), draining));
                spawn_local(hand_over(Rc::clone(&shared), exchange));
                while let Some(batch) = answers.recv().await {
                    shared.send(batch);
                }
            });
        })
}

async fn accept(socket: StdListener, shared: Rc<Shared>, mut draining: watch::Receiver<bool>) {
    let Ok(listener) = TcpListener::from_std(socket) else {
        return;
    };
    let for_connections = draining.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((socket, _)) = accepted {
                let serving = connection::serve(socket, Rc::clone(&shared), for_connections.clone());
                spawn_local(serving);
            },
            _ = draining.wait_for(|begun| *begun) => return,
        }
    }
}

/// Hands Python what arrived. It is woken by the first call of a turn, and so
/// comes after all connections that had something to read in this turn.
async fn hand_over(shared: Rc<Shared>, exchange: Arc<Exchange>) {
    loop {
        shared.arrived.notified().await;
        let mut staged = shared.staged.borrow_mut();
        // Told once for each call, woken once for many: then nothing is left.
        if !staged.is_empty() && exchange.put(&mut staged).is_err() {
            return;
        }
    }
}
