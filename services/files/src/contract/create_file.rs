//! A new file, still without content.

use super::File;
use monolite_service::{Check, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Creates a file of the caller; its content comes next.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateFile {
    /// What it is called: 1 to 255 characters, no slash and no control characters.
    pub name: String,
    /// What its content is, as a media type; it is not guessed. Without one it is `application/octet-stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How many bytes the content has. Other content is then refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The content's SHA-256, 64 hexadecimal digits. Other content is then refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

message!(CreateFile => File, check look, progress |file| file.progress());

impl CreateFile {
    /// A file with a name, of which nothing else is said.
    pub fn named(name: impl Into<String>) -> Self {
        CreateFile { name: name.into(), content_type: None, size: None, sha256: None }
    }
}

fn look(m: &CreateFile, c: &mut Check) {
    c.length("name", &m.name, 1..=255);
    let is_plain = !m.name.chars().any(|c| c.is_control() || c == '/');
    c.field("name", is_plain, "has a slash or a control character");
    c.field("content_type", m.content_type.as_deref().is_none_or(is_media_type), "is not a media type");
    let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    c.field("sha256", m.sha256.as_deref().is_none_or(is_hash), "must have 64 hexadecimal digits");
}

/// `type/subtype`, with or without parameters, in at most 255 printable characters.
fn is_media_type(text: &str) -> bool {
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    text.len() <= 255
        && kind.trim_end_matches([' ', '\t']).split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
        && parameters.bytes().all(|b| (b' '..=b'~').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::is_media_type;

    #[test]
    fn a_media_type_is_told_from_other_texts() {
        for good in ["image/png", "application/vnd.a+json", "text/plain; charset=utf-8", "a/b;c=\"d e\""] {
            assert!(is_media_type(good), "{good}");
        }
        let long = format!("a/{}", "b".repeat(254));
        for bad in [
            "",
            "image",
            "image/",
            "/png",
            "a/b/c",
            "a b/c",
            "a/b\r\nx: y",
            "\r\na/b",
            " a/b",
            "a/b\n;c=d",
            "a/b; \u{e9}",
            &long,
        ] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
