//! Assembly: services and what they run with, before they run.

use crate::abreast::abreast;
use crate::background::Manual;
use crate::check::check;
use crate::host::{HandlersByType, Host, Inner};
use crate::route::Route;
use crate::start::StartError;
use crate::stats::Stats;
use crate::timer::Timer;
use monolite_service::engine::{Site, Watch};
use monolite_service::{Authenticator, Background, Clock, HandlerSpec, Ids, Service, SystemClock, TimeOrdered};
use monolite_store::rusqlite::{self, ffi};
use monolite_store::{Config, Kind, LARGE_VALUE_MAX, Observer, Store};
use std::collections::HashSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Services and what they run with. [`Assembly::open`] makes a [`Host`] of it.
#[derive(Clone)]
pub struct Assembly {
    folder: PathBuf,
    services: Vec<Service>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    authenticator: Option<Arc<dyn Authenticator>>,
    deadline: Duration,
    background: BackgroundMode,
    on_damage: OnDamage,
    configure: Arc<dyn Fn(&'static str, Config) -> Config + Send + Sync>,
    observe: Option<ObserverFor>,
    watch: Option<Watch>,
}

type ObserverFor = Arc<dyn Fn(&'static str) -> Arc<dyn Observer> + Send + Sync>;

/// Who runs background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackgroundMode {
    /// A thread of the host, by the monotonic clock.
    #[default]
    Thread,
    /// [`Host::run_due_background`], by the injected clock: for tests.
    ByHand,
    /// Nobody, before [`Host::begin_background`]: for commands that only look at the files.
    Off,
}

/// What a damaged file at the start does to the other services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDamage {
    /// Nothing starts: for commands that would work on all.
    #[default]
    Refuse,
    /// The others serve. The damaged service answers everything with its damage, and is not ready. Where every service is
    /// damaged, nothing starts.
    Quarantine,
}

