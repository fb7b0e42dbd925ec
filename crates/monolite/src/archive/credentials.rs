//! Keys of a bucket from a file, as `~/.aws/credentials` has them: the lines before any section, or those of `[default]`.
//!
//! **Invariants**
//! - A file that others may read is refused, and what is in it is in no text.

use anyhow::{Context as _, bail};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The most that is read.
const BYTES_MAX: u64 = 64 << 10;

/// Who asks a bucket.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) access_key: Option<String>,
    pub(super) secret_key: Option<String>,
    pub(super) session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Reads them from a file.
pub(super) fn read(path: &Path) -> crate::Result<Credentials> {
    let shown = path.display();
    let cannot = || format!("cannot read the bucket's keys in {shown}");
    let file = File::open(path).with_context(cannot)?;
    if file.metadata().with_context(cannot)?.permissions().mode() & 0o077 != 0 {
        bail!("the bucket's keys in {shown} can be read by others: chmod 0400 it");
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).with_context(cannot)?;
    let found = parsed(&text);
    if found.access_key.is_none() || found.secret_key.is_none() {
        bail!("{shown} needs two lines: aws_access_key_id = ID and aws_secret_access_key = KEY");
    }
    Ok(found)
}

fn parsed(text: &str) -> Credentials {
    let mut found = Credentials::default();
    let mut is_ours = true;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_ours = line == "[default]";
        }
        let Some((name, value)) = line.split_once('=').filter(|_| is_ours && !line.starts_with(['#', ';'])) else {
            continue;
        };
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match name.trim() {
            "aws_access_key_id" => found.access_key = value,
            "aws_secret_access_key" => found.secret_key = value,
            "aws_session_token" => found.session_token = value,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_before_sections_and_the_default_one_count() {
        let found = parsed("# x\naws_access_key_id = A\naws_secret_access_key=B=\n[other]\naws_access_key_id = no\n");
        assert_eq!((found.access_key.as_deref(), found.secret_key.as_deref()), (Some("A"), Some("B=")));
        let found = parsed("[other]\naws_access_key_id=no\n[default]\naws_access_key_id=A\naws_session_token = T\n");
        assert_eq!((found.access_key.as_deref(), found.session_token.as_deref()), (Some("A"), Some("T")));
        assert!(!format!("{found:?}").contains('A'));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "aws_access_key_id = who\naws_secret_access_key = secret\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o440);
        let refused = format!("{:#}", read(&path).unwrap_err());
        assert!(refused.contains("chmod 0400") && !refused.contains("secret "), "{refused}");
        mode(0o400);
        assert_eq!(read(&path).unwrap().secret_key.as_deref(), Some("secret"));
        mode(0o600);
        std::fs::write(&path, "aws_access_key_id = who\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("needs two lines"));
    }
}
