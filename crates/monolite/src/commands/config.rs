//! `config print`: what holds, and where it came from.

use crate::context::Context;
use crate::verb::{Result, Verb};
use serde_json::json;

/// Show the configuration
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigVerb {
    #[command(subcommand)]
    verb: ConfigSub,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigSub {
    /// Print each key with its value and where the value came from
    ///
    /// monolite.toml < environment MONOLITE__SECTION__KEY < flags.
    Print,
}

impl Verb for ConfigVerb {
    const NAME: &'static str = "config";

    fn run(self, context: &Context) -> Result {
        let ConfigSub::Print = self.verb;
        let out = context.output();
        if out.is_json() {
            return context.config().entries().try_for_each(|e| {
                let (value, origin) = (e.value.to_string(), e.origin.to_string());
                out.json(&json!({ "key": e.key.name, "value": value, "origin": origin, "about": e.key.about }))
            });
        }
        let rows = context
            .config()
            .entries()
            .map(|e| [e.key.name.to_owned(), e.value.to_string(), e.origin.to_string(), e.key.about.to_owned()]);
        out.table(&["key", "value", "from", "what it is"], rows)
    }
}
