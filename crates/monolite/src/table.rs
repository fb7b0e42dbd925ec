//! The table of verbs: from a word on the command line to a type.

use crate::commands;
use crate::context::Context;
use crate::verb::{Result, SetByFlag, Verb};
use clap::{ArgMatches, Command};

/// A verb whose type is known only inside.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    command: fn() -> Command,
    sets: fn(&ArgMatches) -> Result<Vec<SetByFlag>>,
    run: fn(&ArgMatches, &Context) -> Result,
}

impl Entry {
    pub(crate) fn of<V: Verb>() -> Self {
        Entry {
            name: V::NAME,
            command: || V::augment_args(Command::new(V::NAME)),
            sets: |matches| Ok(V::from_arg_matches(matches)?.sets()),
            run: |matches, context| V::from_arg_matches(matches)?.run(context),
        }
    }

    pub(crate) fn command(&self) -> Command {
        (self.command)()
    }

    pub(crate) fn sets(&self, matches: &ArgMatches) -> Result<Vec<SetByFlag>> {
        (self.sets)(matches)
    }

    pub(crate) fn run(&self, matches: &ArgMatches, context: &Context) -> Result {
        (self.run)(matches, context)
    }
}

/// The standard verbs, and the program's own, which win.
pub(crate) fn verbs(own: Vec<Entry>) -> Vec<Entry> {
    let mut all = vec![
        Entry::of::<commands::Serve>(),
        Entry::of::<commands::Status>(),
        Entry::of::<commands::Db>(),
        Entry::of::<commands::Check>(),
        Entry::of::<commands::Backup>(),
        Entry::of::<commands::Restore>(),
        Entry::of::<commands::Rewind>(),
        Entry::of::<commands::New>(),
        Entry::of::<commands::OpenApi>(),
        Entry::of::<commands::ConfigVerb>(),
    ];
    all.retain(|standard| own.iter().all(|o| o.name != standard.name));
    all.extend(own);
    all
}
