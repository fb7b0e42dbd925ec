//! The archive of an open host: started beside it, asked about it, ended before it.
//!
//! **Invariants**
//! - A file that is behind its archive, or went on apart from it, is refused before anything of it is served or archived.
//! - An archive that cannot be reached does not keep anybody from working: commits are spooled, and the status says so.
//!   A file that turns out to be such a one when it answers is written to no more.
//! - A cut is recorded once every commit of it is archived, each at the end of a segment.

mod alone;
mod clock;
mod unkept;

use super::acks::{Ack, Acks};
use super::guests::Guests;
use super::ledger::Ledger;
use super::status::{ArchiveStatus, FileStatus};
use super::{Where, check_mark, restoring};
use crate::config::{Config, ConfigError};
use crate::folder::ServiceFile;
use alone::{Alone, Held};
use anyhow::{Context as _, bail};
use clock::Clock;
use monolite_archive::cuts::{CutPoint, Position};
use monolite_archive::{Archive, AtBound, Error, Kind, Place, Rest, Room, State as KeptAs};
use monolite_runtime::Host;
use monolite_service::{Gauge, GaugeKind};
use monolite_store::{State as StoreState, Store};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unkept::Unkept;

/// How long a cut's commits may take to be archived, before that cut is given up.
const CUT_WAIT: Duration = Duration::from_secs(30);

/// How long the end waits for the last commits to be archived.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// How long the end waits for the clock of cuts, which may be asking the place.
const CLOCK_WAIT: Duration = Duration::from_secs(2);

/// The archive of an open host.
pub(crate) struct Keeping {
    archive: Archive,
    place: Arc<dyn Place>,
    ledger: Ledger,
    acks: Acks,
    host: Host,
    clock: Option<JoinHandle<()>>,
    ended: Arc<Clock>,
    /// Why the clock could not record a cut.
    trouble: Arc<Mutex<Option<String>>>,
    unkept: Unkept,
    /// Held while a cut is taken, and while a service's file is replaced: no cut is recorded without it.
    cuts: Arc<Alone>,
    data: PathBuf,
}

/// The archive's limits as configured.
pub(crate) fn config(config: &Config) -> Result<monolite_archive::Config, ConfigError> {
    let at_bound = match config.text("archive.at_bound") {
        "refuse" => AtBound::Refuse,
        "rebase" => AtBound::Rebase,
        other => {
            let origin = config.origin("archive.at_bound");
            return Err(ConfigError(format!("{origin}: archive.at_bound is refuse or rebase, not {other:?}")));
        }
    };
    Ok(monolite_archive::Config {
        interval: config.time("archive.interval"),
        spool_bytes_max: config.bytes("archive.spool_max"),
        spool_age_max: config.time("archive.spool_age_max"),
        base_bytes_per_second: config.bytes("archive.base_rate"),
        verify_every: config.time("archive.verify_every"),
        verify_bytes_per_second: config.bytes("archive.verify_rate"),
        verify_room: Room::beside_stores(config.bytes("store.wal_hard").saturating_mul(2)),
        verified: Some(Arc::new(super::proofs::log)),
        at_bound,
        ..monolite_archive::Config::default()
    })
}

impl Keeping {
    /// Starts the archive of a host whose stores were opened to be followed; none where none is configured.
    pub(crate) fn begin(config: &Config, data: &Path, host: &Host) -> crate::Result<Option<Keeping>> {
        let ack = Ack::of(config, host.services())?;
        let Some(place) = Where::of(config, data).to_write(config)? else {
            ack.refuse_off(config)?;
            return Ok(None);
        };
        let ledger = Ledger::new(place.clone());
        let pinned = ledger.clone();
        let limits = monolite_archive::Config {
            pinned: Some(Arc::new(move |service| pinned.pins(service))),
            tell: Some(Arc::new(|service, what| tracing::warn!("the archive of {service}: {what}"))),
            ..self::config(config)?
        };
        let archive = Archive::start(place.clone(), limits)?;
        let guests = keep_all(&archive, &place, data, host)?;
        if !guests.is_empty() {
            return Err(guests.into());
        }
        let mut keeping = Keeping {
            acks: Acks { archive: archive.clone(), ack, wait: config.time("archive.ack_wait") },
            archive,
            place,
            ledger,
            host: host.clone(),
            clock: None,
            ended: Arc::default(),
            trouble: Arc::default(),
            unkept: Unkept::default(),
            cuts: Arc::default(),
            data: data.to_owned(),
        };
        keeping.clock = keeping.start_clock(config.time("archive.cut_every"))?;
        Ok(Some(keeping))
    }

