//! The archiver: keeps the history of all stores of a process.
//!
//! A store's commits are captured half a second after the first that is not yet, put as a segment of level 0 (or spooled,
//! where the place does not take it), and released. Merging, base copies, carrying and verifying run beside, on threads of their own.
//!
//! **Invariants**
//! - A fixed number of threads, whatever the number of stores; a store without commits costs nothing but its memory.
//! - A commit is in the WAL, in the spool or in the place at each moment until its retention ends; a gap is told and healed by a base.
//! - A file that is behind its archive or went on apart from it is refused before anything of it is archived; where the
//!   place did not answer at first, its writes are refused from the moment that it does.
//!
//! Absent: services, restores, an async runtime ([`Archived`] is a future of any).

mod aside;
mod bound;
mod capture;
mod claiming;
mod config;
mod keeper;
mod left;
mod overlay;
mod pool;
mod put;
mod status;
mod turns;
mod upkeep;
mod upload;
mod verifying;
mod wait;

pub use config::{AtBound, Config, Heard, Now, Pinned, Tell};
pub use status::{State, Status};
pub use verifying::{Sound, Verification, Wrong};
pub use wait::{Archived, Marked};

use crate::claims::Memory;
use crate::history::History;
use crate::place::Place;
use crate::spool::Spool;
use crate::state::hex;
use crate::{Error, Kind, Result, openings};
use capture::{Capture, is_final};
use keeper::{Keeper, Line, Part};
use left::Left;
use monolite_store::Store;
use pool::{Ending, Pool, Priority, lock};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a part of a store that is kept no more may take to end, before it is left to itself.
const RETIRE_MAX: Duration = Duration::from_secs(2);
/// How long the archiver's end waits for what is under way.
const END_MAX: Duration = Duration::from_secs(5);
/// Threads of upkeep: one for what takes long, one for the rest.
const UPKEEPERS: usize = 2;

/// Keeps the history of stores in one place. Clones are handles to the same archiver; the last one's drop ends it.
#[derive(Clone)]
pub struct Archive {
    life: Arc<Life>,
}

/// What the keepers share.
struct Inner {
    config: Config,
    place: Arc<dyn Place>,
    capturers: Pool,
    uploaders: Pool,
    upkeeper: Pool,
    verifier: Pool,
    ending: Ending,
    /// Held by upkeep that takes long: one at a time, so that a thread is left for the short work of all others.
    long: Mutex<()>,
    /// Kept no more, and still waiting for the place.
    left: Mutex<Vec<Arc<Keeper>>>,
    keepers: Mutex<BTreeMap<String, Arc<Keeper>>>,
    /// Histories that services left.
    past: Left,
}

struct Life {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Archive {
    /// Starts the threads; nothing is asked of the place yet.
    ///
    /// # Errors
    /// [`Kind::Io`] where a thread cannot be started.
    pub fn start(place: Arc<dyn Place>, config: Config) -> Result<Archive> {
        let start = |name: &str, threads, priority| {
            Pool::start(name, threads, priority).map_err(|e| Error::io(format!("cannot start the threads {name}"), e))
        };
        let (capturers, mut threads) = start("archiver", config.capturers, Priority::Same)?;
        let (uploaders, more) = start("archive-upload", config.uploaders, Priority::Same)?;
        threads.extend(more);
        let (upkeeper, more) = start("archive-upkeep", UPKEEPERS, Priority::Behind)?;
        threads.extend(more);
        let keepers = Mutex::default();
        let (verifier, more) = start("archive-verify", 1, Priority::Behind)?;
        threads.extend(more);
        let (ending, long) = (Ending::default(), Mutex::new(()));
        let (left, past) = (Mutex::default(), Left::default());
        let inner =
            Inner { config, place, capturers, uploaders, upkeeper, verifier, ending, long, left, keepers, past };
        let inner = Arc::new(inner);
        Ok(Archive { life: Arc::new(Life { inner, threads: Mutex::new(threads) }) })
    }

