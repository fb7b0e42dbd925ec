//! What statements may do, by who they are of: migrations, callers, operators.
//!
//! **Invariants**
//! - What a caller or an operator may do is listed; nothing else is allowed.

use rusqlite::hooks::AuthAction;

/// What not even a migration may do: objects that are gone after a restart, other files.
pub(super) fn is_never_allowed(action: &AuthAction<'_>) -> bool {
    matches!(
        action,
        AuthAction::Attach { .. }
            | AuthAction::Detach { .. }
            | AuthAction::CreateTempTable { .. }
            | AuthAction::CreateTempIndex { .. }
            | AuthAction::CreateTempTrigger { .. }
            | AuthAction::CreateTempView { .. }
            | AuthAction::DropTempTable { .. }
            | AuthAction::DropTempIndex { .. }
            | AuthAction::DropTempTrigger { .. }
            | AuthAction::DropTempView { .. }
    )
}

/// What a caller's statement may do: rows of its own tables, nothing else.
pub(super) fn is_allowed(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        AuthAction::Read { table_name, .. } => !has_prefix(table_name, "_monolite"),
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => {
            !has_prefix(table_name, "_monolite") && !has_prefix(table_name, "sqlite_")
        }
        // FTS5 asks for the data version itself.
        AuthAction::Pragma { pragma_name, pragma_value } => {
            pragma_value.is_none() && pragma_name.eq_ignore_ascii_case("data_version")
        }
        _ => false,
    }
}

/// What an operator's statement may do over several files: read, whatever table it is.
pub(crate) fn only_reads(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Select | AuthAction::Recursive | AuthAction::Read { .. } => true,
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        // FTS5 asks for the data version itself.
        AuthAction::Pragma { pragma_name, pragma_value } => {
            pragma_value.is_none() && pragma_name.eq_ignore_ascii_case("data_version")
        }
        _ => false,
    }
}

fn has_prefix(table: &str, prefix: &str) -> bool {
    table.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}
