//! Whether the replaced file that is kept has commits that nothing else has.
//!
//! What waited in its spool when it was replaced lies in its own folder, and nobody archives it any more. So it is carried before that
//! folder is removed, and where commits are left that the archive has not, the folder stays until its operator says otherwise.
//!
//! **Invariants**
//! - Nothing is removed here.
//! - Without an archive nothing is asked: then there is no second copy of any commit.

use super::journal::Replaced;
use super::{Ground, Places};
use crate::verb::Usage;
use anyhow::Context as _;
use monolite_archive::{History, carry_spool, is_of_another, newest};

/// Refuses to remove the only copy of commits.
pub(super) fn refuse(ground: Ground<'_>, places: &Places, replaced: &Replaced) -> crate::Result {
    let Some(keeping) = ground.keeping.filter(|_| replaced.archived != Some(true)) else { return Ok(()) };
    let (service, file) = (&places.service, &replaced.state);
    let history = History::new(keeping.place().clone(), service, &file.history)?;
    let spool = places.replaced().join(service).join("spool");
    let carried = || {
        carry_spool(&history, &file.history, &spool)?;
        let archived = newest(&history)?.map_or(0, |(sequence, _)| sequence);
        let is_there = archived >= file.sequence;
        Ok::<_, monolite_archive::Error>((
            archived,
            is_there && is_of_another(&history, &file.history, &spool, file.sequence)?,
        ))
    };
    let (archived, is_of_another) = carried().with_context(|| {
        format!(
            "nothing was removed: the last commits of the replaced file of {service} wait in {} and cannot be archived. \
             `rewind {service} --forget --accept` removes them all the same",
            spool.display()
        )
    })?;
    if archived >= file.sequence && !is_of_another {
        return Ok(());
    }
    let (last, id) = (file.sequence, &file.history);
    let text = if is_of_another {
        format!(
            "nothing was removed: commit {last} of history {id} in the archive is another server's, which ran on a copy of the file. \
             The last commits of the replaced file of {service} are in that file only: copy it from {} where they are wanted; \
             `rewind {service} --forget --accept` removes them",
            places.replaced().display()
        )
    } else {
        format!(
            "nothing was removed: commits {} to {last} of history {id} are in the replaced file of {service} only, not in the archive. \
             `rewind {service} --undo` puts it back, and what it has is archived then; `rewind {service} --forget --accept` removes them",
            archived + 1
        )
    };
    Err(Usage(text).into())
}
