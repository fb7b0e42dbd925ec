//! What runs: the handlers of UserSessions with their SQL, and the authenticator.

mod bearer;
mod config;
mod current_session;
mod end_current_session;
mod end_session;
mod end_sessions;
mod list_sessions;
mod prune_sessions;
mod rows;
mod session_of_token;
mod sign_in;
mod touches;
mod tries;
mod write_touches;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use monolite_service::{
    Anyone, DELETE, GET, Gauge, Migrations, POST, Service, SignedIn, Snapshot, Tx, migrations, seconds,
};

pub use bearer::{Bearer, bearer};
pub use config::{Config, Tries};
pub use monolite_service::Bucket;
use prune_sessions::{PruneSessions, Pruner};
use sign_in::BeginSession;
use touches::Touches;
use tries::{Counts, GiveBack, MayTry, PruneTries, TakeTry};
use write_touches::WriteTouches;

/// The service UserSessions, on `UserSessions.db`. Put [`bearer`] beside it as the program's authenticator.
pub fn service(config: Config) -> Service {
    service_with(config, Arc::new(Touches::new(config.touches_max)))
}

fn service_with(config: Config, touches: Arc<Touches>) -> Service {
    let pruner = Pruner::default();
    let counts = Arc::new(Counts::default());
    let mut gauges = counts.gauges(&config);
    let waiting = touches.clone();
    let help = "Sessions whose use waits to be written.";
    gauges.push(Gauge::new("monolite_touches_waiting", help, move || waiting.waiting()));
    let (looking, taking, forgetting) = (counts.clone(), counts.clone(), counts);
    let (noting, pruning, writing) = (touches.clone(), touches.clone(), touches);
    Service::new("UserSessions", schema())
        .flow(sign_in::sign_in)
        .at(POST, "/sessions", Anyone)
        .creates("/sessions/current")
        .write(move |tx: &Tx<'_>, m: BeginSession| sign_in::begin_session(tx, m, &config))
        .read(list_sessions::list_sessions)
        .at(GET, "/sessions", SignedIn)
        .write(end_sessions::end_sessions)
        .at(DELETE, "/sessions", SignedIn)
        .read(current_session::current_session)
        .at(GET, "/sessions/current", SignedIn)
        .write(end_current_session::end_current_session)
        .at(DELETE, "/sessions/current", SignedIn)
        .write(end_session::end_session)
        .at(DELETE, "/sessions/{id}", SignedIn)
        .read(move |s, m| session_of_token::session_of_token(s, m, &config, &noting))
        .flow(move |f, m| write_touches::write_touches(f, m, writing.clone()))
        .write(write_touches::touch_sessions)
        .every(seconds(1), WriteTouches {})
        .write(move |tx: &Tx<'_>, m: PruneSessions| prune_sessions::prune_sessions(tx, m, &config, &pruning, &pruner))
        .every(seconds(5), PruneSessions {})
        .read(move |s: &Snapshot<'_>, m: &MayTry| tries::may_try(s, m, &config, &looking))
        .write(move |tx: &Tx<'_>, m: TakeTry| tries::take_try(tx, m, &config, &taking))
        .write(move |tx: &Tx<'_>, m: GiveBack| tries::give_back(tx, m, &config))
        .write(move |tx: &Tx<'_>, m: PruneTries| tries::prune_tries(tx, m, &config, &forgetting))
        .every(seconds(60), PruneTries {})
        .gauges(gauges)
        .statements(rows::STATEMENTS)
}

fn schema() -> Migrations {
    migrations![quick "../../migrations/0001_sessions.sql", quick "../../migrations/0002_tries.sql", quick "../../migrations/0003_hash_key.sql"]
}
