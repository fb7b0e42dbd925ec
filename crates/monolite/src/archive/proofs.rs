//! What is known of archives by proof: logged as it is found, and told to operators.
//!
//! **Invariants**
//! - Something wrong is said at each place until a later proof is sound: log, metrics, health, `status`.
//! - It does not make a server unready: requests are answered as well as before.

use super::restoring::moment;
use super::status::{ArchiveStatus, FileStatus};
use monolite_archive::Verification;
use monolite_http::Notice;

/// Logs what a proof came to.
pub(super) fn log(service: &str, known: &Verification) {
    match (&known.wrong, &known.hindered) {
        (Some(_), _) => tracing::error!("{}", text(service, known)),
        (None, Some(why)) => tracing::warn!("the archive of {service} was not verified: {why}"),
        (None, None) => tracing::debug!("{}", text(service, known)),
    }
}

/// One line for operators.
pub(crate) fn text(service: &str, known: &Verification) -> String {
    let last = known.sound.as_ref().map_or_else(
        || "it was never verified".to_owned(),
        |sound| format!("last verified {}, commit {}", moment(sound.at_ms), sound.sequence),
    );
    match (&known.wrong, &known.hindered) {
        (Some(wrong), _) => format!(
            "the archive of {service} is WRONG since {}: {}; {last}. Keep a copy of it, and have a new base made: backup base {service}",
            moment(wrong.since_ms),
            wrong.text
        ),
        (None, Some(why)) => format!("the archive of {service} could not be verified: {why}; {last}"),
        (None, None) => format!("the archive of {service}: {last}"),
    }
}

/// Each service's, for `/readyz?verbose`.
pub(crate) fn notices(status: &ArchiveStatus) -> Vec<Notice> {
    let kept = |file: &FileStatus| file.state == "keeping" && file.verification.wrong.is_none();
    let of = |file: &FileStatus| {
        let state = if file.state == "keeping" { String::new() } else { format!(" ({})", file.state) };
        Notice { good: kept(file), text: text(&file.service, &file.verification) + &state }
    };
    status.files.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolite_archive::{Sound, Wrong};

    #[test]
    fn what_is_wrong_is_said_with_the_last_time_that_it_was_not() {
        let mut known = Verification::default();
        assert_eq!(text("Users", &known), "the archive of Users: it was never verified");
        known.sound = Some(Sound { at_ms: 0, sequence: 7, moment_ms: 0, pages: 3 });
        assert_eq!(text("Users", &known), "the archive of Users: last verified 1970-01-01T00:00:00Z, commit 7");
        known.hindered = Some("no room".to_owned());
        assert!(text("Users", &known).contains("could not be verified: no room; last verified"));
        known.wrong = Some(Wrong { since_ms: 1000, text: "page 9 differs".to_owned() });
        let told = text("Users", &known);
        assert!(told.contains("WRONG since 1970-01-01T00:00:01Z: page 9 differs; last verified"), "{told}");
    }
}
