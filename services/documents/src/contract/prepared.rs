//! What is known of a document before it is queued: its words and its depth.
//!
//! Walking the JSON costs about 2 us per KiB. It is done once, on the caller's thread, when the message is checked;
//! the writer, which serves everybody, finds it done.
//!
//! **Invariants**
//! - It follows from the JSON alone: not part of a message's own JSON, made again wherever it is missing.

use crate::words::{Scanned, scan};
use monolite_service::Json;
use std::sync::{Arc, OnceLock};

/// What a walk over a document's JSON found, kept beside it in its message; `Prepared::default()` has not walked yet.
#[derive(Clone, Debug, Default)]
pub struct Prepared(OnceLock<Arc<Scanned>>);

impl Prepared {
    /// The words and the depth; walks if nobody has so far.
    pub(crate) fn of(&self, body: &Json) -> &Scanned {
        self.0.get_or_init(|| Arc::new(scan(body.as_str())))
    }
}
