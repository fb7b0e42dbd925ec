//! A new file.

use super::Config;
use super::rows::{self, Row};
use super::running_hash::RunningHash;
use crate::contract::CreateFile;
use monolite_service::{Error, Failure, Outcome, Refused, Tx, UserId, params};
use serde::Deserialize;

pub(super) fn create(tx: &Tx<'_>, m: CreateFile, config: &Config) -> Outcome<CreateFile> {
    let (id, owner) = (tx.id(), tx.user()?);
    if m.size.is_some_and(|size| size > config.bytes_max) {
        return Err(Refused::too_large(config.bytes_max).into());
    }
    has_room(tx, owner, 1, m.size.unwrap_or(0), config)?;
    let content_type = m.content_type.as_deref().unwrap_or("application/octet-stream");
    let (expected, hash) = (m.sha256.as_deref().map(bytes_of), RunningHash::new().saved());
    let value = next_number(tx)?;
    let row = params![id, owner, m.name, content_type, m.size, expected, hash, value, tx.now()];
    tx.run(rows::INSERTED, row)?;
    Ok(Row::of(tx, id)?.file(config))
}

/// A number that no value ever had.
pub(super) fn next_number(tx: &Tx<'_>) -> Result<u64, Failure> {
    tx.insert(rows::NEXT_NUMBER, [])
}

/// Refuses more unfinished files, or more bytes of them, than a user may have.
pub(super) fn has_room(tx: &Tx<'_>, owner: UserId, files: u32, bytes: u64, config: &Config) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Unfinished {
        files: u32,
        bytes: u64,
    }
    let there: Unfinished = tx.one(rows::UNFINISHED_OF, [owner])?.unwrap_or(Unfinished { files: 0, bytes: 0 });
    if files > 0 && there.files + files > config.unfinished_max {
        return Err(Refused::conflict("too_many_unfinished_files").into());
    }
    if there.bytes.saturating_add(bytes) > config.unfinished_bytes_max {
        return Err(Refused::conflict("too_many_unfinished_bytes").into());
    }
    Ok(())
}

/// The bytes of hexadecimal digits, which the message's check has seen.
fn bytes_of(digits: &str) -> Vec<u8> {
    let value = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
    digits.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | value(*digit))).collect()
}