    /// What answers wait for.
    pub(crate) fn acks(&self) -> &Acks {
        &self.acks
    }

    /// Records a cut of all files, once it is archived.
    pub(crate) fn cut(&self, mark: &str) -> crate::Result<CutPoint> {
        check_mark(mark)?;
        keep_again(&self.unkept, &self.archive, &self.data, &self.host, &self.cuts);
        let _cuts = self.cuts.hold();
        cut(&self.archive, &self.ledger, &self.host, Some(mark))
    }

    /// Has a new base of a service made.
    pub(crate) fn begin_base(&self, service: &str) -> crate::Result<()> {
        Ok(self.archive.begin_base(service)?)
    }

    /// Waits until all that was committed is archived; answers the time that took.
    pub(crate) fn now(&self, most: Duration) -> crate::Result<Duration> {
        let began = Instant::now();
        for service in self.archive.services() {
            let Some(store) = self.host.store(&service) else { continue };
            let published = store.status().sequence;
            let left = most.saturating_sub(began.elapsed());
            self.archive.archived(&service, published)?.wait(left).with_context(|| service.clone())?;
        }
        Ok(began.elapsed())
    }

    /// Where history is kept.
    pub(crate) fn place(&self) -> &Arc<dyn Place> {
        &self.place
    }

    /// Waits until what a service has committed is archived.
    pub(crate) fn catch_up(&self, service: &str) -> crate::Result {
        self.catch_up_within(service, CUT_WAIT)
    }

    /// The same, so long at most.
    pub(crate) fn catch_up_within(&self, service: &str, most: Duration) -> crate::Result {
        let Some(store) = self.host.store(service) else { return Ok(()) };
        let archived = self.archive.archived(service, store.sequence())?.wait(most);
        archived.with_context(|| format!("the newest commits of {service} are not archived; `backup status` says why"))
    }

    /// No cut is taken until this is dropped; none where one that is being recorded does not come to its end in time.
    pub(crate) fn hold_cuts(&self, most: Duration) -> Option<Held<'_>> {
        self.cuts.hold_within(most)
    }

    /// What takes long of a service's archive rests until this is dropped.
    pub(crate) fn rest(&self, service: &str, most: Duration) -> monolite_archive::Result<Rest> {
        self.archive.rest(service, most)
    }

    /// Keeps a service's history no more, once its store is closed; answers whether all of it is archived.
    pub(crate) fn leave(&self, service: &str, most: Duration) -> bool {
        self.archive.leave(service, most) && !self.unkept.services().iter().any(|name| name == service)
    }

    /// Keeps a service's history again, whose file was replaced. Where that fails the status says so, and it is tried again
    /// with each cut.
    pub(crate) fn keep(&self, service: &str, store: &Store) -> crate::Result {
        let kept = keep(&self.archive, &self.data, service, store);
        self.unkept.note(service, &kept);
        Ok(kept?)
    }

    /// Ends it, after what was committed so far is archived, or after some seconds: the rest waits in the files' WALs.
    pub(crate) fn finish(&self) {
        let _ = self.now(FINISH_MAX);
        self.ended.end();
        self.archive.end(); // whoever waits for it, the clock too, hears that
    }

    /// How it does; asks the place for its cuts, where they are not known yet, and waits for that.
    pub(crate) fn status(&self) -> ArchiveStatus {
        self.told(self.ledger.newest())
    }

    /// The same as far as it is known: neither asks the place nor waits for anybody who does.
    pub(crate) fn known(&self) -> ArchiveStatus {
        self.told(Ok(self.ledger.newest_known()))
    }

    fn told(&self, newest: monolite_archive::Result<Option<CutPoint>>) -> ArchiveStatus {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unread = newest.as_ref().err().map(|e| format!("recorded cuts could not be read: {e}"));
        let mut files: Vec<FileStatus> = self.archive.status().into_iter().map(FileStatus::of).collect();
        files.extend(self.unkept.status(&self.host));
        files.sort_by(|a, b| a.service.cmp(&b.service));
        ArchiveStatus {
            place: self.place.describe(),
            last_cut: newest.ok().flatten().map(|cut| restoring::moment(cut.at_ms)),
            trouble: trouble.or(unread),
            files,
        }
    }

    /// What the metrics page shows of it.
    pub(crate) fn gauges(&self) -> Vec<(&'static str, Gauge)> {
        self.host.services().flat_map(|service| gauges(&self.archive, &self.unkept, service)).collect()
    }

    fn start_clock(&self, every: Duration) -> crate::Result<Option<JoinHandle<()>>> {
        if every.is_zero() {
            return Ok(None);
        }
        let (archive, ledger, host) = (self.archive.clone(), self.ledger.clone(), self.host.clone());
        let (ended, trouble, cuts) = (self.ended.clone(), self.trouble.clone(), self.cuts.clone());
        let (unkept, data) = (self.unkept.clone(), self.data.clone());
        let clock = move || {
            let mut last: Option<BTreeMap<String, Position>> = None;
            while ended.runs_after(every) {
                keep_again(&unkept, &archive, &data, &host, &cuts);
                // Nothing was written since: the last cut is still the newest.
                if last.as_ref().is_some_and(|last| *last == now(&host)) {
                    continue;
                }
                let alone = cuts.hold();
                let made = cut(&archive, &ledger, &host, None);
                drop(alone);
                if !ended.runs_after(Duration::ZERO) {
                    break; // the place is not asked for more
                }
                let made = made.and_then(|cut| Ok(ledger.thin(host.now().0).map(|()| cut)?));
                let wrong = made.as_ref().err().map(|e| format!("no cut could be recorded: {e:#}"));
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
                last = made.ok().map(|cut| cut.services).or(last);
            }
            ended.has_ended();
        };
        Ok(Some(std::thread::Builder::new().name("cuts".to_owned()).spawn(clock)?))
    }
}

