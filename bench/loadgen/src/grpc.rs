//! gRPC over HTTP/2, as little of it as a load needs.
//!
//! Straight on `h2`: messages go in and come out as bytes, and a call costs a fraction of what
//! it costs the server.

use anyhow::Context;
use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use crate::fault::{Fault, Refusal};
use crate::wire::FRAME_HEAD;

/// Bytes that may come without being asked for: so many that no answer ever waits.
const WINDOW: u32 = 64 << 20;

/// A connection; clones share it.
#[derive(Clone)]
pub struct Channel {
    sender: SendRequest<Bytes>,
    address: String,
}

/// A method of a service, over one connection.
#[derive(Clone)]
pub struct Method {
    sender: SendRequest<Bytes>,
    request: Request<()>,
}

impl Channel {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or nobody who speaks HTTP/2.
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(1 << 20)
            .handshake(socket)
            .await?;
        // What ends the connection is seen by the calls on it.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self {
            sender,
            address: address.to_owned(),
        })
    }

    /// The method with this path, `/package.Service/Method`.
    ///
    /// # Panics
    ///
    /// The path is no path.
    pub fn method(&self, path: &str) -> Method {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(())
            .expect("a path");
        Method {
            sender: self.sender.clone(),
            request,
        }
    }
}

impl Method {
    /// Makes a unary call with a framed message, and gives the message of the answer.
    ///
    /// # Errors
    ///
    /// [`Fault::Refused`] with the status that came instead of an answer; the others if the call
    /// was broken off.
    pub async fn call(&self, framed: Bytes) -> Result<Bytes, Fault> {
        self.send(framed).await?.answer().await
    }

    /// Sends what a unary call sends. Calls over one connection go out in this order.
    ///
    /// # Errors
    ///
    /// As [`Method::call`].
    pub async fn send(&self, framed: Bytes) -> Result<Sent, Fault> {
        let (response, mut body) = self.begin().await?;
        body.send_data(framed, true).map_err(broken)?;
        Ok(Sent(response))
    }

    /// Makes a unary call, and decodes the answer.
    ///
    /// # Errors
    ///
    /// As [`Method::call`]; [`Fault::Unexpected`] if the answer is no such message.
    pub async fn ask<M: prost::Message + Default>(&self, framed: Bytes) -> Result<M, Fault> {
        Ok(M::decode(self.call(framed).await?)?)
    }

    /// Opens a stream in both directions.
    ///
    /// # Errors
    ///
    /// As [`Method::call`].
    pub async fn begin(&self) -> Result<(ResponseFuture, h2::SendStream<Bytes>), Fault> {
        let mut sender = self.sender.clone().ready().await.map_err(broken)?;
        sender
            .send_request(self.request.clone(), false)
            .map_err(broken)
    }
}

/// A unary call whose answer is to come.
pub struct Sent(ResponseFuture);

impl Sent {
    /// Waits for the message of the answer.
    ///
    /// # Errors
    ///
    /// As [`Method::call`].
    pub async fn answer(self) -> Result<Bytes, Fault> {
        let mut messages = Messages::begin(self.0).await?;
        let message = messages.next().await?;
        if message.is_some() && messages.next().await?.is_some() {
            return Err(Fault::unexpected("a second message"));
        }
        message.ok_or_else(|| Fault::unexpected("an answer without a message"))
    }
}

/// The messages that a server sends in one call.
pub struct Messages {
    stream: RecvStream,
    buffer: BytesMut,
}

impl Messages {
    /// Waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// The call was refused, or was broken off.
    pub async fn begin(response: ResponseFuture) -> Result<Self, Fault> {
        let (head, stream) = response.await.map_err(broken)?.into_parts();
        if head.status != 200 {
            return Err(Fault::unexpected(format!("HTTP status {}", head.status)));
        }
        if head.headers.contains_key("grpc-status") {
            status(&head.headers)?;
        }
        Ok(Self {
            stream,
            buffer: BytesMut::new(),
        })
    }

    /// The next message; nothing at the end of an answer that succeeded.
    ///
    /// # Errors
    ///
    /// The call was refused, or was broken off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if let Some(message) = take_message(&mut self.buffer) {
                return Ok(Some(message));
            }
            let Some(data) = self.stream.data().await else {
                break;
            };
            let data = data.map_err(broken)?;
            self.stream
                .flow_control()
                .release_capacity(data.len())
                .map_err(broken)?;
            self.buffer.extend_from_slice(&data);
        }
        match self.stream.trailers().await.map_err(broken)? {
            Some(trailers) => status(&trailers)?,
            None => return Err(Fault::unexpected("an answer without a status")),
        }
        Ok(None)
    }
}

/// Takes a whole message from the front of `buffer`, if there is one.
fn take_message(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(buffer.get(1..FRAME_HEAD)?.try_into().ok()?) as usize;
    if buffer.len() < FRAME_HEAD + length {
        return None;
    }
    buffer.advance(FRAME_HEAD);
    Some(buffer.split_to(length).freeze())
}

fn status(headers: &HeaderMap) -> Result<(), Fault> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status").and_then(|code| code.parse().ok());
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(Fault::Refused(Refusal {
            code,
            message: text("grpc-message").unwrap_or_default().to_owned(),
            details: headers
                .get("grpc-status-details-bin")
                .map(|value| Bytes::copy_from_slice(value.as_bytes())),
        })),
        None => Err(Fault::unexpected("an answer without a status")),
    }
}

/// An error of one stream is no end of the others.
fn broken(error: h2::Error) -> Fault {
    if error.is_reset() {
        Fault::unexpected(error.to_string())
    } else {
        Fault::lost(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_when_they_are_whole() {
        let mut buffer = BytesMut::from(&b"\0\0\0\0\x03ab"[..]);
        assert!(take_message(&mut buffer).is_none());
        buffer.extend_from_slice(b"c\0\0\0\0\0\0\0");
        assert_eq!(take_message(&mut buffer).unwrap(), "abc");
        assert_eq!(take_message(&mut buffer).unwrap(), "");
        assert!(take_message(&mut buffer).is_none());
        assert_eq!(buffer.len(), 2);
    }

    #[test]
    fn a_status_that_is_not_ok_is_a_refusal() {
        let mut headers = HeaderMap::new();
        assert!(matches!(status(&headers), Err(Fault::Unexpected(_))));
        headers.insert("grpc-status", "0".parse().unwrap());
        assert!(status(&headers).is_ok());
        headers.insert("grpc-status", "14".parse().unwrap());
        headers.insert("grpc-message", "later".parse().unwrap());
        let fault = status(&headers).unwrap_err();
        assert_eq!(fault.to_string(), "UNAVAILABLE: later");
    }
}
