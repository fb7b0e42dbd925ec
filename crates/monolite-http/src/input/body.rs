//! Bodies: read up to a limit, in time.
//!
//! **Invariants**
//! - No more than the limit is ever kept; a length that says too much is refused before a byte is read.
//! - What is kept has room in the budget of all bodies.

use super::Fault;
use crate::budget::Room;
use crate::problem::Problem;
use crate::status;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a too large body that are read and dropped, so that the peer reads our answer before the close.
const DISCARDED_MAX: u64 = 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);
/// Room taken at once for a body that says its length.
const ROOM_MAX: usize = 256 * 1024;

/// How much of a body may come, until when, and with which pause at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) until: Instant,
    pub(crate) pause: Duration,
}

/// Reads a body within its bounds, into room of the budget.
pub(crate) async fn read<B>(headers: &HeaderMap, body: B, bounds: Bounds, room: &mut Room) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let bytes_max = bounds.bytes_max;
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > bytes_max as u64) {
        turn_away(headers, body).await;
        return Err(too_large(bytes_max as u64));
    }
    match tokio::time::timeout_at(bounds.until, collect(body, bounds, said, room)).await {
        Ok(read) => read,
        Err(_) => Err(too_slow()),
    }
}

/// Refuses any content type but JSON, with UTF-8 as the only charset.
pub(crate) fn is_json(headers: &HeaderMap) -> Result<(), Fault> {
    let wrong = || Fault::whole("unsupported_media_type", "the body must be application/json");
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (Some(first), None) = (given.next(), given.next()) else { return Err(wrong()) };
    let bytes = first.as_bytes();
    if bytes == b"application/json" {
        return Ok(());
    }
    let text = first.to_str().map_err(|_| wrong())?;
    let mut parts = text.split(';');
    let kind = parts.next().unwrap_or_default().trim();
    let fits = kind.eq_ignore_ascii_case("application/json")
        && parts.all(|part| match part.trim().split_once('=') {
            Some((name, value)) => {
                !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            None => part.trim().is_empty(),
        });
    if fits { Ok(()) } else { Err(wrong()) }
}

/// Refuses a body that would not be taken as its sender means it: packed, or a part of something.
pub(crate) fn is_plain(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
    let are =
        |name, plain: &str| headers.get_all(name).iter().all(|v| v.as_bytes().eq_ignore_ascii_case(plain.as_bytes()));
    if !are(CONTENT_ENCODING, "identity") {
        return Err(unsupported("Content-Encoding is not understood here: send the body as it is"));
    }
    if !are(TRANSFER_ENCODING, "chunked") {
        return Err(unsupported("of Transfer-Encoding only chunked is understood here"));
    }
    if headers.contains_key(CONTENT_RANGE) {
        let detail =
            "Content-Range is not understood here; a part of a file goes with Upload-Offset and Upload-Complete: ?0";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed_upload_header", detail));
    }
    Ok(())
}

async fn collect<B>(mut body: B, bounds: Bounds, said: Option<u64>, room: &mut Room) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let bytes_max = bounds.bytes_max;
    let mut kept = Bytes::new();
    let mut grown: Option<BytesMut> = None;
    let mut length = 0;
    loop {
        let next = tokio::time::timeout(bounds.pause, body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = next else { break };
        let broken = |_| {
            let detail = "the body ended before its length";
            Problem::new(StatusCode::BAD_REQUEST, "broken_body", detail).closing()
        };
        let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
        length += piece.len();
        if length > bytes_max {
            let _ = tokio::time::timeout(DISCARD_TIME, discard(body, DISCARDED_MAX)).await;
            return Err(too_large(bytes_max as u64));
        }
        if let Err(no) = room.grow(length).await {
            let _ = tokio::time::timeout(DISCARD_TIME, discard(body, DISCARDED_MAX)).await;
            return Err(no);
        }
        // A body in one piece is passed on as it came.
        if kept.is_empty() && grown.is_none() {
            kept = piece;
            continue;
        }
        let all = grown.get_or_insert_with(|| {
            let said = said.and_then(|said| usize::try_from(said).ok()).unwrap_or(0);
            let mut all = BytesMut::with_capacity(said.clamp(kept.len() + piece.len(), ROOM_MAX.max(length)));
            all.extend_from_slice(&kept);
            all
        });
        all.extend_from_slice(&piece);
    }
    Ok(grown.map_or(kept, BytesMut::freeze))
}

/// Reads and drops a part of a body that is not wanted, unless its sender waits to be asked for it.
pub(crate) async fn turn_away<B: HttpBody<Data = Bytes> + Unpin>(headers: &HeaderMap, body: B) {
    if !headers.contains_key(EXPECT) {
        drain(body).await;
    }
}

/// Reads and drops a part of a body that comes, so that its sender reads the answer.
pub(crate) async fn drain<B: HttpBody<Data = Bytes> + Unpin>(body: B) {
    let _ = tokio::time::timeout(DISCARD_TIME, discard(body, DISCARDED_MAX)).await;
}

async fn discard<B: HttpBody<Data = Bytes> + Unpin>(mut body: B, bytes_max: u64) {
    let mut dropped = 0;
    while dropped < bytes_max
        && let Some(Ok(frame)) = body.frame().await
    {
        dropped += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
}

pub(crate) fn too_slow() -> Problem {
    let detail = "the body did not come in time";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_too_slow", detail).retryable(None).closing()
}

/// The problem of a body with more bytes than its route takes.
pub(crate) fn too_large(bytes_max: u64) -> Problem {
    status::of_fault(Fault::whole("body_too_large", format!("the body has more than {bytes_max} bytes"))).closing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_json_in_utf_8_is_json() {
        let fits = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            is_json(&headers).is_ok()
        };
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json;",
        ] {
            assert!(fits(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json; charset=latin1",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; x",
        ] {
            assert!(!fits(bad), "{bad}");
        }
        assert!(is_json(&HeaderMap::new()).is_err());
    }
}