/// Keeps every service that is not quarantined: some at a time, since each asks the place where its history stands.
fn keep_all(archive: &Archive, place: &Arc<dyn Place>, data: &Path, host: &Host) -> crate::Result<Guests> {
    const AT_ONCE: usize = 16;
    let is_open = |health: &monolite_runtime::Health| {
        !matches!(health.status.state, StoreState::Damaged(_) | StoreState::Closed) // its history stays as it is
    };
    let open: Vec<&'static str> = host.health().into_iter().filter(is_open).map(|health| health.service).collect();
    let mut guests = Guests::at(place.describe());
    for some in open.chunks(AT_ONCE) {
        let keep =
            |service: &'static str| host.store(service).map_or(Ok(()), |store| keep(archive, data, service, &store));
        let kept: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|service| scope.spawn(move || keep(service))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        for (service, kept) in some.iter().zip(kept) {
            match kept {
                Ok(()) => guests.others.push((*service).to_owned()),
                Err(e) => guests.take(e).with_context(|| format!("{service} cannot be archived"))?,
            }
        }
    }
    Ok(guests)
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let Some(clock) = self.clock.take() else { return };
        self.ended.end();
        // One that waits for a place without an answer is left to itself: it holds nothing that the end needs.
        if self.ended.ends_within(CLOCK_WAIT) || clock.is_finished() {
            let _ = clock.join(); // nothing to be done about its panic
        }
    }
}

/// What each file's last commit is, not of one moment.
fn now(host: &Host) -> BTreeMap<String, Position> {
    let file = |health: monolite_runtime::Health| {
        let store = host.store(health.service)?;
        Some((health.service.to_owned(), Position { history: history(&store), sequence: health.status.sequence }))
    };
    host.health().into_iter().filter_map(file).collect()
}

fn cut(archive: &Archive, ledger: &Ledger, host: &Host, mark: Option<&str>) -> crate::Result<CutPoint> {
    let ended = |state: &KeptAs| matches!(state, KeptAs::Stopped(_) | KeptAs::Ended);
    let kept: Vec<String> = archive.status().into_iter().filter(|s| !ended(&s.state)).map(|s| s.service).collect();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    if kept.is_empty() {
        bail!("no cut could be taken: no service is archived now; `backup status` says why");
    }
    // The others are restorable together also while one is in quarantine; the cut says that it has not all.
    let missing = host.services().filter(|name| !kept.contains(name)).map(str::to_owned).collect();
    let mut at_ms = 0;
    let marked = archive.mark(|| {
        let cut = host.cut(&kept).map_err(|e| Error::new(Kind::Stopped, format!("no cut could be taken: {e}")))?;
        at_ms = host.now().0;
        Ok(cut.sequences().map(|(service, sequence)| (service.to_owned(), sequence)).collect())
    })?;
    let not_all = "no cut was recorded, since not all that it has is archived; `backup status` says why";
    let sequences = marked.wait(CUT_WAIT).context(not_all)?;
    let position = |(service, sequence): (String, u64)| {
        let store = host.store(&service)?;
        Some((service, Position { history: history(&store), sequence }))
    };
    let cut = CutPoint { format: 1, at_ms, services: sequences.into_iter().filter_map(position).collect(), missing };
    ledger.record(mark, &cut)?;
    Ok(cut)
}

