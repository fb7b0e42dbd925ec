//! What runs: the handlers of Users with their SQL.

mod account_state;
mod change_password;
mod change_user;
mod config;
mod create_user;
mod credentials;
mod disable_user;
mod enable_user;
mod list_users;
mod passwords;
mod rights;
mod rows;
mod user_by_email;
mod user_by_id;
mod users_by_ids;
mod verify_password;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use monolite_service::{Access, GET, Gauge, Migrations, PATCH, POST, Service, SignedIn, Tx, migrations};

use change_password::OldPasswords;
pub use config::{Config, Cost};
use passwords::Passwords;

use crate::Role;

/// The service Users, on `Users.db`.
pub fn service(config: Config) -> Service {
    let passwords = Passwords::new(&config);
    service_with(&config, passwords)
}

fn service_with(config: &Config, passwords: Arc<Passwords>) -> Service {
    let open = config.open_registration;
    let registrars = if open { Access::Anyone } else { Access::Role(Role::Admin.as_str()) };
    let old = OldPasswords::new(config.old_password);
    let (taking, giving) = (old.clone(), old.clone());
    let waiting = passwords.clone();
    let help = "Passwords that wait to be hashed.";
    let gauges = [old.gauge(), Gauge::new("monolite_passwords_waiting", help, move || waiting.waiting())];
    let (creating, changing, verifying) = (passwords.clone(), passwords.clone(), passwords);
    Service::new("Users", schema())
        .flow(move |f, m| create_user::create_user(f, m, open, creating.clone()))
        .at(POST, "/users", registrars)
        .creates("/users/{id}")
        .write(create_user::insert_user)
        .read(list_users::list_users)
        .at(GET, "/users", SignedIn)
        .read(user_by_id::user_by_id)
        .at(GET, "/users/{id}", SignedIn)
        .read(user_by_email::user_by_email)
        .read(users_by_ids::users_by_ids)
        .write(change_user::change_user)
        .at(PATCH, "/users/{id}", SignedIn)
        .flow(move |f, m| change_password::change_password(f, m, changing.clone(), old.clone()))
        .at(POST, "/users/{id}/password", SignedIn)
        .write(change_password::replace_password)
        .write(move |tx: &Tx<'_>, m| taking.take_try(tx, m))
        .write(move |tx: &Tx<'_>, m| giving.give_back(tx, m))
        .write(disable_user::disable_user)
        .at(POST, "/users/{id}/disable", SignedIn)
        .write(enable_user::enable_user)
        .at(POST, "/users/{id}/enable", Access::Role(Role::Admin.as_str()))
        .flow(move |f, m| verify_password::verify_password(f, m, verifying.clone()))
        .write(verify_password::renew_hash)
        .read(credentials::credentials_by_id)
        .read(credentials::credentials_by_email)
        .read(account_state::account_state)
        .gauges(gauges)
        .statements(rows::STATEMENTS)
}

fn schema() -> Migrations {
    migrations![quick "../../migrations/0001_users.sql", quick "../../migrations/0002_old_password_tries.sql"]
}
