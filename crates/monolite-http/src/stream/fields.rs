//! The header fields of uploads that go on: `Upload-Offset`, `Upload-Complete`, `Upload-Length`
//! (draft-ietf-httpbis-resumable-upload), to fields of the message and back.

use crate::headers::{UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_OFFSET};
use crate::input::{Fault, Pair};
use crate::table::Compiled;
use http::{HeaderMap, HeaderName, HeaderValue};
use monolite_service::Progress;
use std::borrow::Cow;

const FIELDS: [(&str, HeaderName); 3] =
    [("upload_offset", UPLOAD_OFFSET), ("upload_complete", UPLOAD_COMPLETE), ("upload_length", UPLOAD_LENGTH)];

/// Whether a message's field comes from a header.
pub(crate) fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|(field, _)| *field == name)
}

/// The header that a message's field comes from.
pub(crate) fn header_of(name: &str) -> Option<&'static str> {
    ["Upload-Offset", "Upload-Complete", "Upload-Length"]
        .into_iter()
        .zip(FIELDS)
        .find(|(_, f)| f.0 == name)
        .map(|f| f.0)
}

/// Adds the fields that the headers have.
pub(crate) fn fields(route: &Compiled, headers: &HeaderMap, pairs: &mut Vec<Pair<'_>>) -> Result<(), Fault> {
    for (field, header) in FIELDS {
        let mut given = headers.get_all(&header).iter();
        let Some(value) = given.next() else { continue };
        let shown = header_of(field).unwrap_or(field);
        let wrong =
            || Fault::whole("malformed_upload_header", format!("{shown} must be given once, as {}", must_be(field)));
        if route.shapes.member(field).is_none() {
            return Err(Fault::whole("malformed_upload_header", format!("{shown} is not understood here")));
        }
        if given.next().is_some() {
            return Err(wrong());
        }
        let text = value.to_str().map_err(|_| wrong())?.trim();
        let plain = match (field, text) {
            ("upload_complete", "?1") => Cow::Borrowed("true"),
            ("upload_complete", "?0") => Cow::Borrowed("false"),
            ("upload_complete", _) => return Err(wrong()),
            // An integer of structured fields has 15 digits at most.
            (_, digits) if (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Cow::Owned(digits.to_owned())
            }
            _ => return Err(wrong()),
        };
        pairs.push((Cow::Borrowed(field), plain));
    }
    Ok(())
}

fn must_be(field: &str) -> &'static str {
    if field == "upload_complete" { "?0 or ?1" } else { "a number of bytes, 1 to 15 digits" }
}

/// Tells the sender of an upload how far it has come.
pub(crate) fn progress(to: &mut HeaderMap, progress: &Progress) {
    to.insert(UPLOAD_OFFSET, HeaderValue::from(progress.offset));
    to.insert(UPLOAD_COMPLETE, HeaderValue::from_static(if progress.complete { "?1" } else { "?0" }));
    if let Some(length) = progress.length {
        to.insert(UPLOAD_LENGTH, HeaderValue::from(length));
    }
}
