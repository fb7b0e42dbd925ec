//! The program under the axe: two services, and a flow that moves a number from one file to the other.
//!
//! This executable with [`PROGRAM`] in its environment is that program, command line and all.

use monolite::{Anyone, App, Flow, Migrations, Outcome, POST, Service, Tx, message};
use monolite_store::Migration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// The environment variable that makes this executable the program.
pub const PROGRAM: &str = "MONOLITE_FAULTS_SYSTEM";
/// The services: whatever the second has, the first has.
pub(super) const SERVICES: [&str; 2] = ["Causes", "Effects"];
/// The table in each.
const TABLE: &str = "CREATE TABLE n(number INTEGER PRIMARY KEY) STRICT;";
pub(super) const NUMBERS: &str = "SELECT number FROM n";

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Take {
    number: i64,
}
message!(Take => ());

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Give {
    number: i64,
}
message!(Give => ());

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Move {
    number: i64,
}
message!(Move => ());

/// Runs it.
pub fn run() -> ExitCode {
    App::new("monolite-faults-system")
        .service(
            service(SERVICES[0]).write(|tx: &Tx<'_>, m: Take| add(tx, m.number)).flow(carry).at(POST, "/moves", Anyone),
        )
        .service(service(SERVICES[1]).write(|tx: &Tx<'_>, m: Give| add(tx, m.number)))
        .run()
}

fn service(name: &'static str) -> Service {
    Service::new(name, Migrations::new(vec![Migration::Quick { name: "n", sql: TABLE }]))
}

fn add(tx: &Tx<'_>, number: i64) -> Outcome<Take> {
    tx.run("INSERT INTO n VALUES (?)", [number])?;
    Ok(())
}

async fn carry(flow: Flow, m: Move) -> Outcome<Move> {
    flow.call(Take { number: m.number }).await?;
    flow.call(Give { number: m.number }).await
}
