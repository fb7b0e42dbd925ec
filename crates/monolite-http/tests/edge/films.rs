//! A toy service with streams: films come and go in pieces.

use monolite_service::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const PIECES: Pieces = Pieces::table("pieces");
/// The largest film.
pub const FILM_MAX: u64 = 64 << 20;
/// The largest clip.
pub const CLIP_MAX: u64 = 100_000;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PutFilm {
    pub name: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AppendFilm {
    pub name: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Film {
    pub name: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FilmLength {
    pub name: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CutFilm {
    pub name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PutClip {
    pub name: String,
}

message!(PutFilm => ());
message!(PutClip => ());
message!(AppendFilm => u64);
message!(Film => LargeBlob);
message!(FilmLength => u64);
message!(CutFilm => ());

pub fn service() -> Service {
    Service::new("Films", migrations![quick "../migrations/0001_films.sql"])
        .receive(put)
        .at(PUT, "/films/{name}", Anyone)
        .upload(FILM_MAX)
        .deadline(minutes(1))
        .receive(clip)
        .at(PUT, "/clips/{name}", Anyone)
        .upload(CLIP_MAX)
        .read(film)
        .at(GET, "/films/{name}", Anyone)
        .streams()
        .write(append)
        .read(length)
        .at(GET, "/films/{name}/length", Anyone)
        .write(cut)
        .at(DELETE, "/films/{name}", Anyone)
}

/// A film called `refused` is refused at once, `half` after a piece; `broken` breaks the handler, `asleep` never looks.
async fn put(f: Flow, m: PutFilm, mut upload: Upload) -> Outcome<PutFilm> {
    match m.name.as_str() {
        "refused" => return Err(Refused::conflict("no_film").into()),
        "asleep" => std::future::pending().await,
        _ => {}
    }
    let mut length = 0;
    while let Some(piece) = upload.piece(Pieces::room(length)).await? {
        length = f.call_with(AppendFilm { name: m.name.clone() }, piece).await?;
        match m.name.as_str() {
            "half" => return Err(Refused::conflict("half_a_film").into()),
            "broken" => panic!("a secret of a handler"),
            _ => {}
        }
    }
    Ok(())
}

async fn clip(f: Flow, m: PutClip, upload: Upload) -> Outcome<PutClip> {
    put(f, PutFilm { name: m.name }, upload).await
}

fn append(tx: &Tx, m: AppendFilm, bytes: Bytes) -> Outcome<AppendFilm> {
    tx.run("INSERT OR IGNORE INTO films SELECT ?, ifnull(max(value), 0) + 1, 0 FROM films", [&m.name])?;
    let (value, length): (u64, u64) = tx.one("SELECT value, length FROM films WHERE name = ?", [&m.name])?.unwrap();
    let length = PIECES.append(tx.store(), value, length, &bytes)?;
    tx.run("UPDATE films SET length = ? WHERE name = ?", params![length, m.name])?;
    Ok(length)
}

fn find(s: &Snapshot, name: &str) -> Result<(u64, u64), Error> {
    let found = s.one("SELECT value, length FROM films WHERE name = ?", [name])?;
    Ok(found.ok_or(Refused::not_found("film"))?)
}

fn film(s: &Snapshot, m: &Film) -> Outcome<Film> {
    let (value, length) = find(s, &m.name)?;
    Ok(LargeBlob::new("video/x-toy", &PIECES, value, length).with_version(3).attached(&m.name))
}

fn length(s: &Snapshot, m: &FilmLength) -> Outcome<FilmLength> {
    Ok(find(s, &m.name).map_or(0, |(_, length)| length))
}

/// Takes the pieces away from under its readers.
fn cut(tx: &Tx, m: CutFilm) -> Outcome<CutFilm> {
    let (value, _) = find(tx, &m.name)?;
    while PIECES.remove(tx.store(), value)? {}
    Ok(())
}
