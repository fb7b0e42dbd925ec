//! Where history is kept, as the configuration says it, and what a command finds there.
//!
//! **Invariants**
//! - Reading an archive changes nothing in it, and makes nothing.

mod acks;
mod forward;
mod guests;
mod keeping;
mod ledger;
pub(crate) mod proofs;
pub(crate) mod restoring;
mod status;
mod target;

pub(crate) use acks::Ack;
pub(crate) use forward::roll_forward;
pub(crate) use guests::{Guests, Way};
pub(crate) use keeping::Keeping;
pub(crate) use status::{ArchiveStatus, FileStatus};
pub(crate) use target::{Wanted, check_mark, wanted};

use crate::config::Config;
use crate::verb::Usage;
use anyhow::Context as _;
use monolite_archive::place::Folder;
use monolite_archive::{History, Manifest, Place};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of the archive in a data folder, where nothing else is configured.
pub(crate) const FOLDER: &str = "archive";

/// Where the configuration has the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// A folder.
    Folder(PathBuf),
    /// There is none.
    Nowhere,
}

impl Where {
    /// As configured, for a data folder.
    pub(crate) fn of(config: &Config, data: &Path) -> Self {
        match config.text("archive.to") {
            "" => Where::Folder(data.join(FOLDER)),
            "off" => Where::Nowhere,
            folder => Where::Folder(folder.into()),
        }
    }

    /// A folder that was named, else as configured.
    pub(crate) fn or(named: Option<PathBuf>, config: &Config, data: &Path) -> Self {
        named.map_or_else(|| Where::of(config, data), Where::Folder)
    }

    /// The place, to read; it has to be there.
    pub(crate) fn to_read(&self) -> crate::Result<Arc<dyn Place>> {
        let folder = match self {
            Where::Folder(folder) => folder,
            Where::Nowhere => return Err(Usage("archive.to is \"off\": nothing is archived here".to_owned()).into()),
        };
        let place = Folder::existing(folder).with_context(|| format!("there is no archive in {}", folder.display()))?;
        Ok(Arc::new(place))
    }
}

/// The histories of a service in a place with what is known of each, the one that was begun last at the end.
pub(crate) fn histories(place: &Arc<dyn Place>, service: &str) -> crate::Result<Vec<(History, Manifest)>> {
    let mut found = Vec::new();
    for id in place.folders(service)? {
        let history = History::new(place.clone(), service, &id)?;
        if let Some(manifest) = Manifest::read(&history)? {
            found.push((history, manifest));
        }
    }
    found.sort_by_key(|(_, manifest)| manifest.begun_ms);
    Ok(found)
}

/// The history of a service that is meant: the named one, else the one that was begun last.
pub(crate) fn history(place: &Arc<dyn Place>, service: &str, id: Option<&str>) -> crate::Result<History> {
    let mut all = histories(place, service)?;
    let known: Vec<String> = all.iter().map(|(_, manifest)| manifest.history.clone()).collect();
    let found = match id {
        Some(id) => all.into_iter().find(|(_, manifest)| manifest.history == id),
        None => all.pop(),
    };
    match (found, known.is_empty()) {
        (Some((history, _)), _) => Ok(history),
        (None, true) => {
            let known = services(place)?.join(", ");
            let what =
                if known.is_empty() { "nothing is archived there".to_owned() } else { format!("archived are {known}") };
            Err(Usage(format!("{} has no history of {service}; {what}", place.describe())).into())
        }
        (None, false) => Err(Usage(format!("{service} has no such history there; it has {}", known.join(", "))).into()),
    }
}

/// The services that have a history in a place.
pub(crate) fn services(place: &Arc<dyn Place>) -> crate::Result<Vec<String>> {
    let mut found = Vec::new();
    for name in place.folders("")? {
        if !histories(place, &name)?.is_empty() {
            found.push(name);
        }
    }
    Ok(found)
}
