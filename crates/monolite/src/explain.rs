//! What to do next about an error that stops a command, where there is something to do.

use crate::control::Refused;
use monolite_runtime::StartError;
use monolite_store::{Kind, rusqlite};

/// An error with its causes, each said once. SQLite's number of an error is left out: its text comes before.
pub(crate) fn told(error: &anyhow::Error) -> String {
    if let Some(StartError::Store { service, source, .. }) = error.downcast_ref::<StartError>() {
        return format!("service {service}: {source}"); // it names the file
    }
    let causes = error.chain().filter(|cause| !cause.is::<rusqlite::ffi::Error>());
    causes.fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let between = if text.is_empty() { "" } else { ": " };
            text.push_str(between);
            text.push_str(&cause);
        }
        text
    })
}

/// A sentence that says what to do; none where the error says it already.
pub(crate) fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(Refused(refusal)) = error.downcast_ref::<Refused>() {
        return refusal.retry_after_ms.map(|ms| format!("try again after {ms} ms"));
    }
    let start = error.downcast_ref::<StartError>()?;
    match start {
        StartError::Store { path, source, .. } => {
            of_store(source.kind()).map(|text| text.replace("{file}", &path.display().to_string()))
        }
        StartError::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::PermissionDenied => {
                Some("the data folder must belong to the user who runs this".to_owned())
            }
            std::io::ErrorKind::ReadOnlyFilesystem => Some("the data folder is on a read-only file system".to_owned()),
            std::io::ErrorKind::StorageFull => Some("make room on the disk of the data folder".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

fn of_store(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Busy => "one server at a time runs on a data folder: stop that one, or give this one another with --data",
        Kind::Corrupt => "`check` says what is damaged; put a copy of the file back, or move {file} away to begin anew",
        Kind::Newer => "start the executable that wrote it, or a later one; nothing was changed",
        Kind::Changed => "put the migration's text back as it was and add a new one; nothing was changed",
        Kind::Full => "make room on the disk of the data folder and start again; nothing was lost",
        Kind::Io | Kind::Denied | Kind::ReadOnly => {
            "the data folder and its files must be readable and writable by the user who runs this"
        }
        _ => return None,
    })
}
