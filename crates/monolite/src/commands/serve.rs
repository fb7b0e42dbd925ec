//! `serve`: opens the services, listens, and drains when told to stop.
//!
//! **Invariants**
//! - Sockets are taken before files are opened: a wrong address changes nothing on disk.
//! - Ready is said (stderr, systemd) when requests are answered, not before.
//! - The first SIGTERM or SIGINT drains; the second stops now. Acknowledged writes are on disk either way.

use crate::archive::restoring::moment;
use crate::archive::{Ack, Guests, Keeping, Unfinished, Way, Where, proofs, roll_forward};
use crate::context::Context;
use crate::control::Listener;
use crate::folder::ServiceFile;
use crate::notify;
use crate::progress::Progress;
use crate::serving::Serving;
use crate::verb::{Result, SetByFlag, Usage, Verb};
use anyhow::Context as _;
use monolite_archive::{Place, Sides};
use monolite_http::{Drained, HttpConfig, Metrics, Notices, Phase, Stop};
use monolite_runtime::{BackgroundMode, Host, OnDamage};
use monolite_service::{Clock, SystemClock};
use monolite_store::{State, maintain};
use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

/// Run the server
///
/// Needs no configuration file. SIGTERM or Ctrl-C drains; a second one stops now.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where requests are answered [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where metrics and health are answered, for operators [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Files that are behind their archive are brought to its newest commit first; the files of now are kept beside
    #[arg(long)]
    roll_forward: bool,
    /// Files that are behind their archive go on as they are, under a new history; the old one stays in the archive
    #[arg(long, conflicts_with = "roll_forward")]
    new_history: bool,
}

impl Verb for Serve {
    const NAME: &'static str = "serve";

    fn sets(&self) -> Vec<SetByFlag> {
        let set = |key, flag, value: &Option<String>| value.clone().map(|value| SetByFlag { key, flag, value });
        let all = [set("server.listen", "--listen", &self.listen), set("server.admin", "--admin", &self.admin)];
        all.into_iter().flatten().collect()
    }

