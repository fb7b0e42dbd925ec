//! What a verb works with: the configuration, the output, and ways to the data.

use crate::app::{MakeAuthenticator, MakeService};
use crate::archive::{Keeping, Unfinished, Where};
use crate::config::{Config, Key};
use crate::control::Client;
use crate::link::Link;
use crate::output::Output;
use crate::verb::Usage;
use monolite_http::Page;
use monolite_runtime::{Assembly, BackgroundMode, Host, OnDamage};
use monolite_service::{Authenticator, Service};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Flags that every verb takes. Their ids are theirs alone: a verb of a program may have a field `data`.
#[derive(Debug, clap::Args)]
pub(crate) struct Globals {
    /// The data folder [default: ./data]
    #[arg(id = "monolite.data", long = "data", global = true, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// A configuration file instead of ./monolite.toml
    #[arg(id = "monolite.config", long = "config", global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set a configuration key: section.key=value
    #[arg(id = "monolite.set", long = "set", global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print JSON, one value a line
    #[arg(id = "monolite.json", long = "json", global = true)]
    pub(crate) json: bool,
    /// Print no notes and no progress
    #[arg(id = "monolite.quiet", long = "quiet", short = 'q', global = true)]
    pub(crate) quiet: bool,
}

/// An app before its configuration is known.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) about: &'static str,
    pub(crate) services: Vec<MakeService>,
    pub(crate) authenticator: Option<MakeAuthenticator>,
    pub(crate) routes: axum::Router<Host>,
    pub(crate) pages: Vec<Page>,
    pub(crate) keys: Vec<Key>,
    pub(crate) first_steps: Vec<String>,
}

/// What a verb works with.
pub struct Context {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) routes: axum::Router<Host>,
    pub(crate) pages: Vec<Page>,
    pub(crate) first_steps: Vec<String>,
    services: Vec<Service>,
    authenticator: Option<Arc<dyn Authenticator>>,
    config: Config,
    output: Output,
    quiet: bool,
    link: OnceCell<Link>,
}

impl Context {
    pub(crate) fn new(plan: Plan, config: Config, output: Output, quiet: bool) -> Self {
        Context {
            name: plan.name,
            version: plan.version,
            services: plan.services.into_iter().map(|make| make(&config)).collect(),
            authenticator: plan.authenticator.map(|make| make(&config)),
            routes: plan.routes,
            pages: plan.pages,
            first_steps: plan.first_steps,
            config,
            output,
            quiet,
            link: OnceCell::new(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where data goes.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Whether notes and progress are unwanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        Path::new(self.config.text("server.data"))
    }

    /// The services, described.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Prints a line to stderr, unless notes are unwanted.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            crate::output::note(text);
        }
    }

    /// The way to the services: through the server that runs on the data folder, else by opening the folder here.
    ///
    /// # Errors
    /// Where the folder is not there, beside all that opening can find: a mistyped one is not made.
    pub fn link(&self) -> crate::Result<&Link> {
        if self.link.get().is_none() && !self.data().exists() {
            let text = format!("there is no data folder {}; choose another with --data", self.data().display());
            return Err(Usage(text).into());
        }
        self.link_or_begin()
    }

    /// The same for a verb that makes a beginning: the folder is made where it is not there.
    ///
    /// # Errors
    /// All that opening can find.
    pub fn link_or_begin(&self) -> crate::Result<&Link> {
        if let Some(link) = self.link.get() {
            return Ok(link);
        }
        let link = match self.client()? {
            Some(client) => Link::running(client, self.services.clone()),
            None => {
                let (host, keeping) = self.open()?;
                Link::stopped(host, keeping)
            }
        };
        Ok(self.link.get_or_init(|| link))
    }

    /// The way to the server that runs on the data folder; none where none does.
    pub(crate) fn client(&self) -> crate::Result<Option<Client>> {
        self.client_of(self.data())
    }

    /// The same, for any folder.
    pub(crate) fn client_of(&self, data: &Path) -> crate::Result<Option<Client>> {
        Client::connect(data).map_err(|e| {
            let what = match e.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    format!("the data folder {} belongs to another user, who has to run this", data.display())
                }
                _ => format!("cannot reach the server that runs on {}", data.display()),
            };
            anyhow::Error::new(e).context(what)
        })
    }

    /// The services with what they run with, at a folder.
    pub(crate) fn assembly(&self, folder: &Path) -> Assembly {
        self.assembled(folder, false)
    }

    /// The same at the data folder, for an archive that follows.
    pub(crate) fn followed(&self) -> Assembly {
        self.assembled(self.data(), Where::of(&self.config, self.data()) != Where::Nowhere)
    }

    fn assembled(&self, folder: &Path, followed: bool) -> Assembly {
        let mut assembly = Assembly::new(folder).services(self.services.iter().cloned());
        if let Some(authenticator) = &self.authenticator {
            assembly = assembly.authenticate(authenticator.clone());
        }
        let config = self.config.clone();
        assembly
            .deadline(config.time("store.deadline"))
            .configure(move |_, store| monolite_store::Config { followed, ..crate::store_keys::store(&config, store) })
    }

    /// Opens the data folder here, and keeps its history while it is open.
    fn open(&self) -> crate::Result<(Host, Option<Keeping>)> {
        self.open_as(OnDamage::Refuse)
    }

    /// The same; damaged files are in quarantine, where that is wanted.
    pub(crate) fn open_as(&self, on_damage: OnDamage) -> crate::Result<(Host, Option<Keeping>)> {
        Unfinished::refuse(self.data())?;
        for told in crate::rewind::settle(self.data())? {
            self.note(told);
        }
        let host = self.followed().background(BackgroundMode::Off).on_damage(on_damage).open()?;
        let keeping = Keeping::begin(&self.config, self.data(), &host)?;
        Ok((host, keeping))
    }
}
