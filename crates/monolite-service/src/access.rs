//! Where a message is served: method, path and who may use it. Neutral data; the edge makes routes of it.

/// What is done to the thing at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Shows it.
pub const GET: Method = Method::Get;
/// Adds to it.
pub const POST: Method = Method::Post;
/// Puts it there, whatever was there before.
pub const PUT: Method = Method::Put;
/// Changes parts of it.
pub const PATCH: Method = Method::Patch;
/// Removes it.
pub const DELETE: Method = Method::Delete;

impl Method {
    /// The method's name in capitals.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Any signed-in user.
    SignedIn,
    /// Users with this role.
    Role(&'static str),
}

pub use Access::{Anyone, Role, SignedIn};
