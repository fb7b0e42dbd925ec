//! What runs: the handlers of Settings with their SQL.

mod declared;
mod rows;
mod set_setting;
mod setting_by_key;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use monolite_service::{GET, Migrations, PUT, Service, SignedIn, Tx, kib, migrations};

pub use declared::Declared;

use crate::SetSetting;

/// The service Settings, on `Settings.db`, with the settings that the program declares.
pub fn service(declared: Declared) -> Service {
    let reading = Arc::new(declared);
    let setting = reading.clone();
    Service::new("Settings", schema())
        .read(move |s, m| setting_by_key::setting_by_key(s, m, &reading))
        .at(GET, "/settings/{key}", SignedIn)
        .write(move |tx: &Tx<'_>, m: SetSetting| set_setting::set_setting(tx, m, &setting))
        .at(PUT, "/settings/{key}", SignedIn)
        .body(kib(32))
        .statements(rows::STATEMENTS)
}

fn schema() -> Migrations {
    migrations![quick "../../migrations/0001_settings.sql"]
}
