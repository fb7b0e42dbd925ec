//! What callers depend on: the messages of Users and their types. No SQL, no HTTP.

mod account_state;
mod change_password;
mod change_user;
mod create_user;
mod disable_user;
mod email;
mod enable_user;
mod list_users;
mod name;
mod password;
mod role;
mod secret;
mod user;
mod user_by_email;
mod user_by_id;
mod users_by_ids;
mod verify_password;

pub use account_state::{Account, AccountState};
pub use change_password::ChangePassword;
pub use change_user::ChangeUser;
pub use create_user::CreateUser;
pub use disable_user::DisableUser;
pub use email::why_not_an_email;
pub use enable_user::EnableUser;
pub use list_users::ListUsers;
pub use monolite_service::UserId;
pub use name::why_not_a_name;
pub use password::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, why_not_a_new_password, why_not_a_password};
pub use role::Role;
pub use secret::Secret;
pub use user::User;
pub use user_by_email::UserByEmail;
pub use user_by_id::UserById;
pub use users_by_ids::{IDS_MAX, UsersByIds};
pub use verify_password::{Verified, VerifyPassword, WrongCredentials};

/// Notes why a field is wrong, if it is.
fn note(check: &mut monolite_service::Check, field: &str, why: Option<&str>) {
    check.field(field, why.is_none(), why.unwrap_or_default());
}
