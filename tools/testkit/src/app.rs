//! The app under test: services on real files in a temporary folder.

use crate::authenticator::TestAuthenticator;
use crate::clock::StoppedClock;
use crate::http::Http;
use crate::user::User;
use monolite_runtime::{Assembly, BackgroundMode, Host};
use monolite_service::{Authenticator, Caller, Clock, Message, Millis, Outcome, Service, TimeOrdered};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tempfile::TempDir;

/// Opens services on a temporary folder.
///
/// # Panics
/// When they do not start; the message says why.
#[track_caller]
pub fn app(services: impl IntoIterator<Item = Service>) -> App {
    let folder = TempDir::with_prefix("monolite-").expect("the system gives a temporary folder");
    let clock = Arc::new(StoppedClock::new());
    let authenticator = Arc::new(TestAuthenticator::default());
    let services: Vec<_> = services.into_iter().collect();
    let registered = services.iter().flat_map(|s| s.statements.iter().map(|sql| (s.name, (*sql).to_owned()))).collect();
    let statements = Arc::new(Statements { registered, others: Mutex::default() });
    let watched = statements.clone();
    let assembly = Assembly::new(folder.path())
        .services(services)
        .watch(Arc::new(move |service, sql| watched.ran(service, sql)))
        .clock(clock.clone())
        .ids(Arc::new(TimeOrdered::seeded(1)))
        .authenticate(authenticator.clone())
        .background(BackgroundMode::ByHand);
    let host = open(&assembly);
    let restubs = Mutex::default();
    App(Arc::new(Shared { host: RwLock::new(Some(host)), assembly, clock, authenticator, restubs, statements, folder }))
}

#[track_caller]
fn open(assembly: &Assembly) -> Host {
    match assembly.clone().open() {
        Ok(host) => host,
        Err(e) => panic!("the app does not start: {e}"),
    }
}

type Restub = Box<dyn Fn(&Host) + Send + Sync>;

/// An app under test. Clones are handles to the same app; its folder goes with the last.
#[derive(Clone)]
pub struct App(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    host: RwLock<Option<Host>>,
    assembly: Assembly,
    clock: Arc<StoppedClock>,
    pub(crate) authenticator: Arc<TestAuthenticator>,
    restubs: Mutex<Vec<Restub>>,
    statements: Arc<Statements>,
    folder: TempDir,
}

/// The statements of services: those registered, and the others that ran.
struct Statements {
    registered: HashSet<(&'static str, String)>,
    others: Mutex<BTreeSet<(&'static str, String)>>,
}

impl Statements {
    fn ran(&self, service: &'static str, sql: &str) {
        let statement = (service, sql.to_owned());
        if !self.registered.contains(&statement) {
            self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(statement);
        }
    }
}

impl App {
    /// The host, until the next restart.
    pub fn host(&self) -> Host {
        let host = self.0.host.read().unwrap_or_else(PoisonError::into_inner);
        host.clone().expect("a host is missing only inside a restart")
    }

    /// The folder of data.
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// A user by name, signed in, with an id that is the same in each run.
    pub fn user(&self, name: &str) -> User {
        User::named(self, name)
    }

    /// Nobody in particular.
    pub fn anonymous(&self) -> User {
        User::of(self, Caller::anonymous(None), None)
    }

    /// The system itself.
    pub fn system(&self) -> User {
        User::of(self, Caller::system(), None)
    }

    /// The app over HTTP, without a bearer.
    pub fn http(&self) -> Http {
        Http::new(self, None)
    }

    /// The statements that ran in this test without being registered by `Service::statements`, with their service: what a
    /// start cannot check. Pages and other texts made from parts are not counted.
    pub fn unregistered_statements(&self) -> Vec<(&'static str, String)> {
        self.0.statements.others.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The time.
    pub fn now(&self) -> Millis {
        self.0.clock.now()
    }

    /// Moves the clock on, then does the background work that is due, each piece once.
    pub fn advance(&self, by: Duration) {
        self.0.clock.advance(by);
        self.host().run_due_background();
    }

    /// Stops as a crash would, queued writes lost, and opens the same files again.
    pub fn kill_and_restart(&self) {
        self.restart_after(|host| {
            host.abandon();
            Ok(())
        });
    }

    /// Stops in order and opens the same files again.
    pub fn restart(&self) {
        self.restart_after(Host::shutdown);
    }

    fn restart_after(&self, stop: impl FnOnce(&Host) -> Result<(), monolite_store::Error>) {
        let mut host = self.0.host.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = host.take() {
            stop(&old).expect("the old host stops");
        }
        let new = host.insert(open(&self.0.assembly));
        for restub in self.0.restubs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            restub(new);
        }
    }

    /// Answers a message in place of the service that would: `app.answer_for(|_, m: Reserve| Ok(()))`.
    pub fn answer_for<M: Message>(&self, answer: impl Fn(&Caller, M) -> Outcome<M> + Send + Sync + 'static) {
        let answer = Arc::new(answer);
        let restub: Restub = Box::new(move |host| {
            let answer = answer.clone();
            host.answer_for(move |caller: &Caller, message: M| answer(caller, message));
        });
        restub(&self.host());
        self.0.restubs.lock().unwrap_or_else(PoisonError::into_inner).push(restub);
    }

    /// With the program's own authenticator, for [`App::use_real_auth`].
    pub fn authenticate(self, real: impl Authenticator) -> Self {
        self.0.authenticator.set_real(Arc::new(real));
        self
    }

    /// From here on only the program's own authenticator says who calls over HTTP; the kit's bearers are refused.
    pub fn use_real_auth(&self) {
        self.0.authenticator.use_real();
    }
}
