//! Who may do what to whom: users see and change themselves, admins and the system all.

use monolite_service::Caller;

use crate::{Role, UserId};

/// Whether the caller is an admin, or the system itself.
pub(super) fn is_admin(caller: &Caller) -> bool {
    caller.has_role(Role::Admin.as_str())
}

/// Whether the caller may see and change this user. If not, this user is not found.
pub(super) fn may(caller: &Caller, id: UserId) -> bool {
    is_admin(caller) || caller.user() == Some(id)
}
