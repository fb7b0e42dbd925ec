//! Creates a user: hashes first, then writes.

use std::sync::Arc;

use monolite_service::{Caller, Flow, Millis, OrRefuse, Outcome, Refused, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::passwords::Passwords;
use super::rights::is_admin;
use super::rows;
use crate::{CreateUser, Role, Secret, User, UserId};

pub(super) const INSERT_USER: &str =
    "INSERT INTO users(id, role, email, name, created_at, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)";
pub(super) const INSERT_PASSWORD: &str = "INSERT INTO passwords(user_id, hash) VALUES (?, ?)";

/// The second half of creating a user. Never served: what it is given was allowed and hashed by the first.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct InsertUser {
    email: String,
    name: String,
    role: Role,
    hash: Secret,
}

message!(InsertUser => User);

pub(super) async fn create_user(f: Flow, m: CreateUser, open: bool, passwords: Arc<Passwords>) -> Outcome<CreateUser> {
    may_create(f.caller(), m.role, open)?;
    let hash = passwords.hash(f.caller().tenant(), m.password).await?;
    let name = m.name.unwrap_or_else(|| m.email.split('@').next().unwrap_or_default().to_owned());
    f.call(InsertUser { email: m.email, name: name.trim().to_owned(), role: m.role, hash }).await
}

fn may_create(caller: &Caller, role: Role, open: bool) -> Result<(), Refused> {
    if is_admin(caller) {
        return Ok(());
    }
    match (open, role) {
        (true, Role::Member) => Ok(()),
        (true, Role::Admin) => Err(Refused::forbidden("only admins create admins")),
        (false, _) if caller.user().is_none() => Err(Refused::unauthenticated()),
        (false, _) => Err(Refused::forbidden("only admins create users here")),
    }
}

pub(super) fn insert_user(tx: &Tx<'_>, m: InsertUser) -> Outcome<InsertUser> {
    let (id, now): (UserId, Millis) = (UserId(tx.id()), tx.now());
    tx.run(INSERT_USER, params![id, m.role.as_str(), m.email, m.name, now]).unique(Refused::conflict("email_taken"))?;
    tx.run(INSERT_PASSWORD, params![id, m.hash.expose()])?;
    rows::user(tx, id)
}
