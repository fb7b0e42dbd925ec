//! Faults: at which call of SQLite's, what, and for how long.

use monolite_store::rusqlite::ffi;
use std::ffi::c_int;
use std::time::Duration;

/// A method of SQLite's file system interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are SQLite's")]
pub enum Method {
    Open,
    Delete,
    Access,
    FullPathname,
    Close,
    Read,
    Write,
    Truncate,
    Sync,
    FileSize,
    Lock,
    Unlock,
    CheckReservedLock,
    FileControl,
    ShmMap,
    ShmLock,
    ShmUnlock,
    ShmUnmap,
}

/// What sort of file a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// The database.
    Database,
    /// Its WAL.
    Wal,
    /// Its rollback journal, or another file.
    Journal,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device fails.
    Io,
    /// No room.
    Full,
    /// A read or write does half of its work.
    Short,
    /// The power goes before the call.
    Crash,
    /// A sync says that all is well and does nothing.
    Lie,
    /// The call takes this long.
    Slow(Duration),
}

/// A fault at one call, or from one call on.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The number of the call, from 1.
    pub at: u64,
    /// Every call from there on, not only that one.
    pub forever: bool,
    /// Only calls of this method.
    pub method: Option<Method>,
    /// Only calls on this sort of file.
    pub kind: Option<FileKind>,
    /// What happens.
    pub fault: Fault,
}

/// What to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As usual.
    Go,
    /// Answer this code of SQLite's.
    Fail(c_int),
    /// Do half and answer as the system's VFS would.
    Short,
    /// The power goes.
    Crash,
    /// Answer that all is well.
    Lie,
    /// Wait, then as usual.
    Slow(Duration),
}

impl Plan {
    /// A fault at one call only.
    pub fn once(at: u64, fault: Fault) -> Self {
        Plan { at, forever: false, method: None, kind: None, fault }
    }

    /// A fault at one call and at each behind it.
    pub fn forever(at: u64, fault: Fault) -> Self {
        Plan { forever: true, ..Plan::once(at, fault) }
    }

    /// A fault at each call of one method on one sort of file.
    pub fn each(method: Method, kind: FileKind, fault: Fault) -> Self {
        Plan { at: 0, forever: true, method: Some(method), kind: Some(kind), fault }
    }

    pub(super) fn verdict(&self, call: u64, method: Method, kind: FileKind) -> Verdict {
        let now = if self.forever { call >= self.at } else { call == self.at };
        let here = self.method.is_none_or(|m| m == method) && self.kind.is_none_or(|k| k == kind);
        if !now || !here || !self.fault.applies_to(method) {
            return Verdict::Go;
        }
        match self.fault {
            Fault::Io => Verdict::Fail(method.failure()),
            Fault::Full => Verdict::Fail(ffi::SQLITE_FULL),
            Fault::Short => Verdict::Short,
            Fault::Crash => Verdict::Crash,
            Fault::Lie => Verdict::Lie,
            Fault::Slow(wait) => Verdict::Slow(wait),
        }
    }
}

impl Fault {
    /// Whether the fault can happen to a method at all.
    pub fn applies_to(self, method: Method) -> bool {
        match self {
            Fault::Io | Fault::Crash | Fault::Slow(_) => true,
            Fault::Full => matches!(method, Method::Write | Method::Truncate | Method::ShmMap),
            Fault::Short => matches!(method, Method::Read | Method::Write),
            Fault::Lie => method == Method::Sync,
        }
    }
}

impl Method {
    /// What is given back must be given back, or the next opener would wait for ever: done even where it then fails.
    pub fn must_happen(self) -> bool {
        matches!(self, Method::Close | Method::Unlock | Method::ShmUnlock | Method::ShmUnmap)
    }

    /// How the system's VFS says that the device failed.
    pub fn failure(self) -> c_int {
        match self {
            Method::Open | Method::FullPathname => ffi::SQLITE_CANTOPEN,
            Method::Delete => ffi::SQLITE_IOERR_DELETE,
            Method::Access => ffi::SQLITE_IOERR_ACCESS,
            Method::Close => ffi::SQLITE_IOERR_CLOSE,
            Method::Read => ffi::SQLITE_IOERR_READ,
            Method::Write => ffi::SQLITE_IOERR_WRITE,
            Method::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Method::Sync => ffi::SQLITE_IOERR_FSYNC,
            Method::FileSize => ffi::SQLITE_IOERR_FSTAT,
            Method::Lock => ffi::SQLITE_IOERR_LOCK,
            Method::Unlock => ffi::SQLITE_IOERR_UNLOCK,
            Method::CheckReservedLock => ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
            Method::FileControl => ffi::SQLITE_IOERR,
            Method::ShmMap | Method::ShmUnmap => ffi::SQLITE_IOERR_SHMMAP,
            Method::ShmLock | Method::ShmUnlock => ffi::SQLITE_IOERR_SHMLOCK,
        }
    }
}
