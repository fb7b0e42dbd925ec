//! A running server, as the control socket sees it.

use crate::status::{ServerStatus, ServiceStatus};
use monolite_runtime::Host;
use monolite_service::Service;
use std::path::PathBuf;
use std::time::Instant;

/// What runs.
pub(crate) struct Serving {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) host: Host,
    pub(crate) services: Vec<Service>,
    pub(crate) data: PathBuf,
    pub(crate) listen: String,
    pub(crate) admin: String,
    pub(crate) since: Instant,
}

impl Serving {
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
