//! The recorded cuts of an archive: known to retention, which keeps what they name, and thinned as they age.
//!
//! **Invariants**
//! - A mark stays until somebody removes it. Cuts of the clock stay all for a day, then one an hour for a month.
//! - What a recorded cut names is pinned before anything could delete it: cuts that are there are read before retention asks.

use monolite_archive::cuts::{self, CutName, CutPoint};
use monolite_archive::{Place, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How long one cut an hour stays.
const HOURLY_MS: i64 = 30 * DAY_MS;

/// What is recorded in a place.
#[derive(Clone)]
pub(super) struct Ledger {
    place: Arc<dyn Place>,
    /// None while it could not be read.
    known: Arc<Mutex<Option<BTreeMap<CutName, CutPoint>>>>,
}

impl Ledger {
    /// Reads nothing yet.
    pub(super) fn new(place: Arc<dyn Place>) -> Self {
        Ledger { place, known: Arc::default() }
    }

    /// Records a cut.
    pub(super) fn record(&self, mark: Option<&str>, cut: &CutPoint) -> Result<()> {
        self.with(|known, place| {
            let name = cuts::record(place, mark, cut)?;
            known.insert(name, cut.clone());
            Ok(())
        })
    }

    /// The commits of a service that recorded cuts name. An error would let retention delete them.
    pub(super) fn pins(&self, service: &str) -> Result<Vec<u64>> {
        self.with(|known, _| Ok(known.values().filter_map(|cut| Some(cut.services.get(service)?.sequence)).collect()))
    }

    /// Forgets cuts that are too old or too many.
    pub(super) fn thin(&self, now_ms: i64) -> Result<()> {
        self.with(|known, place| {
            let names: Vec<CutName> = known.keys().cloned().collect();
            for name in expendable(&names, now_ms) {
                cuts::forget(place, name)?;
                known.remove(name);
            }
            Ok(())
        })
    }

    /// The newest.
    pub(super) fn newest(&self) -> Result<Option<CutPoint>> {
        self.with(|known, _| Ok(known.last_key_value().map(|(_, cut)| cut.clone())))
    }

    /// The newest, as far as that is known without asking the place or waiting for whoever asks it.
    pub(super) fn newest_known(&self) -> Option<CutPoint> {
        let known = match self.known.try_lock() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        known.as_ref()?.last_key_value().map(|(_, cut)| cut.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<CutName, CutPoint>, &dyn Place) -> Result<T>) -> Result<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            let names = cuts::recorded(&*self.place)?;
            let read = |name: CutName| Ok((name.clone(), cuts::read(&*self.place, &name)?));
            *known = Some(names.into_iter().map(read).collect::<Result<_>>()?);
        }
        work(known.as_mut().expect("it was read"), &*self.place)
    }
}

/// Of the cuts of the clock: those older than a day that are not the first of their hour, and all that are older than a month.
fn expendable(names: &[CutName], now_ms: i64) -> Vec<&CutName> {
    let mut hours = std::collections::BTreeSet::new();
    let mut of_clock: Vec<&CutName> = names.iter().filter(|name| name.mark.is_none()).collect();
    of_clock.sort();
    of_clock.retain(|name| {
        let age = now_ms.saturating_sub(name.at_ms);
        let first_of_hour = hours.insert(name.at_ms.div_euclid(HOUR_MS));
        age > HOURLY_MS || age > DAY_MS && !first_of_hour
    });
    of_clock
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolite_archive::cuts::Position;
    use monolite_archive::place::Folder;
    use monolite_archive::place::testing::{Faulty, Step};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn cut(at_ms: i64, sequence: u64) -> CutPoint {
        let position = Position { history: "00".into(), sequence };
        CutPoint { format: 1, at_ms, services: [("Users".to_owned(), position)].into(), missing: Vec::new() }
    }

    #[test]
    fn what_is_known_is_told_without_asking_the_place_or_who_asks_it() {
        let t = tempfile::tempdir().unwrap();
        let folder: Arc<dyn Place> = Arc::new(Folder::open(t.path()).unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let counting = move |_: Step, _: &str| {
            count.fetch_add(1, Ordering::SeqCst);
            None
        };
        let ledger = Ledger::new(Arc::new(Faulty::new(folder, counting)));
        assert_eq!((ledger.newest_known(), asked.load(Ordering::SeqCst)), (None, 0));
        ledger.record(None, &cut(1, 1)).unwrap();
        let before = asked.load(Ordering::SeqCst);
        assert_eq!(ledger.newest_known(), Some(cut(1, 1)));
        let held = ledger.with(|_, _| Ok(ledger.newest_known())).unwrap();
        assert_eq!((held, asked.load(Ordering::SeqCst)), (None, before), "nobody waits for a place that is silent");
    }

    #[test]
    fn old_cuts_of_the_clock_thin_out_and_marks_stay() {
        let t = tempfile::tempdir().unwrap();
        let place: Arc<dyn Place> = Arc::new(Folder::open(t.path()).unwrap());
        let now = 100 * DAY_MS;
        let ledger = Ledger::new(place.clone());
        for (n, age) in
            [(1, 40 * DAY_MS), (2, 2 * DAY_MS), (3, 2 * DAY_MS - 60_000), (4, HOUR_MS), (5, HOUR_MS - 60_000)]
        {
            ledger.record(None, &cut(now - age, n)).unwrap();
        }
        ledger.record(Some("import"), &cut(now - 90 * DAY_MS, 6)).unwrap();
        assert_eq!(Ledger::new(place.clone()).pins("Users").unwrap().len(), 6, "another process reads them");
        ledger.thin(now).unwrap();
        let mut pins = ledger.pins("Users").unwrap();
        pins.sort_unstable();
        assert_eq!(pins, [2, 4, 5, 6]);
        assert_eq!(cuts::recorded(&*place).unwrap().len(), 4);
        assert_eq!(ledger.newest().unwrap().unwrap(), cut(now - HOUR_MS + 60_000, 5));
        assert!(ledger.pins("Files").unwrap().is_empty());
    }
}
