//! Imports: a batch in one write, each document with its own result.

use super::put::{Was, fits, put};
use super::{Result, whose};
use crate::contract::{ImportDocuments, ImportReport, Imported, NewDocument};
use monolite_service::{FieldError, Outcome, Tx, UserId};

pub(super) fn import(tx: &Tx<'_>, m: ImportDocuments, bytes_max: u64) -> Outcome<ImportDocuments> {
    let owner = whose(tx, m.owner)?;
    let results = m.documents.iter().map(|d| one(tx, owner, d, bytes_max)).collect::<Result<_>>()?;
    Ok(ImportReport { results })
}

fn one(tx: &Tx<'_>, owner: UserId, document: &NewDocument, bytes_max: u64) -> Result<Imported> {
    let mut wrong = document.wrong();
    if fits(document, bytes_max).is_err() {
        wrong.push(FieldError::new("body", format!("is larger than {bytes_max} bytes")));
    }
    if !wrong.is_empty() {
        return Ok(Imported::Refused(wrong));
    }
    Ok(match put(tx, owner, document)? {
        (stored, Was::Absent) => Imported::Created(stored.id),
        (stored, Was::Present) => Imported::Replaced(stored.id),
    })
}
