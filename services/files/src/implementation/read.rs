//! What is told of files.

use super::rows::Row;
use super::{Config, may};
use crate::contract::{FileById, FilesByOwner};
use monolite_service::{Outcome, Page, Refused, Snapshot, sql};

pub(super) fn by_id(s: &Snapshot<'_>, m: &FileById, config: &Config) -> Outcome<FileById> {
    Ok(Row::of(s, m.id)?.file(config))
}

pub(super) fn by_owner(s: &Snapshot<'_>, m: &FilesByOwner, config: &Config) -> Outcome<FilesByOwner> {
    let owner = match m.owner {
        None => s.user()?,
        Some(owner) if may(s, owner) => owner,
        Some(_) => return Err(Refused::forbidden("only an admin may name another owner").into()),
    };
    let files = sql(
        "SELECT id, owner_id, name, content_type, size, expected, received, complete, hash, value, created_at, touched_at
         FROM files WHERE owner_id = ?",
    );
    let page: Page<Row> = s.page(files.bind(owner), &["id desc"], &m.page)?;
    Ok(Page { items: page.items.into_iter().map(|row| row.file(config)).collect(), next: page.next })
}
