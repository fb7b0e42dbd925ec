//! `openapi`: the document that describes the routes.

use crate::context::Context;
use crate::verb::{Result, Verb};
use monolite_runtime::BackgroundMode;

/// Print the OpenAPI 3.1 document of all routes
#[derive(Debug, clap::Args)]
pub(crate) struct OpenApi {}

impl Verb for OpenApi {
    const NAME: &'static str = "openapi";

    fn run(self, context: &Context) -> Result {
        // Routes follow from the program alone; its services are opened on an empty folder that nobody sees.
        let folder = Scratch::new()?;
        let host = context.assembly(&folder.0).background(BackgroundMode::Off).open()?;
        let document = monolite_http::openapi_document(host.routes(), context.name, context.version);
        host.shutdown()?;
        context.output().line(serde_json::to_string_pretty(&document)?)
    }
}

/// A folder that is gone when dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("monolite-openapi-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
