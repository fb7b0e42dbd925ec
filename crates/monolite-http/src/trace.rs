//! Traces: the id under which one request is found in logs, problems and other systems.
//!
//! `traceparent` (W3C Trace Context, version 00) is taken over when well formed; else a trace of our own begins.
//! `X-Request-Id` is echoed when it is short and printable.
//!
//! **Invariants**
//! - A trace id of our own costs a few nanoseconds: a counter mixed with a random start, unique, not secret.

use http::HeaderValue;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Bytes of an `X-Request-Id` that is echoed.
const REQUEST_ID_MAX: usize = 128;
const PARENT_LENGTH: usize = 55;

/// The trace of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    id: u128,
    span: u64,
    flags: u8,
    /// It was begun by the caller.
    pub(crate) is_given: bool,
}

impl Trace {
    /// The caller's trace, or a new one.
    pub(crate) fn of(parent: Option<&HeaderValue>) -> Self {
        let span = random();
        match parent.and_then(|parent| parse(parent.as_bytes())) {
            Some((id, flags)) => Trace { id, span, flags, is_given: true },
            None => Trace { id: u128::from(random()) << 64 | u128::from(span), span, flags: 0, is_given: false },
        }
    }

    /// The id as a number.
    pub(crate) fn number(&self) -> u128 {
        self.id
    }

    /// The id as 32 hexadecimal digits.
    pub(crate) fn id(&self) -> String {
        format!("{:032x}", self.id)
    }

    /// What goes out as `traceparent`: the same trace, our span.
    pub(crate) fn parent(&self) -> HeaderValue {
        let text = format!("00-{:032x}-{:016x}-{:02x}", self.id, self.span, self.flags);
        HeaderValue::try_from(text).expect("digits and dashes are a header's value")
    }
}

/// Whether a request id may be echoed.
pub(crate) fn is_request_id(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() <= REQUEST_ID_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

fn parse(parent: &[u8]) -> Option<(u128, u8)> {
    let text = std::str::from_utf8(parent).ok().filter(|text| text.len() == PARENT_LENGTH && text.is_ascii())?;
    let mut parts = text.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if version != "00" || id.len() != 32 || span.len() != 16 || flags.len() != 2 || parts.next().is_some() {
        return None;
    }
    if !(lower_hex(id) && lower_hex(span) && lower_hex(flags)) {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
    u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
    Some((id, u8::from_str_radix(flags, 16).ok()?))
}

/// SplitMix64 from a random start on each thread; never zero.
fn random() -> u64 {
    thread_local! { static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id())) }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_parent_is_taken_over_with_a_new_span() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::of(Some(&HeaderValue::from_static(given)));
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let out = trace.parent();
        let out = out.to_str().unwrap();
        assert!(out.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && out.ends_with("-01") && out != given);
    }

    #[test]
    fn a_malformed_parent_begins_a_trace_of_our_own() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473+-00f067aa0ba902b7-01",
        ] {
            let (one, other) = (Trace::of(HeaderValue::from_str(bad).ok().as_ref()), Trace::of(None));
            assert!(!one.is_given && one.id() != other.id() && one.id().len() == 32, "{bad}");
        }
    }

    #[test]
    fn only_short_printable_request_ids_are_echoed() {
        assert!(is_request_id(&HeaderValue::from_static("a-b_1")));
        assert!(!is_request_id(&HeaderValue::from_static("")));
        assert!(!is_request_id(&HeaderValue::from_static("a b")));
        assert!(!is_request_id(&HeaderValue::try_from("x".repeat(129)).unwrap()));
    }
}
