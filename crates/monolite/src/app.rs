//! The program: services, how callers are known, own routes, verbs and configuration, put together.
//!
//! **Invariants**
//! - Building an app touches no file, thread or socket; `run` does.

use crate::config::{Config, Key, Value};
use crate::context::Plan;
use crate::run;
use crate::table::Entry;
use crate::verb::Verb;
use monolite_http::Page;
use monolite_runtime::Host;
use monolite_service::{Authenticator, Service};
use std::process::ExitCode;
use std::sync::Arc;

pub(crate) type MakeService = Box<dyn FnOnce(&Config) -> Service>;
pub(crate) type MakeAuthenticator = Box<dyn FnOnce(&Config) -> Arc<dyn Authenticator>>;

/// A program made of services.
///
/// ```no_run
/// use monolite::{App, Service, migrations};
///
/// fn main() -> std::process::ExitCode {
///     App::new("shop").service(Service::new("Orders", migrations![])).run()
/// }
/// ```
pub struct App {
    plan: Plan,
    verbs: Vec<Entry>,
}

impl App {
    /// A program without services; the name is what is typed to start it.
    pub fn new(name: &'static str) -> Self {
        let plan = Plan {
            name,
            version: crate::VERSION,
            about: "Services in one program, each with a SQLite file of its own",
            services: Vec::new(),
            authenticator: None,
            routes: axum::Router::new(),
            pages: Vec::new(),
            keys: Vec::new(),
            first_steps: Vec::new(),
        };
        App { plan, verbs: Vec::new() }
    }

    /// The program's own version, where it is not Monolite's.
    pub fn version(mut self, version: &'static str) -> Self {
        self.plan.version = version;
        self
    }

    /// What the program is, in one line, for its help.
    pub fn about(mut self, about: &'static str) -> Self {
        self.plan.about = about;
        self
    }

    /// With a service.
    pub fn service(self, service: Service) -> Self {
        self.service_with(|_| service)
    }

    /// With a service that depends on the configuration.
    pub fn service_with(mut self, make: impl FnOnce(&Config) -> Service + 'static) -> Self {
        self.plan.services.push(Box::new(make));
        self
    }

    /// With a way to know who is calling; without one everybody is anonymous.
    pub fn authenticate(self, authenticator: impl Authenticator) -> Self {
        self.authenticate_with(|_| Arc::new(authenticator))
    }

    /// With a way to know who is calling that depends on the configuration.
    pub fn authenticate_with(mut self, make: impl FnOnce(&Config) -> Arc<dyn Authenticator> + 'static) -> Self {
        self.plan.authenticator = Some(Box::new(make));
        self
    }

    /// With routes of an ordinary axum router, beside the services' own; its state is the host.
    pub fn routes(mut self, routes: axum::Router<Host>) -> Self {
        self.plan.routes = self.plan.routes.merge(routes);
        self
    }

    /// With a static page kept in the executable.
    pub fn page(mut self, page: Page) -> Self {
        self.plan.pages.push(page);
        self
    }

    /// With a verb of the command line; one of the same name as a standard verb takes its place.
    pub fn command<V: Verb>(mut self) -> Self {
        self.verbs.push(Entry::of::<V>());
        self
    }

    /// With a configuration key of its own, `section.key`.
    pub fn config(mut self, name: &'static str, default: impl Into<Value>, about: &'static str) -> Self {
        self.plan.keys.push(Key::new(name, default, about));
        self
    }

    /// The same, for which 0 is a mistake: a bound that lets nothing in.
    pub fn bound(mut self, name: &'static str, default: impl Into<Value>, about: &'static str) -> Self {
        self.plan.keys.push(Key::new(name, default, about).never_zero());
        self
    }

    /// With a configuration key of its own, for which more than `most` is a mistake.
    ///
    /// # Panics
    /// Where `most` is not of the default's kind, or below it: a mistake in the program.
    pub fn config_to(
        mut self,
        name: &'static str,
        default: impl Into<Value>,
        most: impl Into<Value>,
        about: &'static str,
    ) -> Self {
        self.plan.keys.push(Key::new(name, default, about).at_most(most));
        self
    }

    /// With another default for a known configuration key.
    pub fn default_of(mut self, name: &'static str, default: impl Into<Value>) -> Self {
        // The latest word of one name wins; see `standard_keys::with`.
        self.plan.keys.push(Key { name, default: default.into(), about: "", never_zero: false, most: None });
        self
    }

    /// With a line that `serve` prints at start: what to do first.
    pub fn first_step(mut self, line: impl Into<String>) -> Self {
        self.plan.first_steps.push(line.into());
        self
    }

    /// Reads the command line and does what it says; blocks until done.
    ///
    /// The exit code is 0 when it is done, 1 when it failed, 2 when it was asked for wrongly.
    pub fn run(self) -> ExitCode {
        run::run(self, std::env::args_os())
    }

    pub(crate) fn parts(self) -> (Plan, Vec<Entry>) {
        (self.plan, self.verbs)
    }
}
