//! What a store's threads and handles share.
//!
//! **Invariants**
//! - It lives as long as the last of them; the file is closed before, by the writer's end.
//!
//! Never here: what a handle offers (`store.rs`), nor what each part does with its own.

use crate::awaited::Awaited;
use crate::caretaker::Marking;
use crate::checkpoint::Rounds;
use crate::config::Config;
use crate::cut::OpenCuts;
use crate::error::{Error, Kind};
use crate::fair::{Bounds, Refused};
use crate::follow::Following;
use crate::read::Reads;
use crate::replaced::Placed;
use crate::scrub::Scrub;
use crate::slow_log::SlowLog;
use crate::sqlite::connection::Opener;
use crate::sqlite::watch::Watch;
use crate::standing::Standing;
use crate::status::Holder;
use crate::wal_bounds::KeptAt;
use crate::write::holding::Holding;
use crate::write::longest::Longest;
use crate::write::queue::Queue;
use crate::write::reached::Reaching;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How long the writer is waited for to say which statement it runs.
const STATEMENT_WAIT: Duration = Duration::from_millis(2);
/// How long a closing store waits for its slow reads to notice.
const READS_END_MAX: Duration = Duration::from_secs(5);

/// What the store's threads and handles share.
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
    /// The epoch: the last commit that anybody has seen.
    pub(crate) epoch: AtomicU64,
    pub(crate) reads: Reads,
    pub(crate) cuts: OpenCuts,
    pub(crate) awaited: Awaited,
    pub(crate) opener: Arc<Opener>,
    pub(crate) queue: Queue,
    pub(crate) rounds: Rounds,
    pub(crate) wal_frames: AtomicU64,
    pub(crate) holding: Holding,
    pub(crate) longest: Longest,
    pub(crate) reaching: Reaching,
    pub(crate) slow_log: SlowLog,
    pub(crate) writer_watch: OnceLock<Arc<Watch>>,
    pub(crate) trouble: Mutex<Option<String>>,
    pub(crate) marking: Marking,
    pub(crate) scrub: Scrub,
    pub(crate) following: Following,
    pub(crate) warnings: Vec<String>,
    pub(crate) closed: AtomicBool,
    pub(crate) copied_at_close: AtomicBool,
    pub(crate) standing: Standing,
    pub(crate) placed: Mutex<Placed>,
    pub(crate) wal_kept_at: KeptAt,
    /// How long the writer has rested.
    pub(crate) rested_us: AtomicU64,
    /// Where the file began other histories.
    pub(crate) forks: Vec<(u64, u64)>,
}

impl Shared {
    pub(crate) fn new(
        path: &Path,
        config: Config,
        opener: Arc<Opener>,
        warnings: Vec<String>,
        following: Following,
    ) -> Self {
        Shared {
            path: path.to_owned(),
            epoch: AtomicU64::new(following.sequence_found()),
            reads: Reads::new(&opener, config.slots_max),
            awaited: Awaited::default(),
            cuts: OpenCuts::new(opener.clone(), config.cuts_max),
            opener,
            queue: Queue::new(
                Bounds { max: config.queue_max, tenant_max: config.tenant_queue_max },
                config.tenant_quantum,
                config.tenant_weights.clone(),
            ),
            rounds: Rounds::default(),
            wal_frames: AtomicU64::new(0),
            holding: Holding::new(),
            longest: Longest::default(),
            reaching: Reaching::default(),
            slow_log: SlowLog::default(),
            writer_watch: OnceLock::new(),
            trouble: Mutex::new(None),
            marking: Marking::default(),
            scrub: Scrub::default(),
            following,
            warnings,
            closed: AtomicBool::new(false),
            copied_at_close: AtomicBool::new(false),
            standing: Standing::default(),
            placed: Mutex::default(),
            wal_kept_at: KeptAt::default(),
            rested_us: AtomicU64::new(0),
            forks: Vec::new(),
            config,
        }
    }

    /// The writer has rested for so long.
    pub(crate) fn rested(&self, time: Duration) {
        self.rested_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn holder_with_statement(&self) -> Option<Holder> {
        let (mut holder, number) = self.holding.look()?;
        let statement = self.writer_watch.get().and_then(|watch| watch.statement(STATEMENT_WAIT));
        if self.holding.look().is_some_and(|(_, now)| now == number) {
            holder.statement = statement; // else it may be another's
        }
        Some(holder)
    }

    /// Lets no more reads in, ends those that run, and closes their connections: the end of the writer's thread.
    pub(crate) fn close_reads(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.opener.close();
        self.reads.slow.close(READS_END_MAX);
        self.cuts.close();
        self.reads.slots.close();
        self.rounds.close();
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn overloaded(&self, what: &str, refused: Refused) -> Error {
        let whose = if refused.own_fault { "this tenant has" } else { "there are" };
        let text = format!("{whose} too many {what} of {} waiting; nothing was done, try again", self.config.name);
        Error::new(Kind::Overloaded, text).with_retry_after(Duration::from_secs(1)).with_own_fault(refused.own_fault)
    }
}
