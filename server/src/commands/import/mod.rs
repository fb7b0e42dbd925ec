//! `import documents`: JSON from a file or a pipe into Documents, streamed.
//!
//! A reader thread splits the input and picks keys and titles; this thread deals the documents out to a few workers;
//! each sends batches, one call at a time. A document of a key goes to the same worker as the last of that key, so
//! the latest in the input wins.
//!
//! **Invariants**
//! - Memory: a queue of documents that is bounded in number and in bytes, and one batch a worker; never the input.
//! - When it ends, in whatever way but a kill, every document read is there whole or named as refused: on Ctrl-C
//!   reading stops and what was read is sent, so `--from N` goes on without gap or overlap.

mod batch;
mod interrupt;
mod outline;
mod pick;
mod reading;
mod report;
mod room;
mod source;
mod split;

use batch::Workers;
use interrupt::{EXPLAINED_WITHIN, Explained};
use monolite::{Context, Found, Progress, Result, Verb};
use monolite_users::UserByEmail;
use pick::Path;
use reading::{Event, Reading};
use report::Report;
use room::Room;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// Events between the reader and the dealer.
const EVENTS_MAX: usize = 256;
/// Bytes of documents between them; one that is larger waits alone.
const EVENT_BYTES_MAX: usize = 32 << 20;

/// Import data
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    verb: ImportVerb,
}

#[derive(Debug, clap::Subcommand)]
enum ImportVerb {
    /// Import JSON documents from a file or stdin: one value, an array, or a value a line
    ///
    /// A document that is broken or refused is named by number, line and byte; the others go in. The exit code is 1
    /// then. Ctrl-C ends the import behind a whole document and says how to go on.
    Documents(Documents),
}

#[derive(Debug, clap::Args)]
struct Documents {
    /// The file; - is stdin
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Where the documents are, such as .packages; an array gives its elements
    #[arg(long, value_name = "PATH")]
    split: Option<Path>,
    /// Where a document has its key; importing a key again replaces its document
    #[arg(long, value_name = "PATH")]
    id: Option<Path>,
    /// Where a document has its title [default: .title, else .name]
    #[arg(long, value_name = "PATH")]
    title: Option<Path>,
    /// Whose documents they become
    #[arg(long, value_name = "EMAIL")]
    owner: String,
    /// Begin with the document of this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: u64,
}

impl Verb for Import {
    const NAME: &'static str = "import";

    fn run(self, context: &Context) -> Result {
        let ImportVerb::Documents(wanted) = self.verb;
        let (input, length) = open(&wanted.file)?;
        let link = context.link()?;
        let owner = link.call(UserByEmail { email: wanted.owner.clone() })?.id;
        let bar = (!context.is_quiet()).then(|| Progress::bytes(length));
        let mut report = Report::new(context, bar);
        let (events, arriving) = sync_channel(EVENTS_MAX);
        interrupt::watch(events.clone())?;
        let room = Arc::new(Room::new(EVENT_BYTES_MAX));
        let bytes_max = usize::try_from(context.config().bytes("documents.bytes_max"))?;
        Reading::new(input, wanted.split, wanted.id, wanted.title, bytes_max, wanted.from)
            .begin(events, room.clone())?;
        std::thread::scope(|scope| {
            let mut workers = Workers::begin(scope, link, owner);
            for event in Explained::new(&arriving, EXPLAINED_WITHIN) {
                match event {
                    Event::Document(document, offset) => {
                        report.read(document.number, offset);
                        let bytes = document.body.as_str().len();
                        workers.deal(*document);
                        room.give(bytes);
                    }
                    Event::Bad(bad) => report.bad(&bad),
                    Event::Stopped(stopped) => {
                        report.stopped(&stopped);
                        break;
                    }
                    Event::Interrupted => {
                        report.interrupted();
                        break;
                    }
                    Event::End => break,
                }
                workers.collect(&mut report);
                if report.has_failed() {
                    break;
                }
            }
            workers.finish(&mut report);
        });
        if report.finish(&wanted.file, wanted.from)? { Ok(()) } else { Err(Found.into()) }
    }
}

fn open(file: &std::path::Path) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
    if file.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let open = File::open(file).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", file.display()))?;
    let length = open.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
    Ok((Box::new(open), length))
}
