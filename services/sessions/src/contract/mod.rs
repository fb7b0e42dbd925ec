//! What callers depend on: the messages of UserSessions and their types. No SQL, no HTTP.

mod current_session;
mod end_current_session;
mod end_session;
mod end_sessions;
mod list_sessions;
mod session;
mod session_of_token;
mod sign_in;
mod token;

pub use current_session::CurrentSession;
pub use end_current_session::EndCurrentSession;
pub use end_session::EndSession;
pub use end_sessions::EndSessions;
pub use list_sessions::ListSessions;
pub use session::{Session, SessionId};
pub use session_of_token::{Grant, SessionOfToken};
pub use sign_in::{SignIn, SignInRefused, SignedIn};
pub use token::{TOKEN_PREFIX, Token, TokenHash};
