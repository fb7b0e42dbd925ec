//! From the arguments to the exit code.
//!
//! **Invariants**
//! - 0: done. 1: it failed. 2: it was asked for wrongly (arguments, configuration, a target that is not empty).
//! - An error is printed once, on stderr, with its causes.

use crate::app::App;
use crate::config::{ConfigError, Sources};
use crate::context::{Context, Globals};
use crate::control::Refused;
use crate::output::{Output, note};
use crate::table;
use crate::verb::{Found, SetByFlag, Usage};
use crate::{explain, logs, standard_keys};
use clap::{Args, Command, FromArgMatches};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs an app with these arguments, the program's own name first.
pub(crate) fn run(app: App, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (mut plan, own) = app.parts();
    let verbs = table::verbs(own);
    let mut command = Command::new(plan.name)
        .version(plan.version)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .infer_subcommands(false);
    let about = plan.about;
    command = Globals::augment_args(command)
        .about(about)
        .long_about(None::<&str>)
        .subcommands(verbs.iter().map(table::Entry::command));
    let matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    let (name, inner) = matches.subcommand().expect("clap asks for a verb");
    let verb = verbs.iter().find(|v| v.name == name).expect("clap knows only the verbs of the table");
    let done = Globals::from_arg_matches(&matches).map_err(anyhow::Error::from).and_then(|globals| {
        let keys = standard_keys::with(std::mem::take(&mut plan.keys));
        let sources = sources(&globals, verb.sets(inner)?)?;
        let config = crate::config::Config::new(keys).load(&sources)?;
        if !globals.quiet {
            config.strays(&sources).iter().for_each(note);
        }
        crate::weights::check(&config)?;
        crate::store_keys::check(&config)?;
        logs::begin(&config)?;
        verb.run(inner, &Context::new(plan, config, Output::new(globals.json), globals.quiet))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(name, &e),
    }
}

fn sources(globals: &Globals, sets: Vec<SetByFlag>) -> Result<Sources, Usage> {
    let mut flags = Vec::new();
    for pair in &globals.set {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Usage(format!("--set takes section.key=value, not {pair:?}")));
        };
        flags.push((key.to_owned(), value.to_owned(), format!("--set {key}")));
    }
    let data = globals.data.clone().map(|value| SetByFlag { key: "server.data", flag: "--data", value });
    for set in data.into_iter().chain(sets) {
        flags.push((set.key.to_owned(), set.value, set.flag.to_owned()));
    }
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            Err(_) if Sources::reads(&name) => return Err(Usage(format!("environment {name}: it is not UTF-8"))),
            Err(_) => {} // another program's
        }
    }
    Ok(Sources { file: globals.config.clone(), environment, flags })
}

fn failed(verb: &str, error: &anyhow::Error) -> ExitCode {
    if error.is::<Found>() {
        return ExitCode::from(1);
    }
    note(format!("{verb}: {}", explain::told(error)));
    if let Some(hint) = explain::hint(error) {
        note(format!("  {hint}"));
    }
    let refused = error.downcast_ref::<Refused>().is_some_and(Refused::is_usage);
    let asked_wrongly = refused || error.is::<Usage>() || error.is::<ConfigError>() || error.is::<clap::Error>();
    ExitCode::from(if asked_wrongly { 2 } else { 1 })
}
