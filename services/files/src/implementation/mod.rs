//! The implementation: Files.db and the functions that answer the contract.
//!
//! **Invariants**
//! - A piece, how much was received, and the running hash change in one transaction.
//! - What the caller may not see answers as what does not exist.
//! - No transaction and no snapshot is held from piece to piece.

mod append;
mod config;
mod content;
mod create;
mod expire;
mod put;
mod read;
mod remove;
mod rows;
mod running_hash;
mod turns;

use crate::contract::{CreateFile, PutContent};
use append::AppendPiece;
use expire::ExpireUploads;
use monolite_service::{
    DELETE, Flow, GET, PATCH, POST, PUT, Pieces, Refused, Service, SignedIn, Snapshot, Tx, Upload, UserId, mib,
    migrations, minutes, seconds,
};
use remove::RemovePieces;
use turns::Turns;

pub use config::Config;

/// The contents.
const PIECES: Pieces = Pieces::table("pieces");

/// The service with the default limits.
pub fn service() -> Service {
    service_with(Config::default())
}

/// The service.
pub fn service_with(config: Config) -> Service {
    let turns = Turns::default();
    let (putting, removing) = (turns.clone(), turns);
    Service::new("Files", migrations![quick "../../migrations/0001_files.sql"])
        .write(move |tx: &Tx<'_>, m: CreateFile| create::create(tx, m, &config))
        .at(POST, "/files", SignedIn)
        .creates("/files/{id}")
        .read(move |s: &Snapshot<'_>, m| read::by_owner(s, m, &config))
        .at(GET, "/files", SignedIn)
        .read(move |s: &Snapshot<'_>, m| read::by_id(s, m, &config))
        .at(GET, "/files/{id}", SignedIn)
        .write(remove::delete)
        .at(DELETE, "/files/{id}", SignedIn)
        .receive(move |f: Flow, m: PutContent, u: Upload| put::put(f, m, u, config, putting.clone()))
        .at(PUT, "/files/{id}/content", SignedIn)
        .at(PATCH, "/files/{id}/content", SignedIn)
        .upload(config.bytes_max)
        .deadline(config.upload_time)
        .read(content::content)
        .at(GET, "/files/{id}/content", SignedIn)
        .streams()
        .read(put::standing)
        .write(move |tx: &Tx<'_>, m: AppendPiece, bytes| append::append(tx, m, &bytes, &config))
        .write(move |tx: &Tx<'_>, m| expire::expire(tx, m, &config))
        .every(minutes(1), ExpireUploads {})
        .flow(move |f: Flow, m: RemovePieces| remove::remove_pieces(f, m, removing.clone()))
        .deadline(minutes(1))
        .every(seconds(1), RemovePieces {})
        .read(remove::first_removal)
        .write(remove::remove_step)
        .statements(rows::STATEMENTS)
        // Pieces pass through once; what is kept of them in memory helps nobody.
        .limits(|limits| {
            limits.writer_cache_bytes = mib(4);
            limits.reader_cache_bytes = mib(2);
        })
}

/// Whether the caller may see and change what this user owns.
fn may(s: &Snapshot<'_>, owner: UserId) -> bool {
    s.caller().user() == Some(owner) || s.caller().has_role("admin")
}

fn no_file() -> Refused {
    Refused::not_found("file")
}
