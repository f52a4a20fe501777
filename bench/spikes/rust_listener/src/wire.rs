//! gRPC on HTTP/2: prefixes of messages, timeouts, statuses.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::call::Refusal;

/// The largest message that is taken, as in the shipped server.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Numbers of the statuses that the listener itself answers with.
pub mod code {
    pub const DEADLINE_EXCEEDED: u16 = 4;
    pub const RESOURCE_EXHAUSTED: u16 = 8;
    pub const UNIMPLEMENTED: u16 = 12;
    pub const INTERNAL: u16 = 13;
}

const PREFIX_BYTES: usize = 5;
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: &str = "grpc-timeout";
/// What the specification lets a status message contain as it is.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Reads the one message of a unary request, and no more than its limit.
pub async fn read_message(body: &mut RecvStream) -> Result<Bytes, Refusal> {
    let broken = |error| Refusal::new(code::INTERNAL, format!("the request broke off: {error}"));
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    while !body.is_end_stream() {
        let Some(part) = body.data().await else { break };
        let part = part.map_err(broken)?;
        body.flow_control()
            .release_capacity(part.len())
            .map_err(broken)?;
        if whole.is_empty() {
            whole = part; // nearly always all there is
            continue;
        }
        if parts.is_empty() {
            parts.extend_from_slice(&whole);
        }
        parts.extend_from_slice(&part);
        if parts.len() > PREFIX_BYTES + MAX_MESSAGE_BYTES {
            return Err(Refusal::new(
                code::RESOURCE_EXHAUSTED,
                format!("a message is larger than {MAX_MESSAGE_BYTES} bytes"),
            ));
        }
    }
    unframe(if parts.is_empty() {
        whole
    } else {
        parts.freeze()
    })
}

fn unframe(mut framed: Bytes) -> Result<Bytes, Refusal> {
    let Some((&[compressed, a, b, c, d], message)) = framed.split_first_chunk::<PREFIX_BYTES>()
    else {
        return Err(Refusal::new(code::INTERNAL, "there is no message"));
    };
    if compressed != 0 {
        return Err(Refusal::new(
            code::UNIMPLEMENTED,
            "messages must not be compressed",
        ));
    }
    if u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return Err(Refusal::new(code::INTERNAL, "there is not one message"));
    }
    Ok(framed.split_off(PREFIX_BYTES))
}

/// A message as it goes on the wire.
pub fn frame(message: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(message.len()).ok()?;
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    Some(framed.freeze())
}

/// When the caller gives up, if it says so.
pub fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(amount.checked_mul(3600)?),
        "M" => Duration::from_secs(amount.checked_mul(60)?),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}

/// Whether a request is gRPC at all.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The headers that begin an answer.
pub fn answer_headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, GRPC);
    headers
}

/// The trailers of an answer that has its message.
pub fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    trailers
}

/// Writes a status other than OK into the headers of an answer.
pub fn write_refusal(headers: &mut HeaderMap, refusal: &Refusal) {
    headers.insert(STATUS, HeaderValue::from(refusal.code));
    let message = utf8_percent_encode(&refusal.message, ESCAPED).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(MESSAGE, message);
    }
    for (name, value) in &refusal.trailers {
        let value = if name.ends_with("-bin") {
            HeaderValue::try_from(STANDARD_NO_PAD.encode(value))
        } else {
            HeaderValue::from_bytes(value)
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value) {
            headers.append(name, value);
        }
    }
}

/// The value of a `-bin` header; callers may leave its padding out.
pub fn decode_binary(value: &[u8]) -> Option<Vec<u8>> {
    let bare = value.trim_ascii_end();
    STANDARD_NO_PAD
        .decode(bare)
        .or_else(|_| STANDARD.decode(bare))
        .ok()
}
