//! The program under the axe: one service of numbers, and a verb that adds some. It notes each step that it takes on its data folder.
//!
//! This executable with [`PROGRAM`] in its environment is that program, command line and all; the variable's value is the file that
//! its steps are appended to, or nothing.

use crate::steps::{self, Log};
use monolite::{App, Context, Migrations, Outcome, Service, Tx, Verb, message};
use monolite_store::Migration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The environment variable that makes this executable the program.
pub const PROGRAM: &str = "MONOLITE_FAULTS_REWIND";
/// The service, its folder and its file.
pub(super) const SERVICE: &str = "Notes";
pub(super) const NUMBERS: &str = "SELECT number FROM n";

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Note {
    number: i64,
}
message!(Note => ());

/// Adds numbers, each by a commit of its own
#[derive(Debug, clap::Args)]
struct Put {
    /// The first
    from: i64,
    /// The last
    to: i64,
}

impl Verb for Put {
    const NAME: &'static str = "put";

    fn run(self, context: &Context) -> monolite::Result {
        let link = context.link_or_begin()?;
        (self.from..=self.to).try_for_each(|number| link.call(Note { number }))
    }
}

/// Runs it.
pub fn run() -> ExitCode {
    let heard = std::env::var_os(PROGRAM).filter(|file| !file.is_empty()).map(PathBuf::from);
    let data = std::env::args_os().skip_while(|argument| argument != "--data").nth(1).map(PathBuf::from);
    let log = heard.zip(data).map(|(file, data)| (file, Log::looking(&data, files())));
    let code = App::new("monolite-faults-rewind").service(service()).command::<Put>().run();
    let Some((file, (log, hearing))) = log else { return code };
    drop(hearing);
    let ops: Vec<_> = log.entries().into_iter().map(|entry| entry.op).collect();
    match steps::append(&file, &ops) {
        Ok(()) => code,
        Err(e) => {
            eprintln!("the steps could not be noted: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn service() -> Service {
    let table = "CREATE TABLE n(number INTEGER PRIMARY KEY) STRICT;";
    let migrations = Migrations::new(vec![Migration::Quick { name: "n", sql: table }]);
    Service::new(SERVICE, migrations).write(|tx: &Tx<'_>, m: Note| -> Outcome<Note> {
        tx.run("INSERT INTO n VALUES (?)", [m.number])?;
        Ok(())
    })
}

/// Where SQLite writes: the file that serves and the one that is prepared.
fn files() -> Vec<PathBuf> {
    let folders = [PathBuf::from(SERVICE), Path::new("rewind").join(SERVICE).join("next").join(SERVICE)];
    let of = |folder: &PathBuf| ["", "-wal"].map(|suffix| folder.join(format!("{SERVICE}.db{suffix}")));
    folders.iter().flat_map(of).collect()
}
