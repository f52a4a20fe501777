//! A server for tests that sends every message back, in pieces.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use tokio::net::{TcpListener, TcpStream};

use crate::fault::Fault;
use crate::grpc::Channel;
use crate::pipe::Pipe;
use crate::wire::Writer;

/// A method of the server, over a connection of its own. The path `/refuse` is refused.
async fn connect() -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        serve(socket).await;
    });
    Channel::connect(&address).await.unwrap()
}

async fn serve(socket: TcpStream) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    while let Some(call) = connection.accept().await {
        let (request, mut answer) = call.unwrap();
        tokio::spawn(async move {
            if request.uri().path() == "/refuse" {
                let head = Response::builder()
                    .header("grpc-status", "14")
                    .header("grpc-message", "later");
                answer.send_response(head.body(()).unwrap(), true).unwrap();
                return;
            }
            let mut body = request.into_body();
            let mut stream = answer.send_response(Response::new(()), false).unwrap();
            while let Some(data) = body.data().await {
                for piece in data.unwrap().chunks(3) {
                    stream
                        .send_data(Bytes::copy_from_slice(piece), false)
                        .unwrap();
                }
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        });
    }
}

fn framed(number: u64) -> Bytes {
    Writer::default().message(&prost_types::Duration {
        seconds: number.cast_signed(),
        nanos: 0,
    })
}

fn number(message: Bytes) -> u64 {
    let message: prost_types::Duration = prost::Message::decode(message).unwrap();
    message.seconds.cast_unsigned()
}

#[tokio::test]
async fn unary_calls_are_answered() {
    let method = connect().await.method("/echo");
    for sent in [0, 1, 1 << 40] {
        assert_eq!(number(method.call(framed(sent)).await.unwrap()), sent);
    }
}

#[tokio::test]
async fn two_messages_are_no_unary_answer() {
    let method = connect().await.method("/echo");
    let two: BytesMut = [framed(1), framed(2)].concat().as_slice().into();
    assert!(matches!(
        method.call(two.freeze()).await,
        Err(Fault::Unexpected(_))
    ));
}

#[tokio::test]
async fn a_refusal_is_told() {
    let channel = connect().await;
    let refused = channel.method("/refuse").call(framed(1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "UNAVAILABLE: later");
    let pipe = Pipe::open(&channel.method("/refuse")).await.unwrap();
    let refused = pipe.call(framed(1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "LOST: UNAVAILABLE: later");
    // The connection is as good as before.
    assert_eq!(
        number(channel.method("/echo").call(framed(3)).await.unwrap()),
        3
    );
}

#[tokio::test]
async fn a_pipe_gives_each_caller_its_answer() {
    let pipe = Pipe::open(&connect().await.method("/echo")).await.unwrap();
    let calls = (0..100).map(|sent| {
        let pipe = pipe.clone();
        tokio::spawn(async move { (sent, number(pipe.call(framed(sent)).await.unwrap())) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (sent, answered) = call.await.unwrap();
        assert_eq!(sent, answered);
    }
}
