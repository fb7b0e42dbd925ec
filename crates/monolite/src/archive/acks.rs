//! `archive.ack`: which services' changes are answered once they are archived, and the wait for it.
//!
//! **Invariants**
//! - What is waited for is what the archive's place has, not the spool.

use crate::config::{Config, ConfigError};
use monolite_archive::Archive;
use monolite_http::Archived;
use monolite_runtime::{Commit, Tally};
use monolite_service::BoxFuture;
use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

/// When changes are acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ack {
    /// Once they are on this machine's disk.
    Local,
    /// Of all services, once they are archived.
    Archived,
    /// Of these services, once they are archived.
    Of(BTreeSet<String>),
}

impl Ack {
    /// As configured, for these services.
    pub(crate) fn of<'s>(config: &Config, services: impl Iterator<Item = &'s str>) -> Result<Ack, ConfigError> {
        let known: BTreeSet<&str> = services.collect();
        match config.text("archive.ack") {
            "local" => return Ok(Ack::Local),
            "archived" => return Ok(Ack::Archived),
            _ => {}
        }
        let named: BTreeSet<String> =
            config.text("archive.ack").split(',').map(|name| name.trim().to_owned()).collect();
        match named.iter().find(|name| !known.contains(name.as_str())) {
            None => Ok(Ack::Of(named)),
            Some(unknown) => Err(ConfigError(format!(
                "{}: archive.ack is local, archived, or services separated by commas; there is no service {unknown:?}",
                config.origin("archive.ack")
            ))),
        }
    }

    /// Of an archive that is off nothing can be waited for.
    pub(crate) fn refuse_off(&self, config: &Config) -> Result<(), ConfigError> {
        if *self == Ack::Local {
            return Ok(());
        }
        let origin = config.origin("archive.ack");
        Err(ConfigError(format!("{origin}: archive.ack waits for the archive, but archive.to is \"off\"")))
    }
}

/// The archive, for answers that wait for it.
#[derive(Clone)]
pub(crate) struct Acks {
    pub(super) archive: Archive,
    pub(super) ack: Ack,
    pub(super) wait: Duration,
}

impl Acks {
    /// Waits for what calls wrote. Not for async workers.
    pub(crate) fn acknowledge(&self, tally: &Tally) -> crate::Result<()> {
        let until = Instant::now() + self.wait;
        for Commit { service, sequence } in tally.commits() {
            if self.is_awaited(service) {
                let left = until.saturating_duration_since(Instant::now());
                self.archive.archived(service, sequence)?.wait(left)?;
            }
        }
        Ok(())
    }
}

impl Archived for Acks {
    fn is_awaited(&self, service: &str) -> bool {
        match &self.ack {
            Ack::Local => false,
            Ack::Archived => true,
            Ack::Of(services) => services.contains(service),
        }
    }

    fn reaches(&self, service: &str, sequence: u64) -> BoxFuture<'static, Result<(), String>> {
        let archived = self.archive.archived(service, sequence);
        Box::pin(async move { archived.map_err(|e| e.to_string())?.await.map_err(|e| e.to_string()) })
    }

    fn wait_max(&self) -> Duration {
        self.wait
    }
}

impl fmt::Debug for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?} at most", self.ack, self.wait)
    }
}