impl Assembly {
    /// An assembly without services, on a folder of data.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Assembly {
            folder: folder.into(),
            services: Vec::new(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(TimeOrdered::new()),
            authenticator: None,
            deadline: Duration::from_secs(10),
            background: BackgroundMode::Thread,
            on_damage: OnDamage::Refuse,
            configure: Arc::new(|_, config| config),
            observe: None,
            watch: None,
        }
    }

    /// With a service.
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// With services.
    pub fn services(mut self, services: impl IntoIterator<Item = Service>) -> Self {
        self.services.extend(services);
        self
    }

    /// With another clock than the machine's.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Assembly { clock, ..self }
    }

    /// With another source of ids than random ones.
    pub fn ids(self, ids: Arc<dyn Ids>) -> Self {
        Assembly { ids, ..self }
    }

    /// With an authenticator.
    pub fn authenticate(self, authenticator: Arc<dyn Authenticator>) -> Self {
        Assembly { authenticator: Some(authenticator), ..self }
    }

    /// With another deadline than 10 s for calls that say nothing.
    pub fn deadline(self, deadline: Duration) -> Self {
        Assembly { deadline, ..self }
    }

    /// With background work run otherwise than by a thread.
    pub fn background(self, background: BackgroundMode) -> Self {
        Assembly { background, ..self }
    }

    /// With damaged files treated otherwise than by refusing to start.
    pub fn on_damage(self, on_damage: OnDamage) -> Self {
        Assembly { on_damage, ..self }
    }

    /// With limits of stores changed, by the service's name: from a configuration file.
    pub fn configure(self, change: impl Fn(&'static str, Config) -> Config + Send + Sync + 'static) -> Self {
        Assembly { configure: Arc::new(change), ..self }
    }

    /// With an observer of each store, by the service's name: for metrics.
    pub fn observe(self, observer: impl Fn(&'static str) -> Arc<dyn Observer> + Send + Sync + 'static) -> Self {
        Assembly { observe: Some(Arc::new(observer)), ..self }
    }

    /// With somebody who sees each constant statement that a service runs: for tests.
    pub fn watch(self, watch: Watch) -> Self {
        Assembly { watch: Some(watch), ..self }
    }

    /// The file of a service below a folder of data.
    pub fn file_of(folder: &Path, service: &str) -> PathBuf {
        folder.join(service).join(format!("{service}.db"))
    }

    /// Checks everything, then opens each service's file and prepares its statements.
    pub fn open(self) -> Result<Host, StartError> {
        check(&self.services)?;
        for service in &self.services {
            bodies_fit(service, &(self.configure)(service.name, service.config.clone()))?;
        }
        let timer = Timer::start()
            .map_err(|source| StartError::Io { what: "cannot start the timer's thread".into(), source })?;
        let services = self.open_stores()?;
        let (mut handlers, mut routes, mut stats) = (HandlersByType::default(), Vec::new(), Vec::new());
        for (service, (_, store)) in self.services.iter().zip(&services) {
            let counts: Vec<Arc<Stats>> = service.handlers.iter().map(|spec| stats_of(service.name, spec)).collect();
            self.bind(service, store, &counts, &mut handlers);
            let routes_of = |spec: &HandlerSpec| routes_of(service.name, full_name(service.name, spec.message), spec);
            routes.extend(service.handlers.iter().flat_map(routes_of));
            stats.extend(counts);
        }
        let work: Vec<Background> = self.services.iter().flat_map(|s| s.background.iter().cloned()).collect();
        let gauges = self.services.iter().flat_map(|s| s.gauges.iter().map(|gauge| (s.name, gauge.clone()))).collect();
        let by_hand = if self.background == BackgroundMode::ByHand { work } else { Vec::new() };
        let background = self.background;
        let host = Host::new(Arc::new(Inner {
            names: self.services.iter().map(|service| service.name).collect(),
            stores: RwLock::new(services),
            handlers,
            routes,
            stats,
            manual: Manual::new(by_hand, self.clock.now()),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            deadline: self.deadline,
            authenticator: self.authenticator.clone(),
            timer,
            runner: Mutex::new(None),
            gauges,
            changed: false.into(),
            stubs: RwLock::default(),
            moved: RwLock::default(),
            replacing: Mutex::default(),
            assembly: self,
        }));
        if background == BackgroundMode::Thread {
            host.begin_background()?;
        }
        Ok(host)
    }

    fn open_stores(&self) -> Result<Vec<(&'static str, Store)>, StartError> {
        let opened = abreast(&self.services, |service| self.open_store(service));
        let may_go_on = self.on_damage == OnDamage::Quarantine && opened.iter().any(Result::is_ok);
        let services = self.services.iter().zip(opened);
        let stores = services.map(|(service, opened)| match opened {
            Err(error) if may_go_on => self.quarantine(service, error).map(|store| (service.name, store)),
            opened => opened.map(|store| (service.name, store)),
        });
        stores.collect()
    }

    /// A store in place of the one whose file is damaged; any other error stays one.
    fn quarantine(&self, service: &Service, error: StartError) -> Result<Store, StartError> {
        match &error {
            StartError::Store { source, .. } | StartError::Statement { source, .. } if is_damage(source) => {
                let config = Config { name: service.name.to_owned(), ..service.config.clone() };
                Ok(Store::quarantined(Self::file_of(&self.folder, service.name), config, source))
            }
            _ => Err(error),
        }
    }

    fn open_store(&self, service: &Service) -> Result<Store, StartError> {
        let path = Self::file_of(&self.folder, service.name);
        let folder = path.parent().unwrap_or(&self.folder);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| StartError::Io {
            what: format!("cannot make the folder {}", folder.display()),
            source,
        })?;
        let mut config = (self.configure)(service.name, service.config.clone());
        config.name = service.name.to_owned();
        if let Some(observe) = &self.observe {
            config.observer = Some(observe(service.name));
        }
        let store = Store::open(&path, config, service.migrations.clone()).map_err(|source| StartError::Store {
            service: service.name,
            path,
            source,
        })?;
        for sql in &service.statements {
            store.prepare(sql).map_err(|source| StartError::Statement { service: service.name, sql, source })?;
        }
        Ok(store)
    }

    /// What it was made of.
    pub(crate) fn described(&self) -> &[Service] {
        &self.services
    }

    /// Opens one service's file again.
    pub(crate) fn reopen(&self, service: &str) -> Result<Store, StartError> {
        let known = self.services.iter().find(|known| known.name == service);
        self.open_store(known.ok_or_else(|| StartError::Unknown { service: service.to_owned() })?)
    }

    /// Binds a service's handlers to its store.
    pub(crate) fn bind(&self, service: &Service, store: &Store, counts: &[Arc<Stats>], to: &mut HandlersByType) {
        for (spec, counts) in service.handlers.iter().zip(counts) {
            let label = full_name(service.name, spec.message);
            let site = self.site(service.name, label, store, spec, counts.clone());
            to.insert(spec.registration.message_type(), spec.registration.bind(site));
        }
    }

    fn site(
        &self,
        service: &'static str,
        label: &'static str,
        store: &Store,
        spec: &HandlerSpec,
        meter: Arc<Stats>,
    ) -> Site {
        Site {
            service,
            label,
            store: Some(store.clone()),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            meter,
            deadline: spec.deadline,
            slow: spec.slow,
            watch: self.watch.clone(),
        }
    }
}

