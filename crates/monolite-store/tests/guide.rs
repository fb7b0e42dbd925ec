//! The programs of the README and of `docs/guide/store.md`, run.
//!
//! **Invariants**
//! - Each block of Rust on those pages is in this file, line by line but for the indentation.

#![allow(clippy::unwrap_used, dead_code)] // the programs are tests

use std::path::Path;

mod readme {
    use axum::extract::{Path, State};
    use axum::{Router, http::StatusCode, routing::get};
    use monolite_store::{Config, Error, Kind, Migration, Migrations, Store};

    const NOTES: &str = "CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT";
    type Answer<T> = Result<T, (StatusCode, String)>;

    fn app(file: &str) -> Result<Router, Error> {
        let migrations = Migrations::new([Migration::Quick { name: "0001_notes", sql: NOTES }]);
        let db = Store::open(file, Config::default(), migrations)?;
        Ok(Router::new().route("/notes/{name}", get(show).put(put)).with_state(db))
    }
    async fn show(State(db): State<Store>, Path(name): Path<String>) -> Answer<String> {
        let text = "SELECT text FROM notes WHERE name = ?";
        db.read(move |s| s.query_row(text, [&name], |row| row.get(0))).await.map_err(explain)
    }
    async fn put(State(db): State<Store>, Path(name): Path<String>, text: String) -> Answer<()> {
        let upsert = "INSERT INTO notes VALUES (?1, ?2) ON CONFLICT DO UPDATE SET text = ?2";
        db.write(move |tx| tx.execute(upsert, (&name, &text)).map(drop)).await.map_err(explain)
    }
    fn explain(e: Error) -> (StatusCode, String) {
        let missing = e.kind() == Kind::NoRows;
        (if missing { StatusCode::NOT_FOUND } else { StatusCode::SERVICE_UNAVAILABLE }, e.to_string())
    }
    #[tokio::main]
    async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
        Ok(axum::serve(listener, app("data/notes.db")?).await?)
    }

    async fn ask(to: std::net::SocketAddr, method: &str, body: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = tokio::net::TcpStream::connect(to).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} /notes/milk HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_readmes_program_reads_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path().join("data/notes.db").to_str().unwrap()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        assert!(ask(at, "GET", "").await.starts_with("HTTP/1.1 404"));
        for text in ["two litres", "three litres"] {
            assert!(ask(at, "PUT", text).await.starts_with("HTTP/1.1 200"));
            assert!(ask(at, "GET", "").await.ends_with(text));
        }
    }
}

mod open {
    #[test]
    fn a_store_opens() -> Result<(), monolite_store::Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data/shop.db");

        use monolite_store::{Config, Migration, Migrations, Store};

        const ITEMS: &str = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
            stock INTEGER NOT NULL CHECK (stock >= 0)) STRICT";
        let migrations = Migrations::new([Migration::Quick { name: "0001_items", sql: ITEMS }]);
        let store = Store::open(file, Config { queue_max: 1024, ..Config::default() }, migrations)?;
        for warning in store.status().warnings {
            eprintln!("{warning}"); // compile options that this build of SQLite lacks, and what that costs
        }

        store.close()
    }
}

mod use_it {
    use monolite_store::*;

    fn shop(folder: &tempfile::TempDir) -> Store {
        let sql = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
                stock INTEGER NOT NULL CHECK (stock >= 0)) STRICT;
            CREATE TABLE files (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
            CREATE TABLE pieces (at INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
            INSERT INTO files VALUES ('plan', zeroblob(100000));";
        let steps = vec![Migration::Quick { name: "0001", sql }, Migration::Stepwise(&LOWER_NAMES)];
        Store::open(folder.path().join("shop.db"), Config::default(), Migrations::new(steps)).unwrap()
    }

    #[test]
    fn what_is_written_is_read() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let store = shop(&folder);

        let id: i64 = store.write_blocking(|tx| {
            let insert = "INSERT INTO items (name, stock) VALUES (?, ?) RETURNING id";
            tx.query_row(insert, ("flour", 3), |row| row.get(0))
        })?;

        let sold = store.write_blocking(move |tx| tx.execute("UPDATE items SET stock = stock - 5 WHERE id = ?", [id]));
        let error = sold.unwrap_err();
        assert_eq!((error.kind(), error.constraint()), (Kind::Constraint, Some(Constraint::Check)));

        let restock = move |tx: &Tx<'_>| tx.execute("UPDATE items SET stock = 9 WHERE id = ?", [id]);
        let written = store.write_blocking_with(Ticket::label("restock"), restock)?;
        assert_eq!(written.sequence, store.sequence()); // the commit that holds it

        let names: Vec<String> = store.read_blocking(|s| {
            let mut statement = s.prepare("SELECT name FROM items WHERE stock > ? ORDER BY name")?;
            let rows = statement.query_map([0], |row| row.get(0))?;
            Ok::<_, Error>(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        assert_eq!(names, ["flour"]);

        let bytes: Vec<u8> = store.read_blocking(|s| {
            let length =
                s.query_row("SELECT octet_length(bytes) FROM files WHERE name = 'plan'", [], |row| row.get(0))?;
            s.gate(length)?;
            s.query_row("SELECT bytes FROM files WHERE name = 'plan'", [], |row| row.get(0))
        })?;

        assert_eq!(bytes.len(), 100_000);
        Ok(())
    }

    #[test]
    fn a_large_value_is_written_and_read_in_pieces() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let store = shop(&folder);

        const PIECES: Pieces = Pieces::table("pieces");

        let mut length = 0;
        for part in [&b"a film, "[..], b"piece by piece"] {
            let part = part.to_vec();
            length = store.write_blocking(move |tx| PIECES.append(tx, 1, length, &part))?; // at most Pieces::room(length) bytes
        }
        let end = store.read_blocking(|s| PIECES.read(s, 1, 8, 1000))?; // to the end of the piece at most
        while store.write_blocking(|tx| PIECES.remove(tx, 1))? {}

        assert_eq!((length, &end[..]), (22, &b"piece by piece"[..]));
        Ok(())
    }

    static LOWER_NAMES: Stepwise = Stepwise { name: "0002_lower_names", step: lower_names };

    fn lower_names(tx: &Tx<'_>, at: &mut Cursor) -> Result<Progress, Error> {
        let batch = "UPDATE items SET name = lower(name) WHERE id > ?1 AND id <= ?1 + 1000";
        tx.execute(batch, [at.0])?;
        at.0 += 1000;
        let more: bool = tx.query_row("SELECT EXISTS (SELECT 1 FROM items WHERE id > ?)", [at.0], |row| row.get(0))?;
        Ok(if more { Progress::More } else { Progress::Done })
    }
}

/// Lines with text, without their indentation.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn each_block_of_the_pages_is_in_this_file() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = lines(include_str!("guide.rs"));
    let mut blocks = 0;
    for page in ["README.md", "../../docs/guide/store.md"] {
        let text = std::fs::read_to_string(here.join(page)).unwrap();
        for block in text.split("```rust").skip(1).filter_map(|rest| rest.split_once('\n')?.1.split("```").next()) {
            let block = lines(block);
            let found = run.windows(block.len()).any(|window| window == block);
            assert!(found, "{page}: this block is not what runs here:\n{}", block.join("\n"));
            blocks += 1;
        }
    }
    assert!(blocks >= 6, "only {blocks} blocks were found");
}
