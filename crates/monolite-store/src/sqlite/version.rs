//! The SQLite library: is it new enough, and was it built as this crate expects?
//!
//! **Invariants**
//! - A version below [`OLDEST`] is refused: a WAL reset there can lose acknowledged commits.
//! - Missing compile options are told, not refused: a user of this crate alone does not inherit them. What can be
//!   made good at run time is: memory statistics, which cost a global mutex on every allocation, are switched off.
//! - SQLite is configured once in a process, before its first use by this crate.

use crate::error::{Error, Kind, Result};
use rusqlite::ffi;
use std::sync::OnceLock;

/// The first version without the WAL-reset race.
const OLDEST: i32 = 3_051_003;

/// Options by the name that SQLite reports, and what their absence costs.
const WANTED: [(&str, &str); 5] = [
    ("OMIT_SHARED_CACHE", "each cursor pays for a feature nobody uses"),
    ("DQS=0", "a misspelt column in double quotes is taken for text"),
    ("ENABLE_DBPAGE_VTAB", "pages cannot be read and applied one by one"),
    ("ENABLE_SNAPSHOT", "snapshots cannot be named"),
    ("MAX_ATTACHED=125", "reports join at most 10 files"),
];

/// Refuses a library that cannot keep the promises, and answers what is merely missing.
pub(crate) fn check() -> Result<Vec<String>> {
    static FOUND: OnceLock<std::result::Result<Vec<String>, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| look(rusqlite::version_number(), &has));
    found.clone().map_err(|why| Error::new(Kind::Unsupported, why))
}

fn look(version: i32, has: &dyn Fn(&str) -> bool) -> std::result::Result<Vec<String>, String> {
    if version < OLDEST {
        return Err(format!(
            "SQLite {} is too old: before 3.51.3 a WAL reset can lose acknowledged commits. Build with rusqlite's `bundled` feature",
            rusqlite::version()
        ));
    }
    if has("THREADSAFE=0") {
        return Err("SQLite was built without THREADSAFE; a store uses several threads".to_owned());
    }
    let mut missing = Vec::new();
    if !has("DEFAULT_MEMSTATUS=0") && !switch_statistics_off() {
        missing.push("SQLite keeps memory statistics (DEFAULT_MEMSTATUS=0 is not set, and SQLite was in use before the first store): each allocation takes a global lock".to_owned());
    }
    if has("ENABLE_API_ARMOR") {
        missing.push("SQLite was built with ENABLE_API_ARMOR: each call checks its arguments again".to_owned());
    }
    for (option, cost) in WANTED {
        if !has(option) {
            missing.push(format!("SQLite was built without {option}: {cost}"));
        }
    }
    Ok(missing)
}

fn has(option: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(option) else { return false };
    // SAFETY: a pure function over a NUL-terminated string that outlives the call.
    unsafe { ffi::sqlite3_compileoption_used(name.as_ptr()) != 0 }
}

fn switch_statistics_off() -> bool {
    // SAFETY: sqlite3_config may be called at any time; once SQLite is initialised it only answers MISUSE. It must not
    // race with another sqlite3_config or sqlite3_initialize: this runs once, in a OnceLock, before the crate's first
    // connection, and the check at the head of sqlite3_config leaves a library that others initialised untouched.
    unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0) == ffi::SQLITE_OK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_library_is_new_enough_and_built_as_wanted() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
        assert_eq!(check().unwrap().len(), 0);
    }

    #[test]
    fn older_library_is_refused_and_the_first_good_one_is_not() {
        assert!(look(3_051_002, &|_| true).unwrap_err().contains("3.51.3"));
        assert!(look(OLDEST, &has).is_ok());
    }

    #[test]
    fn library_without_threads_is_refused_and_missing_options_are_told() {
        assert!(look(OLDEST, &|o| o == "THREADSAFE=0").is_err());
        let told = look(OLDEST, &|o| o == "DEFAULT_MEMSTATUS=0").unwrap();
        assert_eq!(told.len(), WANTED.len());
        assert!(told.iter().any(|m| m.contains("DQS=0")));
    }
}
