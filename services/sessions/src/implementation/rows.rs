//! The statements that several handlers share, and all statements for the start's check.

macro_rules! session_columns {
    () => {
        "id, user_id, created_at, last_seen_at, expires_at"
    };
}
pub(super) use session_columns;

/// One session by id.
pub(super) const SESSION: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?");

/// The statements of UserSessions, prepared at start.
pub(super) const STATEMENTS: &[&str] = &[
    SESSION,
    super::end_current_session::END,
    super::end_session::END_ANY,
    super::end_session::END_OWN,
    super::end_sessions::END_ALL,
    super::prune_sessions::BATCH,
    super::prune_sessions::PRUNE,
    super::session_of_token::GRANT,
    super::sign_in::BEGIN,
    super::sign_in::END_DEAD,
    super::sign_in::END_UNUSED,
    super::tries::FORGET,
    super::tries::FORGET_OLD,
    super::tries::FULL_AT,
    super::tries::GIVE,
    super::tries::HASH_KEY,
    super::tries::KNOWN,
    super::tries::PRUNE,
    super::tries::REMEMBER,
    super::tries::TAKE,
    super::write_touches::TOUCH,
];
