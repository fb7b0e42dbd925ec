//! The standard executable's own verbs, a file each.

mod import;
mod sign_in;
mod users;

pub(crate) use import::Import;
pub(crate) use sign_in::SignIn;
pub(crate) use users::Users;
