//! Deleting.

use super::{owned_words, put::expected, terms};
use crate::contract::DeleteDocument;
use monolite_service::{Outcome, Tx};

const DELETE: &str = "DELETE FROM documents WHERE seq = ?";

pub(super) fn delete(tx: &Tx<'_>, m: DeleteDocument) -> Outcome<DeleteDocument> {
    let present = expected(tx, m.id, m.if_match)?;
    owned_words::remove(tx, present.seq)?;
    terms::remove(tx, present.owner_id, present.title.as_deref())?;
    tx.run(DELETE, [present.seq])?;
    Ok(())
}
