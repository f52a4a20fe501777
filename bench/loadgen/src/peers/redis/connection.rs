//! A connection to Redis that many callers share: commands go out as they come, and replies
//! come back in their order.

use std::fmt::Write;

use anyhow::Context;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::fault::Fault;

/// What Redis says. Of its protocol, RESP2, only what the commands in use are answered with.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// It was done.
    Ok,
    /// A null: there is no value, or nothing was done.
    Nothing,
    /// A value.
    Text(String),
    /// A number.
    Number(i64),
    /// An error, or what is not understood.
    Error(String),
}

/// Commands that go out together, and who waits for their replies.
struct Question {
    commands: Vec<Vec<u8>>,
    asker: oneshot::Sender<Vec<Reply>>,
}

/// Replies that are to come, and who waits for them.
struct Expected {
    replies: usize,
    asker: oneshot::Sender<Vec<Reply>>,
}

/// A connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    questions: mpsc::UnboundedSender<Question>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        let (input, output) = socket.into_split();
        let (questions, received) = mpsc::unbounded_channel();
        let (expect, expected) = mpsc::unbounded_channel();
        tokio::spawn(write(output, received, expect));
        tokio::spawn(read(input, expected));
        Ok(Self { questions })
    }

    /// Sends commands together and waits for all their replies.
    ///
    /// # Errors
    ///
    /// [`Fault::Lost`] if the connection has ended.
    pub async fn ask(&self, commands: Vec<Vec<u8>>) -> Result<Vec<Reply>, Fault> {
        let (asker, replies) = oneshot::channel();
        let question = Question { commands, asker };
        self.questions
            .send(question)
            .map_err(|_| Fault::lost("the connection has ended"))?;
        replies
            .await
            .map_err(|_| Fault::lost("the connection has ended"))
    }
}

/// A command in Redis's form.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut text = String::with_capacity(192);
    // Writing to a string cannot fail.
    let _ = write!(text, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(text, "${}\r\n{word}\r\n", word.len());
    }
    text.into_bytes()
}

/// Writes what is asked, all that is there at once.
async fn write(
    mut output: OwnedWriteHalf,
    mut questions: mpsc::UnboundedReceiver<Question>,
    expect: mpsc::UnboundedSender<Expected>,
) {
    let mut bytes = Vec::new();
    while let Some(first) = questions.recv().await {
        let mut next = Some(first);
        while let Some(Question { commands, asker }) = next {
            bytes.extend(commands.iter().flatten());
            if expect
                .send(Expected {
                    replies: commands.len(),
                    asker,
                })
                .is_err()
            {
                return;
            }
            next = questions.try_recv().ok();
        }
        if output.write_all(&bytes).await.is_err() {
            return;
        }
        bytes.clear();
    }
}

/// Reads replies; when it ends, so does everybody's wait.
async fn read(mut input: OwnedReadHalf, mut expected: mpsc::UnboundedReceiver<Expected>) {
    let mut buffer = BytesMut::with_capacity(1 << 16);
    while let Some(Expected {
        replies: number,
        asker,
    }) = expected.recv().await
    {
        let mut replies = Vec::with_capacity(number);
        while replies.len() < number {
            match take(&mut buffer) {
                Some(reply) => replies.push(reply),
                None => match input.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
            }
        }
        // Whoever asked may be gone.
        drop(asker.send(replies));
    }
}

/// Takes a whole reply from the front of `buffer`, if there is one.
fn take(buffer: &mut BytesMut) -> Option<Reply> {
    let end = buffer.windows(2).position(|pair| pair == b"\r\n")?;
    let line = String::from_utf8_lossy(&buffer[..end]);
    let (reply, length) = match (line.split_at_checked(1), end + 2) {
        (Some(("+", "OK")), end) => (Reply::Ok, end),
        (Some(("$", "-1")), end) => (Reply::Nothing, end),
        (Some((":", number)), end) => match number.parse() {
            Ok(number) => (Reply::Number(number), end),
            Err(_) => (Reply::Error(line.into_owned()), end),
        },
        (Some(("$", length)), end) => match length.parse::<usize>() {
            Ok(length) => {
                let text = String::from_utf8_lossy(buffer.get(end..end + length)?);
                (Reply::Text(text.into_owned()), end + length + 2)
            }
            Err(_) => (Reply::Error(line.into_owned()), end),
        },
        (_, end) => (Reply::Error(line.into_owned()), end),
    };
    if buffer.len() < length {
        return None;
    }
    buffer.advance(length);
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_how_long_its_words_are() {
        assert_eq!(
            command(&["DEL", "tök"]),
            "*2\r\n$3\r\nDEL\r\n$4\r\ntök\r\n".as_bytes()
        );
    }

    #[test]
    fn replies_are_taken_when_they_are_whole() {
        let all = b"+OK\r\n$-1\r\n:12\r\n$5\r\na\r\nbc\r\n-ERR no\r\n$0\r\n\r\n";
        let expected = [
            Reply::Ok,
            Reply::Nothing,
            Reply::Number(12),
            Reply::Text("a\r\nbc".into()),
            Reply::Error("-ERR no".into()),
            Reply::Text(String::new()),
        ];
        let mut buffer = BytesMut::new();
        let mut replies = Vec::new();
        for byte in all {
            buffer.extend_from_slice(&[*byte]);
            replies.extend(take(&mut buffer));
        }
        assert_eq!(replies, expected);
        assert!(buffer.is_empty());
    }
}