/// A damaged file, or a disk that cannot read it; not a folder without rights or room, nor a process without descriptors.
fn is_damage(error: &monolite_store::Error) -> bool {
    let is_disk = |code: i32| code & 0xFF == ffi::SQLITE_IOERR && code != ffi::SQLITE_IOERR_NOMEM;
    match error.sqlite() {
        Some(rusqlite::Error::SqliteFailure(e, _)) if error.kind() == Kind::Io => is_disk(e.extended_code),
        _ => error.kind() == Kind::Corrupt,
    }
}

/// A body that no value may hold is refused before anybody sends one.
fn bodies_fit(service: &Service, config: &Config) -> Result<(), StartError> {
    for spec in &service.handlers {
        let (name, max) = match spec.registration.receives() {
            true => ("the largest value in pieces", LARGE_VALUE_MAX),
            false => ("its store's value_max", config.value_max),
        };
        let limit = spec.body_max().unwrap_or(0);
        if limit > max {
            let message = spec.message;
            let what = format!("message {message}: a body of {limit} bytes is above {name}, {max} bytes");
            return Err(StartError::Wrong { service: service.name, what });
        }
    }
    Ok(())
}

fn stats_of(service: &'static str, spec: &HandlerSpec) -> Arc<Stats> {
    Arc::new(Stats::new(service, full_name(service, spec.message)))
}

fn routes_of(service: &'static str, message: &'static str, spec: &HandlerSpec) -> Vec<Route> {
    let route = |e: &monolite_service::Endpoint| Route {
        method: e.method,
        path: e.path,
        access: e.access,
        service,
        message,
        kind: spec.kind,
        creates: spec.creates,
        is_upload: spec.upload.is_some(),
        receives: spec.registration.receives(),
        streams: spec.streams,
        body_max: spec.body_max(),
        takes: spec.registration.takes().clone(),
        schemas: spec.registration.schemas(),
        registration: spec.registration.clone(),
    };
    spec.endpoints.iter().map(route).collect()
}

/// `Recipes.AddRecipe`, kept for the life of the process: labels are compared and logged everywhere.
fn full_name(service: &str, message: &str) -> &'static str {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let name = format!("{service}.{message}");
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    match names.get(name.as_str()) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(name.into_boxed_str());
            names.insert(kept);
            kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_rights_or_memory_is_no_damage() {
        let is_damage = |code| is_damage(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into());
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_FSYNC] {
            assert!(is_damage(code), "{code}");
        }
        for code in
            [ffi::SQLITE_CANTOPEN, ffi::SQLITE_PERM, ffi::SQLITE_NOMEM, ffi::SQLITE_IOERR_NOMEM, ffi::SQLITE_FULL]
        {
            assert!(!is_damage(code), "{code}");
        }
    }
}