    fn run(self, context: &Context) -> Result {
        crate::descriptors::raise();
        let mut config = edge(context)?;
        Ack::of(context.config(), context.services().iter().map(|service| service.name))?;
        let listen = bind(context, "server.listen", "--listen")?;
        let admin = bind(context, "server.admin", "--admin")?;
        let metrics = Metrics::new();
        let (host, keeping) = self.open(context, &metrics)?;
        if let Some(keeping) = &keeping {
            config.archived = Some(Arc::new(keeping.acks().clone()));
            metrics.add_gauges(keeping.gauges());
        }
        let serving = Arc::new(Serving {
            name: context.name,
            version: context.version,
            host: host.clone(),
            services: context.services().to_vec(),
            keeping: RwLock::new(keeping.map(Arc::new)),
            data: std::path::absolute(context.data())?,
            listen: listen.local_addr()?.to_string(),
            admin: admin.local_addr()?.to_string(),
            since: Instant::now(),
        });
        let control = Listener::open(context.data(), serving.clone())
            .with_context(|| format!("cannot open the control socket in {}", context.data().display()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("worker").build()?;
        let told = serving.clone();
        let notices: Notices =
            Arc::new(move || told.archive().map(|status| proofs::notices(&status)).unwrap_or_default());
        let drained = runtime.block_on(run(context, config, &serving, (metrics, notices), listen, admin))?;
        drop(control);
        notify::tell("STOPPING=1");
        runtime.shutdown_background();
        if let Some(keeping) = serving.keeping.write().unwrap_or_else(PoisonError::into_inner).take() {
            keeping.finish();
        }
        host.shutdown().context("the files were not closed in order; nothing acknowledged is lost")?;
        if let Drained::CutShort(open) = drained {
            context.note(format!("stopped with {open} connections cut"));
        } else {
            context.note("stopped");
        }
        Ok(())
    }
}

impl Serve {
    /// Opens the files and their archive. Files that do not go on from it are brought to go on, the way that was asked for.
    fn open(&self, context: &Context, metrics: &Metrics) -> Result<(Host, Option<Keeping>)> {
        let guests = match open(context, metrics) {
            Err(e) => e.downcast::<Guests>()?,
            opened => return opened,
        };
        match self.way() {
            Way::Refuse => return Err(guests.into()),
            Way::RollForward => {
                let place = Where::of(context.config(), context.data()).to_read(context.config())?;
                guests.sides().try_for_each(|sides| forward(context, &place, sides))?;
            }
            Way::NewHistory => {
                guests.sides().try_for_each(|sides| begin_anew(context, sides))?;
                guests.for_others().into_iter().for_each(|others| context.note(format!("  {others}")));
            }
        }
        open(context, metrics)
    }

    fn way(&self) -> Way {
        match (self.roll_forward, self.new_history) {
            (true, _) => Way::RollForward,
            (_, true) => Way::NewHistory,
            _ => Way::Refuse,
        }
    }
}

fn forward(context: &Context, place: &Arc<dyn Place>, sides: &Sides) -> Result {
    let bar = (!context.is_quiet()).then(|| Progress::bytes(None));
    let done = roll_forward(place, context.data(), &sides.service, Some(&sides.history), &mut |progress| {
        if let Some(bar) = &bar {
            bar.of(progress.whole);
            bar.at(progress.done);
            bar.doing(sides.service.clone());
        }
        ControlFlow::Continue(())
    })?;
    drop(bar);
    context.note(format!("rolled forward: {}", done.told(sides.file)));
    Ok(())
}

fn begin_anew(context: &Context, sides: &Sides) -> Result {
    let Sides { service, history, archive, .. } = sides;
    let file = ServiceFile::of(context.data(), service).path;
    // Above all that was archived: no number of a commit that anybody holds comes again.
    let fork = maintain::fork(&file, *archive, SystemClock.now().0)?;
    context.note(format!(
        "a new history of {service} begins at commit {} after commit {}; commit {archive} of {} and what led to it stay in the \
         archive: monolite restore {service} --history {history} --into DIR",
        fork.sequence,
        fork.from_sequence,
        moment(sides.archive_ms)
    ));
    Ok(())
}

async fn run(
    context: &Context,
    config: HttpConfig,
    serving: &Serving,
    (metrics, notices): (Metrics, Notices),
    listen: TcpListener,
    admin: TcpListener,
) -> Result<Drained> {
    let stop = Stop::on_signals()?;
    let host = &serving.host;
    let own = context.routes.clone().with_state(host.clone());
    let router = monolite_http::router(host, &config, &metrics, &stop, own)?;
    let for_operators = monolite_http::admin_router(host, &metrics, &stop, notices);
    let operators =
        monolite_http::serve(monolite_http::listener(admin)?, for_operators, config.limits.clone(), stop.clone());
    let operators = tokio::spawn(operators);
    let requests =
        tokio::spawn(monolite_http::serve(monolite_http::listener(listen)?, router, config.limits, stop.clone()));
    greet(context, serving);
    notify::tell("READY=1");
    stop.reached(Phase::Draining).await;
    notify::tell("STOPPING=1");
    context.note(format!(
        "draining: requests in flight have {} s; a second signal stops now",
        context.config().time("server.drain").as_secs()
    ));
    let drained = requests.await?;
    operators.abort();
    Ok(drained)
}

/// The edge's configuration.
pub(super) fn edge(context: &Context) -> Result<HttpConfig> {
    Ok(HttpConfig {
        title: context.name.to_owned(),
        version: context.version.to_owned(),
        pages: context.pages.clone(),
        ..crate::standard_keys::http(context.config())?
    })
}

fn open(context: &Context, metrics: &Metrics) -> Result<(Host, Option<Keeping>)> {
    let data = context.data();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.with_context(|| match data.exists() {
        true => format!("{} is no folder; choose another with --data", data.display()),
        false => format!("cannot make the data folder {}; choose another with --data", data.display()),
    })?;
    let open_to_others = std::fs::metadata(data)?.permissions().mode() & 0o077 != 0;
    if open_to_others {
        context.note(format!("warning: other users may look into {}; chmod 700 ends that", data.display()));
    }
    Unfinished::refuse(data)?;
    for told in crate::rewind::settle(data)? {
        context.note(told);
    }
    let metrics = metrics.clone();
    // What services do by themselves begins once it is known that their files go on from the archive.
    let assembly = context.followed().background(BackgroundMode::Off).on_damage(OnDamage::Quarantine);
    let host = assembly.observe(move |service| metrics.observer(service)).open()?;
    let keeping = Keeping::begin(context.config(), context.data(), &host);
    if keeping.is_err() {
        let _ = host.shutdown(); // nothing was written
    }
    let keeping = keeping?;
    host.begin_background()?;
    Ok((host, keeping))
}

/// Where history goes, and what that does not survive.
fn archived(context: &Context, serving: &Serving) -> String {
    let Some(status) = serving.archive() else {
        return "off: the loss of this disk is the loss of all data (archive.to)".to_owned();
    };
    let survives = match Where::of(context.config(), &serving.data) {
        Where::Folder(folder) => {
            let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
            let same = device(&folder).is_some() && device(&folder) == device(&serving.data);
            if same {
                "the same disk: it survives mistakes, not the disk (archive.to)"
            } else {
                "another disk: it survives this one"
            }
        }
        Where::Bucket(..) | Where::Nowhere => "it survives this machine",
    };
    let when = match context.config().text("archive.ack") {
        "local" => "within a second".to_owned(),
        "archived" => "before its answer".to_owned(),
        some => format!("within a second, of {some} before its answer"),
    };
    format!("each commit, {when}, in {}; {survives}", status.place)
}

fn bind(context: &Context, key: &str, flag: &str) -> Result<TcpListener> {
    let wanted = context.config().text(key);
    let wrong = || Usage(format!("{key} must be an address such as 127.0.0.1:8080, not {wanted:?}"));
    let addresses: Vec<SocketAddr> = wanted.to_socket_addrs().map_err(|_| wrong())?.collect();
    TcpListener::bind(&addresses[..]).map_err(|e| {
        let what = match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("{wanted} is in use by another program; stop it, or choose another address with {flag}")
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("{wanted}: this user may not listen there; choose a port above 1023 with {flag}")
            }
            std::io::ErrorKind::AddrNotAvailable => {
                format!("{wanted} is no address of this machine; choose another with {flag}")
            }
            _ => format!("cannot listen on {wanted}: {e}"),
        };
        anyhow::anyhow!(what)
    })
}

