//! Where history is kept, as the configuration says it, and what a command finds there.
//!
//! **Invariants**
//! - Reading an archive changes nothing in it, and makes nothing.

mod acks;
#[cfg(feature = "s3")]
mod credentials;
mod forward;
mod guests;
mod keeping;
mod ledger;
mod place;
pub(crate) mod proofs;
pub(crate) mod restoring;
mod status;
mod target;
mod unfinished;

pub(crate) use acks::Ack;
pub(crate) use forward::roll_forward;
pub(crate) use guests::{Guests, Way};
pub(crate) use keeping::Keeping;
pub(crate) use place::Where;
pub(crate) use status::{ArchiveStatus, FileStatus};
pub(crate) use target::{Wanted, check_mark, wanted};
pub(crate) use unfinished::Unfinished;

use crate::verb::Usage;
use monolite_archive::{History, Manifest, Place};
use std::sync::Arc;

/// The histories of a service in a place with what is known of each, the one that was begun last at the end.
pub(crate) fn histories(place: &Arc<dyn Place>, service: &str) -> crate::Result<Vec<(History, Manifest)>> {
    let mut found = Vec::new();
    for id in place.folders(service)? {
        // What cannot be a history's name is somebody else's folder.
        let Ok(history) = History::new(place.clone(), service, &id) else { continue };
        if let Some(manifest) = Manifest::read(&history)? {
            found.push((history, manifest));
        }
    }
    found.sort_by_key(|(_, manifest)| manifest.begun_ms);
    Ok(found)
}

/// The history of a service that is meant: the named one, else the newest that has a base. A fork's has none while its first
/// one is copied, and nothing can be restored from it until then.
pub(crate) fn history(place: &Arc<dyn Place>, service: &str, id: Option<&str>) -> crate::Result<History> {
    let mut all = histories(place, service)?;
    let known: Vec<String> = all.iter().map(|(_, manifest)| manifest.history.clone()).collect();
    let found = match id {
        Some(id) => all.into_iter().find(|(_, manifest)| manifest.history == id),
        None => {
            let mut at = all.len().checked_sub(1);
            for (place, (history, _)) in all.iter().enumerate().rev() {
                if history.segments()?.iter().any(|segment| segment.name.is_base()) {
                    at = Some(place);
                    break;
                }
            }
            at.map(|at| all.swap_remove(at))
        }
    };
    match (found, known.is_empty()) {
        (Some((history, _)), _) => Ok(history),
        (None, true) => Err(no_history(place, Some(service))?.into()),
        (None, false) => Err(Usage(format!("{service} has no such history there; it has {}", known.join(", "))).into()),
    }
}

/// The error where a place has no history at all, or none of that service.
pub(crate) fn no_history(place: &Arc<dyn Place>, service: Option<&str>) -> crate::Result<Usage> {
    let known = services(place)?.join(", ");
    let what = if known.is_empty() { "nothing is archived there".to_owned() } else { format!("archived are {known}") };
    let of = service.map_or(String::new(), |service| format!(" of {service}"));
    Ok(Usage(format!("{} has no history{of}; {what}", place.describe())))
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
