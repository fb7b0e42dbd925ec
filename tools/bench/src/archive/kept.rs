//! A store whose history is kept, as the suite needs it.

use crate::table;
use anyhow::{Context, ensure};
use monolite_archive::{Archive, Config, Place};
use monolite_store::Store;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The service's name in the archive.
pub(super) const NAME: &str = "One";
/// Rows of the stores that are written.
pub(super) const ROWS: u64 = 100_000;
/// The longest wait for an archive.
const WAIT_MAX: Duration = Duration::from_secs(900);

/// A store and its archive.
pub(super) struct Kept {
    pub(super) store: Store,
    pub(super) archive: Archive,
}

impl Kept {
    /// Fills a store, then keeps it; its first base is there when this returns.
    pub(super) async fn begin(folder: &Path, place: Arc<dyn Place>, rows: u64) -> anyhow::Result<Kept> {
        let kept = Kept::keep(filled(folder, rows).await?, folder, place, Config::default())?;
        kept.based(None)?;
        kept.settle()?;
        Ok(kept)
    }

    /// Keeps a store from now on.
    pub(super) fn keep(store: Store, folder: &Path, place: Arc<dyn Place>, config: Config) -> anyhow::Result<Kept> {
        let archive = Archive::start(place, config)?;
        archive.keep(NAME, &store, &folder.join("spool"))?;
        Ok(Kept { store, archive })
    }

    /// Waits until all that was committed is archived.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        Ok(self.archive.archived(NAME, self.store.sequence())?.wait(WAIT_MAX)?)
    }

    /// Waits until there is a base, other than this one.
    pub(super) fn based(&self, before: Option<u64>) -> anyhow::Result<()> {
        let there =
            self.archive.watch(NAME, WAIT_MAX, |status| status.last_base > before && status.copying.is_none())?;
        ensure!(there, "no base is made: {:?}", self.archive.status());
        Ok(())
    }
}

/// A store that can be followed, with the table filled.
pub(super) async fn filled(folder: &Path, rows: u64) -> anyhow::Result<Store> {
    let config = monolite_store::Config { followed: true, ..monolite_store::Config::default() };
    table::store_with(&folder.join("one.db"), rows, config).await.context("a store to keep")
}