    /// Keeps a store's history from now on. The store should be opened with `Config::followed`, so that nothing is missed.
    /// `scratch` is a folder for what is on its way, on the store's disk. The place is asked once; where it does not
    /// answer, that is tried again beside, and the state says so.
    ///
    /// # Errors
    /// [`Kind::Behind`] where the file is older than its archive, [`Kind::Apart`] where it went on apart from it; nothing was
    /// archived. [`Kind::Unreachable`] while this history's former work waits for a place that does not answer. Those of the
    /// scratch folder and of [`Store::follow`].
    pub fn keep(&self, service: &str, store: &Store, scratch: &Path) -> Result<()> {
        let inner = &self.life.inner;
        let before = lock(&inner.keepers).remove(service);
        before.into_iter().for_each(|before| self.part_with(before));
        let follower = store.follow()?;
        let (found, reader) = (follower.found(), follower.reader());
        let history = hex(&found.history);
        let mut left = lock(&inner.left);
        left.retain(|keeper| !keeper.is_idle());
        if left.iter().any(|keeper| keeper.service == service && keeper.found.history == found.history) {
            // Two would delete what the other one counts on.
            let text = format!("what was begun for {service} before still waits for the place, which does not answer");
            return Err(Error::new(Kind::Unreachable, text));
        }
        drop(left);
        let spool = Spool::open(scratch, &history)?;
        let plain = History::new(inner.place.clone(), service, &history)?;
        let nonce = nonce(follower.opening())?;
        let epoch = Memory::read(scratch).next(&history, &nonce, (found.epoch + 1) as u64);
        follower.write_as(epoch as i64); // so that commits before the place answers are of the writer that will claim it
        let keeper = Arc::new(Keeper {
            inner: inner.clone(),
            service: service.to_owned(),
            history: plain.in_line(),
            plain,
            forks: store.forks().to_vec(),
            nonce,
            claiming: Mutex::default(),
            holding: Mutex::default(),
            scratch: scratch.to_owned(),
            found,
            reader,
            spool,
            capture: Mutex::new(Capture::new(follower)),
            line: Mutex::new(Line::default()),
            upkeep: Mutex::default(),
            merges: Mutex::default(),
            upload_tries: Default::default(),
            waits: Arc::default(),
            notes: Mutex::default(),
            changes: Default::default(),
            turns: Default::default(),
            published: Default::default(),
            stopped: Default::default(),
            retired: Default::default(),
            resting: Default::default(),
        });
        keeper.notes().verification = verifying::remembered(scratch, &history);
        let mut capture = lock(&keeper.capture);
        match keeper.settle(&mut capture).and_then(|()| keeper.look(&mut capture)) {
            Ok(()) => {}
            Err(e) if is_final(&e) => return Err(e),
            Err(e) => keeper.failed("the archive's state is not known", &e),
        }
        let epoch = keeper.writer().map_or(epoch, |writer| writer.epoch);
        if let Err(e) = openings::note(scratch, &keeper.found, epoch) {
            keeper.failed("noting the opening", &e); // the next one may not be able to prove that it goes on
        }
        let hears = Arc::downgrade(&keeper);
        let urgent = capture.follower.as_ref().expect("just made").urgency();
        if let Some(follower) = &capture.follower {
            follower.on_ring(move || {
                if let Some(keeper) = hears.upgrade() {
                    keeper.rung(urgent.is_urgent());
                }
            });
        }
        drop(capture);
        lock(&inner.keepers).insert(service.to_owned(), keeper.clone());
        keeper.after(Part::Capture, Duration::ZERO);
        keeper.verify_first();
        Ok(())
    }

