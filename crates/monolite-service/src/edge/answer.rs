//! Answers: a reply as bytes, with what an edge needs to know about it.

use super::{Rejection, large};
use crate::blob::{Blob, LargeBlob, Progress};
use crate::engine::{Commit, Replied, Serving};
use crate::failure::Failure;
use crate::message::Message;
use bytes::Bytes;
use monolite_store::Pieces;
use serde_json::value::RawValue;
use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;

/// A reply with its types erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The JSON of the reply, or a blob's bytes; empty for a reply that is `()` and for a large blob.
    pub body: Bytes,
    /// Of a blob, what its bytes are; none means JSON.
    pub content_type: Option<String>,
    /// Of a large blob, where its bytes are.
    pub large: Option<Large>,
    /// Of a large blob, the name under which it is to be kept.
    pub attachment: Option<String>,
    /// How far the upload has come that the reply tells of.
    pub progress: Option<Progress>,
    /// Where the created thing is found, below `/api/v1`.
    pub location: Option<String>,
    /// The version of what the reply shows.
    pub version: Option<u64>,
    /// The commit it was written by or read from.
    pub commit: Option<Commit>,
}

/// Where the bytes of a large blob are, in the file of the service that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// The table.
    pub pieces: Pieces,
    /// The number of the value.
    pub value: u64,
    /// How many bytes are meant.
    pub length: u64,
}

impl Answer {
    /// The answer of a reply; a large one is written on a thread for it.
    pub(crate) async fn of<M: Message>(replied: Replied<M::Reply>, serving: Serving) -> Result<Answer, Rejection> {
        let wrong = |e| Failure::internal(format!("the reply of {} is not JSON: {e}", M::NAME));
        let any = &replied.value as &dyn Any;
        if any.is::<Blob>() || any.is::<LargeBlob>() || any.is::<()>() {
            return Answer::with::<M>(&replied, Vec::new(), serving);
        }
        match large::small(&replied.value).map_err(wrong)? {
            Some(json) => Answer::with::<M>(&replied, json, serving),
            None => {
                let write = move || {
                    let json = serde_json::to_vec(&replied.value).map_err(wrong)?;
                    Answer::with::<M>(&replied, json, serving)
                };
                large::elsewhere(write).await?
            }
        }
    }

    /// The answer of a reply whose JSON, where it is some, is this.
    fn with<M: Message>(replied: &Replied<M::Reply>, json: Vec<u8>, serving: Serving) -> Result<Answer, Rejection> {
        let value = &replied.value;
        let mut answer = Answer {
            body: json.into(),
            content_type: None,
            large: None,
            attachment: None,
            progress: M::progress(value),
            location: None,
            version: M::version(value),
            commit: replied.commit,
        };
        let any = value as &dyn Any;
        if let Some(blob) = any.downcast_ref::<Blob>() {
            answer.version = answer.version.or(blob.version);
            answer.content_type = Some(blob.content_type.clone());
            answer.body = blob.bytes.clone();
        } else if let Some(blob) = any.downcast_ref::<LargeBlob>() {
            answer.version = answer.version.or(blob.version);
            answer.content_type = Some(blob.content_type.clone());
            answer.attachment = blob.attachment.clone();
            answer.progress = answer.progress.or(blob.progress);
            let pieces = Pieces::named(blob.table.clone());
            answer.large = Some(Large { pieces, value: blob.value, length: blob.length });
        }
        if let Some(template) = serving.creates {
            answer.location = Some(location(template, &answer.body)?);
        }
        Ok(answer)
    }
}

/// `/recipes/{id}` with the reply's field `id`, or with the reply itself where that is a plain text or number.
fn location(template: &str, reply: &[u8]) -> Result<String, Failure> {
    let fields: HashMap<Cow<'_, str>, &RawValue> =
        if reply.first() == Some(&b'{') { serde_json::from_slice(reply).unwrap_or_default() } else { HashMap::new() };
    let mut location = String::with_capacity(template.len() + 36);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let json = match fields.get(name) {
            Some(value) => value.get(),
            None if fields.is_empty() => std::str::from_utf8(reply).unwrap_or_default(),
            None => return Err(Failure::internal(format!("the reply has no field `{name}` for {template}"))),
        };
        location.push_str(before);
        match serde_json::from_str::<String>(json) {
            Ok(text) => push_encoded(&mut location, &text),
            Err(_) => push_encoded(&mut location, json),
        }
        rest = after;
    }
    location.push_str(rest);
    Ok(location)
}

fn push_encoded(location: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            location.push(char::from(byte));
        } else {
            location.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_takes_the_replys_fields_or_the_reply_itself() {
        assert_eq!(location("/recipes/{id}", br#""0192-a""#).unwrap(), "/recipes/0192-a");
        assert_eq!(location("/recipes/{id}", b"17").unwrap(), "/recipes/17");
        let reply = br#"{"id":"a/b \u00e9","version":3}"#;
        assert_eq!(location("/x/{version}/{id}/image", reply).unwrap(), "/x/3/a%2Fb%20%C3%A9/image");
        assert!(location("/x/{key}", reply).is_err());
    }
}
