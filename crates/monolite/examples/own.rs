//! A program of one's own: a service, axum routes beside it, a verb and a configuration key.
//!
//! ```sh
//! cargo run -p monolite --example own -- serve
//! cargo run -p monolite --example own -- greet Ann --set greeting.word=Ahoy
//! ```

use axum::extract::{Path, State};
use axum::routing::get;
use monolite::{App, Context, GET, Host, Outcome, Result, Service, Snapshot, Verb, message, migrations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Asks for a greeting.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Greeting {
    /// Whom to greet.
    name: String,
}
message!(Greeting => String);

/// The service; its handler keeps a word of the configuration.
fn greetings(word: String) -> Service {
    Service::new("Greetings", migrations![])
        .read(move |_: &Snapshot<'_>, m: &Greeting| -> Outcome<Greeting> { Ok(format!("{word}, {}", m.name)) })
        .at(GET, "/greetings/{name}", monolite::Anyone)
}

/// Greet somebody from the command line
#[derive(clap::Args)]
struct Greet {
    /// Whom
    name: String,
}

impl Verb for Greet {
    const NAME: &'static str = "greet";

    fn run(self, context: &Context) -> Result {
        let greeting = context.link_or_begin()?.call(Greeting { name: self.name })?;
        context.output().line(greeting)
    }
}

/// An ordinary axum handler with the host as its state.
async fn shout(State(host): State<Host>, Path(name): Path<String>) -> String {
    match host.call(&host.system(), Greeting { name }).await {
        Ok(greeting) => greeting.to_uppercase(),
        Err(e) => e.to_string(),
    }
}

fn main() -> ExitCode {
    App::new("own")
        .about("Greets")
        .config("greeting.word", "Hello", "What a greeting begins with.")
        .default_of("server.listen", "127.0.0.1:8090")
        .service_with(|config| greetings(config.text("greeting.word").to_owned()))
        .routes(axum::Router::new().route("/shout/{name}", get(shout)))
        .command::<Greet>()
        .run()
}