    /// Keeps a store no more: for one whose file is replaced, once it is closed. Waits so long at most until all that it
    /// committed can be restored from the place, and a little longer until nothing of it runs; answers whether it can. What is not
    /// there stays in the spool, or in the WAL. Nothing happens where no such service is kept.
    pub fn leave(&self, service: &str, most: Duration) -> bool {
        let Ok(keeper) = self.keeper(service) else { return true };
        // As the store has it: a keeper whose place never answered has seen none of its commits.
        let last = keeper.published.fetch_max(keeper.reader.published(), Ordering::AcqRel);
        let last = last.max(keeper.reader.published()).max(keeper.found.sequence).max(1);
        let whole = keeper.watch(most, &mut |_| keeper.waits.restorable() >= last);
        self.life.inner.past.note(&keeper);
        lock(&self.life.inner.keepers).remove(service);
        keeper.waits.end(&format!("the file of {service} was replaced, and this commit is in the replaced one only"));
        self.part_with(keeper);
        whole
    }

    /// What takes long of a store (merges, making a base, a proof) ends soon, and begins again when what this answers is
    /// dropped. Commits are archived on.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] where it has not ended within this time, and goes on: the place does not answer.
    /// [`Kind::Missing`] where no such service is kept.
    pub fn rest(&self, service: &str, most: Duration) -> Result<Rest> {
        let keeper = self.keeper(service)?;
        let rested = keeper.rest(most);
        let rest = Rest(keeper);
        if !rested {
            let text = format!("the archive of {service} is at work, and waits for the place, which does not answer");
            return Err(Error::new(Kind::Unreachable, text));
        }
        Ok(rest)
    }

    /// Ends the work for a store, as far as the place lets it.
    fn part_with(&self, keeper: Arc<Keeper>) {
        if !keeper.retire(RETIRE_MAX) {
            lock(&self.life.inner.left).push(keeper);
        }
    }

    /// Ends it: no work begins any more, and what is under way is waited for, some seconds at most. What is not archived stays
    /// in the stores' spools and WALs.
    pub fn end(&self) {
        self.life.end();
    }

    /// Waits, blocking or as a future, until a commit of a store is in the archive; it is captured at once. One of a history that
    /// the service has left is waited for in that history.
    ///
    /// # Errors
    /// [`Kind::Missing`] where no such service is kept, or where that history was left before this process began.
    pub fn archived(&self, service: &str, sequence: u64) -> Result<Archived> {
        let keeper = self.keeper(service);
        let was_left = keeper.as_ref().map_or(true, |keeper| keeper.has_left(sequence));
        if was_left && let Some(wait) = self.life.inner.past.archived(service, sequence) {
            return Ok(wait);
        }
        let keeper = keeper?;
        if was_left {
            let text = format!(
                "commit {sequence} of {service} was left behind with an earlier history; `backup list` says how far that is archived"
            );
            return Err(Error::new(Kind::Missing, text));
        }
        // What is on its way to the place is waited for: all that was committed meanwhile is then captured as one segment,
        // and a slow place is not asked once for each commit.
        if keeper.waits.archived() < sequence && keeper.spool.first().is_none() {
            keeper.now(Part::Capture);
        }
        Ok(Archived::new(keeper.waits.clone(), sequence))
    }

    /// Makes one moment of several stores restorable: captures are held while `at` takes a consistent cut and says the
    /// commit of each service in it; each of them then ends a segment. The answer waits until all are in the place.
    ///
    /// # Errors
    /// Those of `at`; [`Kind::Missing`] where it names a service that is not kept.
    pub fn mark(&self, at: impl FnOnce() -> Result<BTreeMap<String, u64>>) -> Result<Marked> {
        let keepers = lock(&self.life.inner.keepers).clone();
        // In the order of their names: two marks at once do not wait for each other in a circle.
        let mut held: BTreeMap<&str, _> =
            keepers.iter().map(|(name, keeper)| (name.as_str(), lock(&keeper.capture))).collect();
        let commits = at()?;
        if let Some(name) = commits.keys().find(|name| !keepers.contains_key(*name)) {
            return Err(Error::new(Kind::Missing, format!("{name} is not archived by this process")));
        }
        for (name, sequence) in &commits {
            let capture = held.get_mut(name.as_str()).expect("looked at above");
            capture.ends.insert(*sequence);
        }
        drop(held);
        let waits = commits.iter().map(|(name, sequence)| self.archived(name, *sequence)).collect::<Result<_>>()?;
        Ok(Marked { waits, commits })
    }

