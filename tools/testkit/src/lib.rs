//! A service's test: real files, a stopped clock, seeded ids, users by name.
//!
//! ```
//! # use monolite_service::*;
//! # use serde::{Serialize, Deserialize};
//! # use schemars::JsonSchema;
//! # #[derive(Clone, Serialize, Deserialize, JsonSchema)] struct AddNote { title: String }
//! # message!(AddNote => Uuid);
//! # #[derive(Clone, Serialize, Deserialize, JsonSchema)] struct Notes {}
//! # message!(Notes => Vec<String>);
//! # const SCHEMA: &[monolite_store::Migration] = &[monolite_store::Migration::Quick { name: "1", sql:
//! #   "CREATE TABLE notes(id BLOB PRIMARY KEY, owner BLOB NOT NULL, title TEXT NOT NULL) STRICT" }];
//! # fn service() -> Service {
//! #   Service::new("Notes", Migrations::new(SCHEMA))
//! #     .write(|tx: &Tx, m: AddNote| {
//! #         Ok(tx.insert("INSERT INTO notes VALUES (?, ?, ?) RETURNING id", params![tx.id(), tx.user()?, m.title])?)
//! #     })
//! #     .read(|s: &Snapshot, _: &Notes| Ok(s.all("SELECT title FROM notes WHERE owner = ?", [s.user()?])?)).at(GET, "/notes", SignedIn)
//! # }
//! let app = monolite_testkit::app([service()]);
//! let ann = app.user("ann");
//! ann.call(AddNote { title: "tea".into() })?;
//! app.advance(hours(1));
//! app.kill_and_restart();
//! assert_eq!(ann.call(Notes {})?, ["tea"]);
//! assert_eq!(ann.http().get("/notes").json::<Vec<String>>(), ["tea"]);
//! assert!(app.user("bob").call(Notes {})?.is_empty());
//! # Ok::<(), Error>(())
//! ```
//!
//! **Invariants**
//! - Nothing sleeps: time moves when the test says so. Deadlines and budgets stay on the monotonic clock.
//! - Ids and users are the same in each run.
//!
//! Never in a program: the kit signs in whoever it is asked to.

mod app;
mod authenticator;
mod clock;
mod http;
mod user;

pub use app::{App, app};
pub use clock::StoppedClock;
pub use http::{Http, Response};
pub use user::User;
