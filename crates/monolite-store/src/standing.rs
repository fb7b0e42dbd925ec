//! Whether a store may write, and if not, why: a disk that failed, damage that was found, a file that was never opened.
//!
//! **Invariants**
//! - The first reason stays: what came later may be its consequence. Only damage replaces another one.
//! - A store with damage only reads, since writing spreads damage; reads of sound pages go on.
//! - A quarantined store has no connection and no writer: everything is answered with the damage.
//! - A store that is set aside answers what comes after its end as something to be tried again: another takes its place.

use crate::error::{Error, Kind};
use crate::reply::lock;
use crate::sqlite::raw;
use crate::status::State;
use crate::store::Shared;
use rusqlite::Connection;
use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// When calls to a service are tried again whose file is being replaced.
const ASIDE_RETRY: Duration = Duration::from_secs(1);

/// A store's standing.
#[derive(Default)]
pub(crate) struct Standing {
    stopped: AtomicBool,
    why: Mutex<Option<(Kind, Cow<'static, str>)>>,
    quarantined: AtomicBool,
    aside: AtomicBool,
}

impl Standing {
    /// Of a file that could not be opened.
    pub(crate) fn quarantined(why: &Error) -> Self {
        let why = Mutex::new(Some((Kind::Corrupt, Cow::Owned(why.to_string()))));
        Standing {
            stopped: AtomicBool::new(true),
            why,
            quarantined: AtomicBool::new(true),
            aside: AtomicBool::new(false),
        }
    }

    /// From now on nothing is answered but this.
    pub(crate) fn quarantine(&self, why: String) {
        *lock(&self.why) = Some((Kind::Corrupt, Cow::Owned(why)));
        self.quarantined.store(true, Ordering::Release);
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether nothing is answered but the damage.
    pub(crate) fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Acquire)
    }

    /// Another store takes this one's place.
    pub(crate) fn set_aside(&self) {
        self.aside.store(true, Ordering::Release);
    }

    fn stop(&self, kind: Kind, text: Cow<'static, str>) {
        let mut why = lock(&self.why);
        match &*why {
            Some((known, _)) if *known == Kind::Corrupt || kind != Kind::Corrupt => {}
            _ => *why = Some((kind, text)),
        }
        self.stopped.store(true, Ordering::Release);
    }

    fn reason(&self) -> Option<(Kind, Cow<'static, str>)> {
        if self.stopped.load(Ordering::Acquire) { lock(&self.why).clone() } else { None }
    }
}

impl Shared {
    /// From now on the store only reads.
    pub(crate) fn stop_writing(&self, why: &'static str) {
        self.standing.stop(Kind::ReadOnly, Cow::Borrowed(why));
    }

    /// The file is damaged: from now on the store only reads, and says so.
    pub(crate) fn damaged(&self, what: String) {
        *lock(&self.trouble) = Some(format!("the file is damaged: {what}"));
        self.standing.stop(Kind::Corrupt, Cow::Owned(what));
    }

    /// To be called where a closure failed: SQLite may have found the file damaged under it.
    #[cold]
    pub(crate) fn look_for_damage(&self, connection: &Connection) {
        if let Some(what) = raw::damage(connection) {
            self.damaged(format!("SQLite says: {what}"));
        }
    }

    /// How writes are refused, where the store only reads.
    pub(crate) fn read_only_error(&self) -> Option<impl Fn() -> Error + use<>> {
        let (kind, why) = self.standing.reason()?;
        Some(move || match kind {
            Kind::Corrupt => Error::new(kind, format!("the file is damaged, so nothing is written to it: {why}")),
            _ => Error::new(kind, why.clone()),
        })
    }

    pub(crate) fn closed_error(&self) -> Error {
        if self.standing.aside.load(Ordering::Acquire) {
            let text = format!("the file of {} is being replaced; nothing was done, try again", self.config.name);
            return Error::new(Kind::Busy, text).with_retry_after(ASIDE_RETRY);
        }
        match self.standing.reason() {
            Some((kind, why)) if self.standing.is_quarantined() => Error::new(kind, why),
            _ => Error::new(Kind::Closed, format!("the store {} is closed", self.config.name)),
        }
    }

    /// Why a closed queue lets nothing in.
    pub(crate) fn refusal(&self) -> Error {
        match self.read_only_error() {
            Some(error) if !self.is_closed() => error(),
            _ => self.closed_error(),
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.standing.reason() {
            _ if self.is_closed() && !self.standing.is_quarantined() => State::Closed,
            Some((Kind::Corrupt, why)) => State::Damaged(why.into_owned()),
            Some((_, why)) => State::ReadOnly(why.into_owned()),
            None => State::Serving,
        }
    }
}