fn greet(context: &Context, serving: &Serving) {
    let sqlite = monolite_store::rusqlite::version();
    let services: Vec<&str> = serving.host.services().collect();
    let engine = format!("monolite {}", crate::VERSION);
    let program = format!("{} {}", context.name, context.version);
    let below = if program == engine { String::new() } else { format!("{engine}, ") };
    context.note(format!("{program} ({below}SQLite {sqlite})"));
    context.note(format!("  services    {}", services.join(", ")));
    context.note(format!("  data        {}", serving.data.display()));
    context.note("  durability  full: an acknowledged write is on disk (one fsync for each group of writes)");
    let warnings: BTreeSet<String> = serving.host.health().into_iter().flat_map(|h| h.status.warnings).collect();
    for warning in warnings {
        context.note(format!("  SQLite      {warning}"));
    }
    for health in serving.host.health() {
        if let State::Damaged(why) = health.status.state {
            context.note(format!("  DAMAGED     {} does not serve, the others do: {why}", health.service));
        }
    }
    context.note(format!("  archive     {}", archived(context, serving)));
    let files = serving.archive().map_or(Vec::new(), |status| status.files);
    let waiting: Vec<_> = files.iter().filter(|file| file.state == "opening").collect();
    if let Some(why) = waiting.iter().find_map(|file| file.last_error.as_ref()?.lines().next()) {
        let services: Vec<&str> = waiting.iter().map(|file| file.service.as_str()).collect();
        context.note(format!("  NOT YET     {}: it is tried again beside; {why}", services.join(", ")));
    }
    for line in &context.first_steps {
        context.note(format!("  {line}"));
    }
    context.note(format!("  operators   http://{} (/metrics, /readyz)", serving.admin));
    context.note(format!("  listening   http://{}", serving.listen));
}