    /// Asks for a new base of a store; made beside, see [`Status::last_base`].
    ///
    /// # Errors
    /// [`Kind::Missing`] where no such service is kept.
    pub fn begin_base(&self, service: &str) -> Result<()> {
        self.keeper(service)?.base_wanted("it was asked for");
        Ok(())
    }

    /// The history that a store is kept in.
    ///
    /// # Errors
    /// [`Kind::Missing`] where no such service is kept.
    pub fn history(&self, service: &str) -> Result<History> {
        Ok(self.keeper(service)?.history.clone())
    }

    /// The services that are kept, by name.
    pub fn services(&self) -> Vec<String> {
        lock(&self.life.inner.keepers).keys().cloned().collect()
    }

    /// How one store's archive stands.
    ///
    /// # Errors
    /// [`Kind::Missing`] where no such service is kept.
    pub fn status_of(&self, service: &str) -> Result<Status> {
        Ok(self.keeper(service)?.status())
    }

    /// How each store's archive stands.
    pub fn status(&self) -> Vec<Status> {
        let keepers: Vec<_> = lock(&self.life.inner.keepers).values().cloned().collect();
        keepers.iter().map(|keeper| keeper.status()).collect()
    }

    /// Blocks until the status of a store is such, at most so long; answers whether it came to that.
    ///
    /// # Errors
    /// [`Kind::Missing`] where no such service is kept.
    pub fn watch(&self, service: &str, most: Duration, mut until: impl FnMut(&Status) -> bool) -> Result<bool> {
        Ok(self.keeper(service)?.watch(most, &mut until))
    }

    fn keeper(&self, service: &str) -> Result<Arc<Keeper>> {
        let found = lock(&self.life.inner.keepers).get(service).cloned();
        found.ok_or_else(|| Error::new(Kind::Missing, format!("{service} is not archived by this process")))
    }
}

/// Names an opening of a store: never two, here or elsewhere.
fn nonce(opening: u64) -> Result<String> {
    static PROCESS: OnceLock<[u8; 16]> = OnceLock::new();
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| Error::new(Kind::Io, format!("no random numbers: {e}")))?;
    let process = u128::from_be_bytes(*PROCESS.get_or_init(|| random));
    Ok(hex(&process.wrapping_add(u128::from(opening)).to_be_bytes()))
}

impl Life {
    fn end(&self) {
        let inner = &self.inner;
        inner.ending.end();
        let pools = [&inner.capturers, &inner.uploaders, &inner.upkeeper, &inner.verifier];
        pools.iter().for_each(|pool| pool.close());
        let threads = std::mem::take(&mut *lock(&self.threads));
        let is_own = threads.iter().any(|thread| thread.thread().id() == std::thread::current().id());
        let until = Instant::now() + if is_own { Duration::ZERO } else { END_MAX };
        let ended = pools.iter().all(|pool| pool.ends(until));
        if ended {
            threads.into_iter().for_each(|thread| drop(thread.join())); // they catch their jobs' panics
        }
        // Followers go here: what is not archived stays in the stores' WALs.
        for (_, keeper) in std::mem::take(&mut *lock(&inner.keepers)) {
            keeper.waits.end("the archiver has ended");
            keeper.retire(Duration::ZERO);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
    }
}

/// While it lives, what takes long of a store rests.
pub struct Rest(Arc<Keeper>);

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.wake();
    }
}
