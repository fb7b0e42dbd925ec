//! A small service that uses every word of the model, for the tests beside it.
#![allow(missing_docs, unreachable_pub, dead_code)]

use monolite_service::*;
use monolite_store::Migration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const SCHEMA: &str = "
    CREATE TABLE notes(id BLOB PRIMARY KEY, owner BLOB NOT NULL, title TEXT NOT NULL CHECK (title <> 'bad'), at INTEGER NOT NULL,
        version INTEGER NOT NULL DEFAULT 1, UNIQUE (owner, title)) STRICT;
    CREATE TABLE tags(note BLOB NOT NULL REFERENCES notes, tag TEXT NOT NULL, PRIMARY KEY (note, tag)) STRICT, WITHOUT ROWID;
    CREATE TABLE files(note BLOB PRIMARY KEY REFERENCES notes, bytes BLOB NOT NULL) STRICT;
    CREATE TABLE ticks(n INTEGER NOT NULL) STRICT;
    INSERT INTO ticks VALUES (0)";

macro_rules! messages {
    ($($(#[$m:meta])* $name:ident { $($field:ident: $t:ty),* } => $reply:ty $(, refuses $r:ty)? $(, check $c:expr)? $(, version $v:expr)?;)*) => {
        $($(#[$m])* #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)] pub struct $name { $(pub $field: $t),* }
        message!($name => $reply $(, refuses $r)? $(, check $c)? $(, version $v)?);)*
    };
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    pub id: Uuid,
    pub title: String,
    pub at: Millis,
    pub version: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum NoTag {
    NoNote,
    TaggedAlready { tag: String },
}
refusal!(NoTag, |r| match r {
    NoTag::NoNote => RefusalKind::NotFound,
    NoTag::TaggedAlready { .. } => RefusalKind::Conflict,
});

messages! {
    AddNote { title: String } => Uuid, check |m, c| c.length("title", &m.title, 1..=20);
    NoteById { id: Uuid } => Note, version |note| note.version;
    Notes { prefix: Option<String>, page: PageOf } => Page<Note>;
    NotesByAge { page: PageOf } => Page<Note>;
    Tag { id: Uuid, tag: String } => (), refuses NoTag;
    TagBoth { id: Uuid, tag: String } => (), refuses NoTag;
    Retitle { id: Uuid, title: String, if_match: Option<u64> } => u64;
    PutFile { id: Uuid } => u64;
    File { id: Uuid } => Blob;
    Tick {} => ();
    Ticks {} => i64;
    Panic { in_write: bool } => ();
    PanicInRead {} => ();
    Broken {} => i64;
    PanicInCheck {} => (), check panics;
    AddTwo { first: String, second: String } => Vec<Uuid>;
    Forever {} => ();
    PanicInFlow {} => ();
    SlowRead { n: i64 } => i64;
    Runs {} => u32;
    Stall { ms: u64 } => ();
}

fn panics(_: &PanicInCheck, _: &mut Check) {
    panic!("in a check")
}

/// Most writes of this service waiting.
pub const QUEUE_MAX: usize = 16;

pub fn service() -> Service {
    let runs = Arc::new(AtomicU32::new(0));
    Service::new("Notes", Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]))
        .limits(|config| config.queue_max = QUEUE_MAX)
        .write(add)
        .at(POST, "/notes", SignedIn)
        .creates("/notes/{id}")
        .read(by_id)
        .at(GET, "/notes/{id}", Anyone)
        .read(list)
        .at(GET, "/notes", SignedIn)
        .read(by_age)
        .at(GET, "/notes-by-age", SignedIn)
        .write(tag)
        .at(PUT, "/notes/{id}/tags/{tag}", SignedIn)
        .write(tag_both)
        .write(retitle)
        .at(PUT, "/notes/{id}", SignedIn)
        .write(put_file)
        .at(PUT, "/notes/{id}/file", SignedIn)
        .upload(mib(1))
        .read(file)
        .at(GET, "/notes/{id}/file", Anyone)
        .streams()
        .write(|tx: &Tx, _: Tick| {
            tx.run("UPDATE ticks SET n = n + 1", [])?;
            Ok(())
        })
        .read(|s: &Snapshot, _: &Ticks| Ok(s.one("SELECT n FROM ticks", [])?.unwrap_or(0)))
        .write(|tx: &Tx, _: Panic| {
            tx.run("UPDATE ticks SET n = 1000", [])?;
            panic!("in a write")
        })
        .read(|_: &Snapshot, _: &PanicInRead| panic!("in a read"))
        .write(|_: &Tx, _: PanicInCheck| Ok(()))
        .read(|s: &Snapshot, _: &Broken| Ok(s.one("SELECT nothing FROM ticks", [])?.unwrap_or(0)))
        .flow(add_two)
        .at(POST, "/two", SignedIn)
        .flow(|_, _: Forever| std::future::pending())
        .deadline(millis(50))
        .at(POST, "/forever", Role("admin"))
        .flow(|flow, _: PanicInFlow| async move {
            flow.call(Ticks {}).await.ok();
            panic!("in a flow")
        })
        .read(|s: &Snapshot, m: &SlowRead| {
            let sql =
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) SELECT sum(x) FROM c";
            Ok(s.one(sql, [m.n])?.unwrap_or(0))
        })
        .write({
            let runs = runs.clone();
            move |_: &Tx, _: Runs| Ok(runs.fetch_add(1, SeqCst) + 1)
        })
        .write(|tx: &Tx, m: Stall| {
            let until = std::time::Instant::now() + Duration::from_millis(m.ms);
            while std::time::Instant::now() < until {
                tx.run("UPDATE ticks SET n = n", [])?;
            }
            Ok(())
        })
        .every(minutes(1), Tick {})
        .statements(&["SELECT n FROM ticks"])
}

fn add(tx: &Tx, m: AddNote) -> Outcome<AddNote> {
    let sql = "INSERT INTO notes(id, owner, title, at) VALUES (?, ?, ?, ?) RETURNING id";
    tx.insert(sql, params![tx.id(), tx.user()?, m.title, tx.now()])
        .unique(Refused::conflict("title_taken"))
        .checked(Refused::invalid("title", "is bad"))
}

fn by_id(s: &Snapshot, m: &NoteById) -> Outcome<NoteById> {
    Ok(s.one("SELECT id, title, at, version FROM notes WHERE id = ?", [m.id])?.ok_or(Refused::not_found("note"))?)
}

fn list(s: &Snapshot, m: &Notes) -> Outcome<Notes> {
    let query = sql("SELECT id, title, at, version FROM notes WHERE owner = ?")
        .bind(s.user()?)
        .and("substr(title, 1, length(?)) = ?", m.prefix.clone());
    Ok(s.page(query, &["title"], &m.page)?)
}

fn by_age(s: &Snapshot, m: &NotesByAge) -> Outcome<NotesByAge> {
    Ok(s.page(sql("SELECT n.id, n.title, n.at, n.version FROM notes n WHERE 1"), &["n.at desc", "n.id"], &m.page)?)
}

fn tag(tx: &Tx, m: Tag) -> Outcome<Tag> {
    tx.run("INSERT INTO tags VALUES (?, ?)", params![m.id, m.tag])
        .unique(NoTag::TaggedAlready { tag: m.tag })
        .foreign(NoTag::NoNote)?;
    Ok(())
}

/// The first statement succeeds, the second is refused: neither may stay.
fn tag_both(tx: &Tx, m: TagBoth) -> Outcome<TagBoth> {
    tx.run("INSERT INTO tags VALUES (?, 'both')", [m.id]).foreign(NoTag::NoNote)?;
    tx.run("INSERT INTO tags VALUES (?, ?)", params![m.id, m.tag]).unique(NoTag::TaggedAlready { tag: m.tag })?;
    Ok(())
}

fn retitle(tx: &Tx, m: Retitle) -> Outcome<Retitle> {
    let version: u64 = tx.one("SELECT version FROM notes WHERE id = ?", [m.id])?.ok_or(Refused::not_found("note"))?;
    if m.if_match.is_some_and(|known| known != version) {
        return Err(Refused::stale().into());
    }
    let sql = "UPDATE notes SET title = ?, version = version + 1 WHERE id = ? RETURNING version";
    Ok(tx.one(sql, params![m.title, m.id])?.ok_or(Refused::not_found("note"))?)
}

fn put_file(tx: &Tx, m: PutFile, bytes: Bytes) -> Outcome<PutFile> {
    tx.run("INSERT OR REPLACE INTO files VALUES (?, ?)", params![m.id, &bytes[..]])
        .foreign(Refused::not_found("note"))?;
    Ok(bytes.len() as u64)
}

fn file(s: &Snapshot, m: &File) -> Outcome<File> {
    let size: u64 =
        s.one("SELECT octet_length(bytes) FROM files WHERE note = ?", [m.id])?.ok_or(Refused::not_found("file"))?;
    s.gate(size)?;
    let bytes: Bytes = s.one("SELECT bytes FROM files WHERE note = ?", [m.id])?.unwrap_or_default();
    Ok(Blob::new("image/png", bytes).with_version(s.sequence()))
}

async fn add_two(flow: Flow, m: AddTwo) -> Outcome<AddTwo> {
    let first = flow.call(AddNote { title: m.first }).await?;
    let second = flow.call(AddNote { title: m.second }).await?;
    Ok(vec![first, second])
}
