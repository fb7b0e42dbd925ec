//! Proof that an archive leads back: its newest state restored, checked by SQLite, and compared with the file that lives.
//!
//! The file is written meanwhile, and no snapshot of it may be held for long. So: let `s` be the commit that was restored.
//! The file's pages are read in short readings, each of some later moment; let `t` be a commit that is archived and that no
//! reading was ahead of. A page that no commit after `s` up to `t` changed has to be the one that was restored. Which pages
//! those commits changed, the segments from `s` to `t` say. A page that changed meanwhile is not judged this time.
//!
//! **Invariants**
//! - Nothing is judged by what this program believes of the archive: it is read from the place, as a restore would.
//! - What is wrong is told from what only kept the proof from being made.
//! - Memory is one piece of pages, a bit for each page, and the numbers of those that differ, which are bounded.
//!
//! Never here: when, and how often. Free pages have no content, and the last bytes of a page are the store's checksum of it.

use crate::history::{History, Segment};
use crate::ltx::lock_page;
use crate::plan::Target;
use crate::planning::{plan, retry_if_gone};
use crate::restore::{Check, Progress, Restored, restore};
use crate::room::Room;
use crate::{Error, Kind, Result};
use monolite_store::PageReader;
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of one reading of the file.
const PIECE: u32 = 4 << 20;
/// Bytes of a segment that are read at a time.
const RANGE: usize = 1 << 20;
/// Pages that may differ before it is known whether they changed meanwhile: 16 MiB of numbers.
const DIFFERING_MAX: usize = 1 << 22;
/// Pages that a complaint names.
const NAMED_MAX: usize = 4;

/// The newest state of a history as a file in a folder of its own, which goes with it.
pub struct Proof {
    /// What was restored.
    pub restored: Restored,
    path: PathBuf,
    folder: PathBuf,
}

impl Proof {
    /// Restores the newest state into `folder`, which is made, emptied, and removed at the end; SQLite's whole check says that
    /// it is sound.
    ///
    /// # Errors
    /// [`Kind::Full`] where the folder's disk has no room for it beside what is left to others; those of a restore. [`is_wrong`] tells what accuses the
    /// archive from what does not.
    pub fn of(
        history: &History,
        folder: &Path,
        room: &Room,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Proof> {
        let context = |e| Error::local(format!("the folder {}", folder.display()), e);
        let proof = |restored| Proof { restored, path: folder.join("newest.db"), folder: folder.to_owned() };
        clear(folder)?;
        std::fs::create_dir_all(folder).map_err(context)?;
        let made = enough(history, room, folder).and_then(|()| {
            restore(history, Target::Latest, &folder.join("newest.db"), Check::Full, progress).map(proof)
        });
        made.inspect_err(|_| drop(clear(folder))) // what cannot be removed is by the next
    }

    /// Reads the pages of the file that lives, and keeps those that are not as they were restored. `paced` hears the bytes that
    /// were read, and may end it.
    ///
    /// # Errors
    /// [`Kind::Damaged`] where the file is of another size of page, or older; [`Kind::Stopped`]; those of the file.
    pub fn compare(&self, live: &PageReader, paced: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Compared> {
        let restored = &self.restored;
        let context = |e| Error::local(format!("reading {} back", self.path.display()), e);
        let file = File::open(&self.path).map_err(context)?;
        let size = restored.page_size as usize;
        let mut first = vec![0u8; size];
        file.read_exact_at(&mut first, 0).map_err(context)?;
        let usable = size - usize::from(first[20]);
        let free = Free::of(&file, restored, &first).map_err(context)?;
        let (mut pages, mut was) = (Vec::new(), Vec::new());
        let mut compared =
            Compared { from: restored.sequence, seen: restored.sequence, pages: 0, differing: BTreeSet::new() };
        let mut next = 1;
        while next <= restored.pages {
            let count = (PIECE / restored.page_size).max(1).min(restored.pages + 1 - next);
            let read = live.read(next, count, &mut pages);
            let seen =
                read.map_err(|e| Error::new(Kind::Stopped, format!("the file itself could not be read: {e}")))?;
            if seen.page_size != restored.page_size || seen.sequence < restored.sequence {
                return Err(Error::damaged(format!(
                    "the file has commit {} and pages of {} bytes, its archive commit {} and pages of {}",
                    seen.sequence, seen.page_size, restored.sequence, restored.page_size
                )));
            }
            compared.seen = compared.seen.max(seen.sequence);
            if seen.read == 0 {
                break; // cut off since: nothing to compare with
            }
            was.resize(pages.len(), 0);
            file.read_exact_at(&mut was, u64::from(next - 1) * size as u64).map_err(context)?;
            for (number, (now, was)) in (next..).zip(pages.chunks_exact(size).zip(was.chunks_exact(size))) {
                if number == lock_page(restored.page_size) || free.has(number) {
                    continue;
                }
                compared.pages += 1;
                if now[..usable] != was[..usable] {
                    compared.differing.insert(number);
                }
            }
            if compared.differing.len() > DIFFERING_MAX {
                let text = format!("more than {DIFFERING_MAX} pages changed while they were compared");
                return Err(Error::new(Kind::Stopped, text));
            }
            next += seen.read;
            if paced(pages.len() as u64).is_break() {
                return Err(Error::new(Kind::Stopped, "the proof was stopped"));
            }
        }
        Ok(compared)
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        let _ = clear(&self.folder); // what cannot be removed is by the next
    }
}

/// The pages that differ, until it is known which of them changed meanwhile.
#[derive(Debug)]
pub struct Compared {
    /// The commit that was restored.
    pub from: u64,
    /// The newest commit that a reading of the file saw.
    pub seen: u64,
    /// Pages that were compared.
    pub pages: u64,
    differing: BTreeSet<u32>,
}

impl Compared {
    /// Whether all pages were the same.
    pub fn is_same(&self) -> bool {
        self.differing.is_empty()
    }

    /// Leaves those out that these segments changed: they lead from [`Compared::from`] to [`Compared::seen`] or further.
    pub(crate) fn settle(&mut self, history: &History, changed: &[Segment]) -> Result<()> {
        for segment in changed {
            if self.is_same() {
                break;
            }
            let mut decoder = history.read(segment, RANGE)?;
            while let Some(number) = decoder.next()? {
                self.differing.remove(&number);
            }
        }
        Ok(())
    }

    /// What is wrong, if anything is.
    pub(crate) fn complaint(&self) -> Option<String> {
        let named: Vec<String> = self.differing.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let (all, from) = (self.differing.len(), self.from);
        let more = if all > named.len() { ", .." } else { "" };
        (all > 0).then(|| {
            format!(
                "{all} pages of commit {from} as the archive has it are not those of the file, which no commit changed since \
                 (pages {}{more})",
                named.join(", ")
            )
        })
    }
}

/// Whether an error accuses the archive; any other only kept it from being proven.
pub fn is_wrong(error: &Error) -> bool {
    matches!(error.kind(), Kind::Damaged | Kind::Gap | Kind::Within | Kind::Missing)
}

fn clear(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::local(format!("removing {}", folder.display()), e))
        }
        _ => Ok(()),
    }
}

