//! Services whose history is not kept any more, since that failed after their file was replaced.
//!
//! **Invariants**
//! - One is told in the status and by the lag until it is kept again; commits wait in its WAL meanwhile.

use crate::archive::FileStatus;
use monolite_archive::Verification;
use monolite_runtime::Host;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Those services, with why. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Unkept(Arc<Mutex<BTreeMap<String, Why>>>);

struct Why {
    text: String,
    since: Instant,
    tries: u64,
}

impl Unkept {
    /// What came of keeping a service's history.
    pub(super) fn note<E: std::fmt::Display>(&self, service: &str, kept: &Result<(), E>) {
        let mut all = self.lock();
        match kept {
            Ok(()) => drop(all.remove(service)),
            Err(e) => {
                let new = || Why { text: String::new(), since: Instant::now(), tries: 0 };
                let why = all.entry(service.to_owned()).or_insert_with(new);
                (why.text, why.tries) = (e.to_string(), why.tries + 1);
            }
        }
    }

    pub(super) fn services(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// For how long, in milliseconds, at least one; 0 where it is kept.
    pub(super) fn lag_ms(&self, service: &str) -> u64 {
        self.lock().get(service).map_or(0, Why::lag_ms)
    }

    /// How often it failed.
    pub(super) fn errors(&self, service: &str) -> u64 {
        self.lock().get(service).map_or(0, |why| why.tries)
    }

    pub(super) fn status(&self, host: &Host) -> Vec<FileStatus> {
        let of = |(service, why): (&String, &Why)| FileStatus {
            service: service.clone(),
            state: "stopped: it could not be kept after its file was replaced".to_owned(),
            published: host.store(service).map_or(0, |store| store.sequence()),
            archived: 0,
            lag_ms: why.lag_ms(),
            spool_bytes: 0,
            segments: 0,
            bytes: 0,
            last_put: None,
            last_base: None,
            copying_percent: None,
            verification: Verification::default(),
            gaps: 0,
            errors: why.tries,
            last_error: Some(why.text.clone()),
        };
        self.lock().iter().map(of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Why>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Why {
    fn lag_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_kept_is_told_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let host = monolite_runtime::Assembly::new(folder.path()).open().unwrap();
        let unkept = Unkept::default();
        assert_eq!((unkept.services().len(), unkept.lag_ms("Notes")), (0, 0));
        unkept.note("Notes", &Err("no room"));
        unkept.note("Notes", &Err("no room yet"));
        let told = unkept.status(&host);
        assert_eq!((told.len(), told[0].service.as_str(), told[0].errors), (1, "Notes", 2));
        assert!(told[0].state.starts_with("stopped: ") && told[0].last_error.as_deref() == Some("no room yet"));
        assert!(unkept.lag_ms("Notes") >= 1 && unkept.lag_ms("Others") == 0 && unkept.errors("Notes") == 2);
        unkept.note::<String>("Notes", &Ok(()));
        assert!(unkept.status(&host).is_empty() && unkept.services().is_empty());
    }
}
