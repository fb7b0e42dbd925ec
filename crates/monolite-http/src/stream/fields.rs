//! The header fields of uploads that go on: `Upload-Offset`, `Upload-Complete`, `Upload-Length`
//! (draft-ietf-httpbis-resumable-upload), to fields of the message and back.

use crate::headers::{UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_OFFSET};
use crate::input::{Fault, Pair};
use crate::table::Compiled;
use http::{HeaderMap, HeaderName, HeaderValue};
use monolite_service::Progress;
use std::borrow::Cow;

/// A message's field that comes from a header.
struct Field {
    name: &'static str,
    header: HeaderName,
    /// The header as people write it, and what it must be.
    shown: &'static str,
    must_be: &'static str,
}

const BYTES: &str = "a number of bytes, 1 to 15 digits";
static FIELDS: [Field; 3] = [
    Field { name: "upload_offset", header: UPLOAD_OFFSET, shown: "Upload-Offset", must_be: BYTES },
    Field { name: "upload_complete", header: UPLOAD_COMPLETE, shown: "Upload-Complete", must_be: "?0 or ?1" },
    Field { name: "upload_length", header: UPLOAD_LENGTH, shown: "Upload-Length", must_be: BYTES },
];

/// Whether a message's field comes from a header.
pub(crate) fn is_field(name: &str) -> bool {
    header_of(name).is_some()
}

/// The header that a message's field comes from.
pub(crate) fn header_of(name: &str) -> Option<&'static str> {
    FIELDS.iter().find(|field| field.name == name).map(|field| field.shown)
}

/// Adds the fields that the headers have.
pub(crate) fn fields(route: &Compiled, headers: &HeaderMap, pairs: &mut Vec<Pair<'_>>) -> Result<(), Fault> {
    for Field { name, header, shown, must_be } in &FIELDS {
        let mut given = headers.get_all(header).iter();
        let Some(value) = given.next() else { continue };
        let malformed = |text| Fault::whole("malformed_upload_header", text);
        let wrong = || malformed(format!("{shown} must be given once, as {must_be}"));
        if route.shapes.member(name).is_none() {
            return Err(malformed(format!("{shown} is not understood here")));
        }
        if given.next().is_some() {
            return Err(wrong());
        }
        let text = value.to_str().map_err(|_| wrong())?.trim();
        let plain = match (*name, text) {
            ("upload_complete", "?1") => Cow::Borrowed("true"),
            ("upload_complete", "?0") => Cow::Borrowed("false"),
            ("upload_complete", _) => return Err(wrong()),
            // An integer of structured fields has 15 digits at most.
            (_, digits) if (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Cow::Owned(digits.to_owned())
            }
            _ => return Err(wrong()),
        };
        pairs.push((Cow::Borrowed(name), plain));
    }
    Ok(())
}

/// Tells the sender of an upload how far it has come.
pub(crate) fn progress(to: &mut HeaderMap, progress: &Progress) {
    to.insert(UPLOAD_OFFSET, HeaderValue::from(progress.offset));
    to.insert(UPLOAD_COMPLETE, HeaderValue::from_static(if progress.complete { "?1" } else { "?0" }));
    if let Some(length) = progress.length {
        to.insert(UPLOAD_LENGTH, HeaderValue::from(length));
    }
}
