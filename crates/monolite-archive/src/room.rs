//! Room on the disk of a scratch folder: how much there is, and how much is left to others.
//!
//! **Invariants**
//! - Work that can wait takes nothing of what the stores beside it need for their next hours: a WAL at its hard limit, a spool.

use crate::{Error, Kind, Result};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Of a large disk no more than this is left to others for its size alone.
const SHARE_MAX: u64 = 16 << 30;
/// The part of the disk that is left to others: one of so many.
const SHARE: u64 = 20;

/// What a disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that are free for this process.
    pub free: u64,
    /// All its bytes.
    pub whole: u64,
}

/// Says what the disk of a folder has.
pub type AskDisk = Arc<dyn Fn(&Path) -> std::io::Result<Disk> + Send + Sync>;

/// How much room work that can wait leaves.
#[derive(Clone)]
pub struct Room {
    /// At least so many bytes.
    pub left: u64,
    /// And a twentieth of the disk, up to 16 GiB.
    pub is_shared: bool,
    /// Who says what is free.
    pub disk: AskDisk,
}

impl Room {
    /// On the disk of stores that serve: leaves so many bytes and a twentieth of it, as the system says what is free.
    pub fn beside_stores(left: u64) -> Room {
        Room { left, is_shared: true, disk: Arc::new(of_system) }
    }

    /// Where somebody wants it to be: leaves so many bytes.
    pub fn elsewhere(left: u64) -> Room {
        Room { is_shared: false, ..Room::beside_stores(left) }
    }

    /// Refuses where so many bytes more would take what is left to others.
    pub(crate) fn look(&self, folder: &Path, needed: u64) -> Result<()> {
        let disk = (self.disk)(folder);
        let disk = disk.map_err(|e| Error::local(format!("asking for room in {}", folder.display()), e))?;
        let share = if self.is_shared { (disk.whole / SHARE).min(SHARE_MAX) } else { 0 };
        let (left, free) = (self.left.max(share), disk.free);
        if needed.saturating_add(left) <= free {
            return Ok(());
        }
        let text = format!(
            "the newest state cannot be restored to prove it: that takes {needed} bytes more, and {} has {free}, of which {left} are \
             left to others",
            folder.display()
        );
        Err(Error::new(Kind::Full, text))
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("left", &self.left).finish_non_exhaustive()
    }
}

fn of_system(folder: &Path) -> std::io::Result<Disk> {
    let found = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Disk { free: bytes(found.f_bavail), whole: bytes(found.f_blocks) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_said_with_its_numbers_and_a_large_one_leaves_more() {
        let folder = Path::new("/scratch");
        let room =
            |free, whole| Room { left: 2 << 30, is_shared: true, disk: Arc::new(move |_| Ok(Disk { free, whole })) };
        room((2 << 30) + 5, 1 << 30).look(folder, 5).unwrap();
        let refused = room((2 << 30) + 5, 1 << 30).look(folder, 6).unwrap_err();
        assert_eq!(refused.kind(), Kind::Full);
        assert!(!crate::prove::is_wrong(&refused));
        for part in ["takes 6 bytes", "2147483653", "2147483648", "/scratch"] {
            assert!(refused.to_string().contains(part), "{refused}");
        }
        room(5 << 30, 100 << 30).look(folder, 0).unwrap();
        room(5 << 30, 100 << 30).look(folder, 1).unwrap_err();
        room(16 << 30, 1 << 50).look(folder, 0).unwrap();
        Room { is_shared: false, ..room(5 << 30, 100 << 30) }.look(folder, 3 << 30).unwrap();
        assert!(Room::elsewhere(u64::MAX).look(Path::new("/"), 0).unwrap_err().to_string().contains("left to others"));
    }
}
