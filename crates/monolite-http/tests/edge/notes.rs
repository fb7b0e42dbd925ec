//! A toy service that has one route of each sort.

use monolite_service::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AddNote {
    pub title: String,
    #[serde(default)]
    pub stars: u32,
    #[serde(default)]
    pub tags: Vec<Tag>,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tag {
    pub name: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NoteById {
    pub id: Uuid,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RenameNote {
    pub id: Uuid,
    pub title: String,
    #[serde(default)]
    pub if_match: Option<u64>,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NotesWith {
    #[serde(default)]
    pub prefix: Option<String>,
    #[serde(default)]
    pub stars: Option<u32>,
    #[serde(default)]
    pub page: PageOf,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RemoveNote {
    pub id: Uuid,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PutImage {
    pub name: String,
    pub content_type: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    pub name: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PutText {
    pub key: String,
    pub body: Json,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Break {
    pub how: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Hang {}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LongText {
    pub bytes: u32,
}
/// A reply that says on which thread it was written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Long {
    pub text: String,
    #[serde(serialize_with = "this_thread")]
    pub written_on: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Whence {}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct From {
    pub address: String,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    pub id: Uuid,
    pub title: String,
    pub stars: u32,
    pub version: u64,
}

message!(AddNote => Note, check |m, c| { c.field("title", !m.title.trim().is_empty(), "is empty"); });
message!(NoteById => Note, version |n| n.version);
message!(RenameNote => Note, version |n| n.version);
message!(NotesWith => Page<Note>);
message!(RemoveNote => ());
message!(PutImage => ());
message!(Image => Blob);
message!(PutText => ());
message!(Break => ());
message!(Hang => ());
message!(LongText => Long);
message!(Whence => From);

pub fn service() -> Service {
    Service::new("Notes", migrations![quick "../migrations/0001_notes.sql"])
        .write(add)
        .at(POST, "/notes", SignedIn)
        .creates("/notes/{id}")
        .read(one)
        .at(GET, "/notes/{id}", SignedIn)
        .write(rename)
        .at(PUT, "/notes/{id}", SignedIn)
        .read(list)
        .at(GET, "/notes", Anyone)
        .write(remove)
        .at(DELETE, "/notes/{id}", Role("admin"))
        .write(put_image)
        .at(PUT, "/images/{name}", SignedIn)
        .upload(1000)
        .read(image)
        .at(GET, "/images/{name}", Anyone)
        .streams()
        .write(put_text)
        .at(PUT, "/texts/{key}", Anyone)
        .body(200_000)
        .read(long)
        .at(GET, "/long", Anyone)
        .write(broken)
        .at(POST, "/break/{how}", Anyone)
        .flow(hang)
        .at(POST, "/hang", Anyone)
        .read(whence)
        .at(GET, "/whence", Anyone)
}

fn add(tx: &Tx<'_>, m: AddNote) -> Outcome<AddNote> {
    let id = tx.id();
    tx.run("INSERT INTO notes VALUES (?, ?, ?, 1)", params![id, m.title, m.stars])
        .unique(Refused::conflict("title_taken"))?;
    Ok(Note { id, title: m.title, stars: m.stars, version: 1 })
}

fn one(s: &Snapshot<'_>, m: &NoteById) -> Outcome<NoteById> {
    Ok(s.one("SELECT id, title, stars, version FROM notes WHERE id = ?", params![m.id])?
        .ok_or(Refused::not_found("note"))?)
}

fn rename(tx: &Tx<'_>, m: RenameNote) -> Outcome<RenameNote> {
    let mut note = one(tx, &NoteById { id: m.id })?;
    if m.if_match.is_some_and(|known| known != note.version) {
        return Err(Refused::stale().into());
    }
    tx.run("UPDATE notes SET title = ?, version = version + 1 WHERE id = ?", params![m.title, m.id])
        .unique(Refused::conflict("title_taken"))?;
    note.title = m.title;
    note.version += 1;
    Ok(note)
}

fn list(s: &Snapshot<'_>, m: &NotesWith) -> Outcome<NotesWith> {
    Ok(s.page(
        sql("SELECT id, title, stars, version FROM notes WHERE 1")
            .and("instr(title, ?) = 1", m.prefix.clone())
            .and("stars = ?", m.stars),
        &["title"],
        &m.page,
    )?)
}

fn remove(tx: &Tx<'_>, m: RemoveNote) -> Outcome<RemoveNote> {
    tx.run("DELETE FROM notes WHERE id = ?", params![m.id])?;
    Ok(())
}

fn put_image(tx: &Tx<'_>, m: PutImage, bytes: Bytes) -> Outcome<PutImage> {
    tx.run("INSERT OR REPLACE INTO images VALUES (?, ?, ?)", params![m.name, m.content_type, &bytes[..]])?;
    Ok(())
}

fn image(s: &Snapshot<'_>, m: &Image) -> Outcome<Image> {
    #[derive(Deserialize)]
    struct Row {
        kind: String,
        hex: String,
    }
    let row: Row = s
        .one("SELECT kind, hex(bytes) AS hex FROM images WHERE name = ?", params![m.name])?
        .ok_or(Refused::not_found("image"))?;
    let bytes: Vec<u8> =
        (0..row.hex.len() / 2).map(|n| u8::from_str_radix(&row.hex[2 * n..2 * n + 2], 16).unwrap()).collect();
    Ok(Blob::new(row.kind, bytes).with_version(7))
}

fn put_text(tx: &Tx<'_>, m: PutText) -> Outcome<PutText> {
    tx.run("INSERT OR REPLACE INTO texts VALUES (?, ?)", params![m.key, m.body.as_str()])?;
    Ok(())
}

fn broken(tx: &Tx<'_>, m: Break) -> Outcome<Break> {
    match m.how.as_str() {
        "block" => block(),
        "panic" => panic!("a secret of the handler"),
        "sql" => drop(tx.run("INSERT INTO no_such_secret_table VALUES (1)", params![])?),
        "constraint" => drop(tx.run("INSERT INTO notes VALUES (NULL, NULL, 0, 0)", params![])?),
        "stale" => return Err(Refused::stale().into()),
        "too_large" => return Err(Refused::too_large(5).into()),
        "late" => return Err(Failure::new(FailureKind::Late, "a secret").into()),
        "overloaded" => return Err(Failure::new(FailureKind::Overloaded, "a secret").into()),
        "unknown" => return Err(Failure::new(FailureKind::OutcomeUnknown, "a secret").into()),
        "read_only" => return Err(Failure::new(FailureKind::ReadOnly, "a secret").into()),
        "full" => return Err(Failure::new(FailureKind::Full, "a secret").into()),
        "corrupt" => return Err(Failure::new(FailureKind::Corrupt, "a secret").into()),
        "closed" => return Err(Failure::new(FailureKind::Closed, "a secret").into()),
        "unavailable" => return Err(Failure::new(FailureKind::Unavailable, "a secret").into()),
        "too_long" => return Err(Failure::new(FailureKind::TooLong, "a secret").into()),
        "internal" => return Err(Failure::new(FailureKind::Internal, "a secret").into()),
        _ => {}
    }
    Ok(())
}

fn long(_: &Snapshot<'_>, m: &LongText) -> Outcome<LongText> {
    Ok(Long { text: "x".repeat(m.bytes as usize), written_on: String::new() })
}

fn this_thread<S: serde::Serializer>(_: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(std::thread::current().name().unwrap_or_default())
}

fn whence(s: &Snapshot<'_>, _: &Whence) -> Outcome<Whence> {
    Ok(From { address: s.caller().address().map(|address| address.to_string()).unwrap_or_default() })
}

async fn hang(_: Flow, _: Hang) -> Outcome<Hang> {
    std::future::pending().await
}

type Block = (SyncSender<()>, Receiver<()>);
static BLOCK: Mutex<Option<Block>> = Mutex::new(None);

/// The next blocking write says when it has begun, and waits for a word.
pub fn on_block(began: SyncSender<()>, stop: Receiver<()>) {
    *BLOCK.lock().unwrap() = Some((began, stop));
}

fn block() {
    let taken = BLOCK.lock().unwrap().take();
    if let Some((began, stop)) = taken {
        began.send(()).unwrap();
        let _ = stop.recv_timeout(std::time::Duration::from_secs(10));
    }
}
