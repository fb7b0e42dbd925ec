//! A running server, as the control socket sees it.

use crate::archive::{ArchiveStatus, Keeping};
use crate::status::{ServerStatus, ServiceStatus};
use crate::verb::Usage;
use monolite_runtime::{Host, Tally};
use monolite_service::Service;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

/// What runs.
pub(crate) struct Serving {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) host: Host,
    pub(crate) services: Vec<Service>,
    /// The archive; taken at the end.
    pub(crate) keeping: RwLock<Option<Arc<Keeping>>>,
    pub(crate) data: PathBuf,
    pub(crate) listen: String,
    pub(crate) admin: String,
    pub(crate) since: Instant,
}

impl Serving {
    /// The archive, where there is one.
    pub(crate) fn keeping<T>(&self, ask: impl FnOnce(&Keeping) -> crate::Result<T>) -> crate::Result<T> {
        match self.archiving() {
            Some(keeping) => ask(&keeping),
            None => {
                Err(Usage("this server archives nothing: archive.to is \"off\", or it is stopping".to_owned()).into())
            }
        }
    }

    /// The archive, where there is one. Whoever holds it long does not keep the server from ending.
    pub(crate) fn archiving(&self) -> Option<Arc<Keeping>> {
        self.keeping.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what calls wrote is archived, where that is waited for.
    pub(crate) fn acknowledge(&self, tally: &Tally) -> crate::Result<()> {
        let acks = self.archiving().map(|keeping| keeping.acks().clone());
        acks.map_or(Ok(()), |acks| acks.acknowledge(tally))
    }

    /// How the archive does, where there is one, as far as that is known: a place that is down is no wait.
    pub(crate) fn archive(&self) -> Option<ArchiveStatus> {
        self.archiving().map(|keeping| keeping.known())
    }

    /// How it does.
    pub(crate) fn status(&self) -> ServerStatus {
        ServerStatus {
            running: true,
            pid: Some(std::process::id()),
            program: self.name.to_owned(),
            version: self.version.to_owned(),
            data: self.data.display().to_string(),
            listen: Some(self.listen.clone()),
            admin: Some(self.admin.clone()),
            archive: self.archive(),
            uptime_seconds: Some(self.since.elapsed().as_secs()),
            services: self
                .host
                .health()
                .iter()
                .zip(self.host.writers())
                .map(|(health, writer)| ServiceStatus { held: Some(writer), ..ServiceStatus::of(health) })
                .collect(),
        }
    }
}