fn history(store: &Store) -> String {
    monolite_archive::hex(&store.history())
}

fn keep(archive: &Archive, data: &Path, service: &str, store: &Store) -> monolite_archive::Result<()> {
    let file = ServiceFile::of(data, service).path;
    archive.keep(service, store, &file.parent().unwrap_or(data).join("spool"))
}

/// Tries those again that could not be kept; beside no swap.
fn keep_again(unkept: &Unkept, archive: &Archive, data: &Path, host: &Host, cuts: &Alone) {
    if unkept.services().is_empty() {
        return;
    }
    let _alone = cuts.hold();
    for service in unkept.services() {
        let store = host.store(&service).filter(Store::is_open);
        if let Some(store) = store {
            unkept.note(&service, &keep(archive, data, &service, &store));
        }
    }
}

fn gauges(archive: &Archive, unkept: &Unkept, service: &'static str) -> Vec<(&'static str, Gauge)> {
    let or = |name, help, read: fn(&monolite_archive::Status) -> u64, not_kept: fn(&Unkept, &str) -> u64| {
        let (archive, unkept) = (archive.clone(), unkept.clone());
        let of = move || archive.status_of(service).as_ref().map_or_else(|_| not_kept(&unkept, service), read);
        Gauge::new(name, help, of)
    };
    let gauge = |name, help, read| or(name, help, read, |_, _| 0);
    let all = [
        or(
            "monolite_archive_lag_milliseconds",
            "Age of the first commit that is not archived.",
            |s| u64::try_from(s.lag.as_millis()).unwrap_or(u64::MAX),
            Unkept::lag_ms,
        ),
        gauge("monolite_archive_commits_behind", "Commits that are not archived.", |s| {
            s.published.saturating_sub(s.archived)
        }),
        gauge("monolite_archive_waiting", "Answers that wait until their commits are archived.", |s| s.waiting as u64),
        gauge("monolite_archive_spool_bytes", "Bytes that wait for the archive to take them.", |s| s.spooled.1),
        gauge("monolite_archive_spool_segments", "Segments that wait for the archive to take them.", |s| {
            s.spooled.0 as u64
        }),
        gauge("monolite_archive_bytes", "Bytes of the service's history.", |s| s.segments.1),
        gauge("monolite_archive_last_put_seconds", "When a segment was put last, as unix time; 0: not yet.", |s| {
            s.last_put_ms.map_or(0, |ms| u64::try_from(ms / 1000).unwrap_or(0))
        }),
        gauge("monolite_archive_last_base_seconds", "When this process made a base, as unix time; 0: not yet.", |s| {
            s.last_base_ms.map_or(0, |ms| u64::try_from(ms / 1000).unwrap_or(0))
        }),
        gauge(
            "monolite_archive_last_verified_seconds",
            "When the archive was last proven to be sound, as unix time; 0: not yet.",
            |s| s.verification.sound.as_ref().map_or(0, |sound| u64::try_from(sound.at_ms / 1000).unwrap_or(0)),
        ),
        gauge("monolite_archive_verified_commit", "The commit that was restored for that.", |s| {
            s.verification.sound.as_ref().map_or(0, |sound| sound.sequence)
        }),
        gauge("monolite_archive_wrong", "1 where the archive was found wrong, and not sound since.", |s| {
            u64::from(s.verification.wrong.is_some())
        }),
        gauge("monolite_archive_gaps_total", "Times that commits were missing and a new base was needed.", |s| s.gaps)
            .kind(GaugeKind::Counter),
        or("monolite_archive_errors_total", "Failures of the archive.", |s| s.errors, Unkept::errors)
            .kind(GaugeKind::Counter),
    ];
    all.map(|gauge| (service, gauge)).into()
}