/// Refuses where the newest state, and what is merged on the way to it, has no room.
fn enough(history: &History, room: &Room, folder: &Path) -> Result<()> {
    let needed = retry_if_gone(|| {
        let plan = plan(history, Target::Latest)?;
        let last = plan.segments().last().expect("a plan has a base");
        let header = history.header(last)?;
        Ok(u64::from(header.pages) * u64::from(header.page_size) + plan.bytes())
    })?;
    room.look(folder, needed)
}

/// The free pages of a file, a bit for each page. Trunks of the list have content.
struct Free(Vec<u8>);

impl Free {
    fn of(file: &File, restored: &Restored, first: &[u8]) -> std::io::Result<Free> {
        let number = |page: &[u8], at: usize| u32::from_be_bytes(page[at..at + 4].try_into().expect("four bytes"));
        let mut bits = vec![0u8; restored.pages as usize / 8 + 1];
        let mut page = vec![0u8; restored.page_size as usize];
        let (mut trunk, mut trunks) = (number(first, 32), 0);
        // SQLite has checked the list; the bound is for a file that changes under the eyes.
        while trunk != 0 && trunk <= restored.pages && trunks < restored.pages {
            file.read_exact_at(&mut page, u64::from(trunk - 1) * u64::from(restored.page_size))?;
            let leaves = (number(&page, 4) as usize).min(page.len() / 4 - 2);
            for leaf in (0..leaves).map(|n| number(&page, 8 + 4 * n)).filter(|leaf| *leaf <= restored.pages) {
                bits[leaf as usize / 8] |= 1 << (leaf % 8);
            }
            (trunk, trunks) = (number(&page, 0), trunks + 1);
        }
        Ok(Free(bits))
    }

    fn has(&self, page: u32) -> bool {
        self.0[page as usize / 8] & (1 << (page % 8)) != 0
    }
}
