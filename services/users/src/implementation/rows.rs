//! The statements that several handlers share, and all statements for the start's check.

use monolite_service::{Failure, Refused, Snapshot, params};

use crate::{User, UserId};

macro_rules! user_columns {
    () => {
        "id, email, name, role, disabled_at IS NOT NULL AS disabled, created_at, changed_at, version"
    };
}
pub(super) use user_columns;

/// One user by id.
pub(super) const USER: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?");
/// One user by address; the column's collation ignores case.
pub(super) const USER_BY_EMAIL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE email = ?");
const ANOTHER_ADMIN: &str =
    "SELECT EXISTS(SELECT 1 FROM users WHERE role = 'admin' AND disabled_at IS NULL AND id <> ?) AS another";

/// The statements of Users, prepared at start.
pub(super) const STATEMENTS: &[&str] = &[
    USER,
    USER_BY_EMAIL,
    ANOTHER_ADMIN,
    super::account_state::ACCOUNT,
    super::change_password::RAISE_VERSION,
    super::change_password::REPLACE,
    super::change_password::FULL_AT,
    super::change_password::TAKE,
    super::change_password::GIVE,
    super::change_user::CHANGE,
    super::create_user::INSERT_USER,
    super::create_user::INSERT_PASSWORD,
    super::credentials::BY_EMAIL,
    super::credentials::BY_ID,
    super::disable_user::DISABLE,
    super::enable_user::ENABLE,
    super::verify_password::RENEW,
];

/// A user that must be there.
pub(super) fn user(s: &Snapshot<'_>, id: UserId) -> Result<User, monolite_service::Error> {
    s.one(USER, params![id])?.ok_or_else(|| not_found().into())
}

/// There is nobody of this id, or it is not the caller's business.
pub(super) fn not_found() -> Refused {
    Refused::not_found("user")
}

/// Whether there is an active admin beside this user.
pub(super) fn another_admin(s: &Snapshot<'_>, id: UserId) -> Result<bool, Failure> {
    Ok(s.one::<bool>(ANOTHER_ADMIN, params![id])?.unwrap_or(false))
}
