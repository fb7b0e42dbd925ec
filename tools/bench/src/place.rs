//! The temporary folder in which both sides keep their data, and what its disk can promise.

use anyhow::Context;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Linux's number for tmpfs (`TMPFS_MAGIC` in statfs(2)), where an fsync does nothing.
const TMPFS: u64 = 0x0102_1994;

/// A folder that is removed at the end.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    /// Whether an fsync reaches a disk here.
    durable: bool,
}

impl Place {
    /// A new folder within another.
    pub(crate) fn new(within: &Path) -> anyhow::Result<Place> {
        let folder = tempfile::Builder::new()
            .prefix("monolite-bench-")
            .tempdir_in(within)
            .with_context(|| format!("cannot make a folder in {}", within.display()))?;
        // PostgreSQL runs as another user and has to reach its own folder inside.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        let kind = rustix::fs::statfs(folder.path())?.f_type as u64;
        Ok(Place { folder, durable: kind != TMPFS })
    }

    /// A path inside.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The kind of file system, as it is mounted.
    pub(crate) fn file_system(&self) -> anyhow::Result<String> {
        let (mounts, folder) = (std::fs::read_to_string("/proc/self/mounts")?, self.folder.path());
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|f| f.len() > 2);
        let holds = fields.filter(|f| folder.starts_with(f[1])).max_by_key(|f| f[1].len());
        Ok(holds.map_or("unknown file system".into(), |f| f[2].to_owned()))
    }

    /// Bytes that are free there.
    pub(crate) fn free(&self) -> anyhow::Result<u64> {
        let found = rustix::fs::statvfs(self.folder.path())?;
        Ok(found.f_bavail * found.f_frsize)
    }

    /// Leaves the folder where it is.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_path_buf()
    }

    /// What a durable row says about itself.
    pub(crate) fn durability(&self, both: &'static str) -> &'static str {
        if self.durable { both } else { "none: the folder is in memory (tmpfs), fsync does nothing" }
    }
}
