//! `backup`: copies, and what is in the archive.

mod copy;
mod export;
mod import;
mod list;
mod running;
mod verify;

use crate::context::Context;
use crate::verb::{Result, Verb};
#[cfg(feature = "seal")]
use std::path::Path;
use std::path::PathBuf;

/// Copy the data, and look into the archive
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    #[command(subcommand)]
    verb: BackupVerb,
}

#[derive(Debug, clap::Subcommand)]
enum BackupVerb {
    /// Copy all files into an empty folder and verify the copies; the server may run
    ///
    /// The copy is a data folder: `serve --data DIR` runs on it. All files are copied as of one moment.
    Copy {
        /// The folder; it must be empty or not be there
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Pack all files of one moment into one file, FILE.tar.zst; the server may run
    ///
    /// Without --to and --from: of now, from the files. Else of a cut in the archive. Needs room beside it for a copy of all files.
    Export {
        /// The file; it must not be there
        #[arg(value_name = "FILE.tar.zst")]
        file: PathBuf,
        /// From the archive: latest, a moment such as 2026-11-23T14:05:00Z, or a cut by its name
        #[arg(long, value_name = "MOMENT")]
        to: Option<String>,
        /// The archive's folder, instead of the configured one
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Make a data folder of an exported file: everything is compared and checked before the folder has its name
    Import {
        /// The file
        #[arg(value_name = "FILE.tar.zst")]
        file: PathBuf,
        /// The folder; it must be empty or not be there
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
    },
    /// Show how the archive of the running server does
    Status,
    /// Wait until all that was committed is in the archive
    Now {
        /// At most so many seconds
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        most: u64,
    },
    /// Make a new base of a service's archive beside its work: from then on restores do not need what is older
    Base {
        /// The service
        service: String,
    },
    /// Record a cut by name: all files at this moment, to which `restore --all --to NAME` goes
    Mark {
        /// The name: a letter, then letters, digits, '-', '_' and '.'
        name: String,
    },
    /// Make a key to seal the archive with, in a new file that only you may read: for archive.key_file
    ///
    /// Keep a copy elsewhere: who loses it has no archive.
    #[cfg(feature = "seal")]
    NewKey {
        /// The file; it must not be there
        file: PathBuf,
    },
    /// List what the archive holds: each service's histories, and the cuts
    List {
        /// One service only
        service: Option<String>,
        /// The archive: a folder or s3://BUCKET/PREFIX, instead of the configured one
        #[arg(long, value_name = "PLACE")]
        from: Option<PathBuf>,
    },
    /// Read all that the archive holds and check it: every checksum, no gaps, and that it leads to its newest commit
    ///
    /// With --restore each newest state is restored besides and checked by SQLite. The exit code is 1 where something is wrong.
    Verify {
        /// One service only
        service: Option<String>,
        /// The archive: a folder or s3://BUCKET/PREFIX, instead of the configured one
        #[arg(long, value_name = "PLACE")]
        from: Option<PathBuf>,
        /// A folder with room for the largest file: each is restored there, checked and removed
        #[arg(long, value_name = "DIR")]
        restore: Option<PathBuf>,
    },
}

impl Verb for Backup {
    const NAME: &'static str = "backup";

    fn run(self, context: &Context) -> Result {
        match self.verb {
            BackupVerb::Copy { folder } => copy::run(context, &folder),
            BackupVerb::Export { file, to, from } => export::Export { file, to, from }.run(context),
            BackupVerb::Import { file, into } => import::run(context, &file, &into),
            BackupVerb::Status => running::status(context),
            BackupVerb::Now { most } => running::now(context, most),
            BackupVerb::Base { service } => running::base(context, service),
            BackupVerb::Mark { name } => running::mark(context, name),
            #[cfg(feature = "seal")]
            BackupVerb::NewKey { file } => new_key(context, &file),
            BackupVerb::List { service, from } => list::run(context, service.as_deref(), from),
            BackupVerb::Verify { service, from, restore } => verify::run(context, service.as_deref(), from, restore),
        }
    }
}

#[cfg(feature = "seal")]
fn new_key(context: &Context, file: &Path) -> Result {
    let key = monolite_archive::place::Key::create(file)?;
    context.note(format!(
        "key {} is in {}; keep a copy elsewhere: without it nobody reads what it seals. Set archive.key_file to the file, and \
         archive.to to a place that is empty",
        key.id(),
        file.display()
    ));
    Ok(())
}
