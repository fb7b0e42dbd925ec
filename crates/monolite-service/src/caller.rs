//! The caller: on whose behalf a call is made, until when, and how to name it in traces.
//!
//! **Invariants**
//! - A clone is one reference count.
//! - The tenant is computed here: the user, else the address (IPv4 /32, IPv6 /64), else the system (0).

use crate::access::Access;
use crate::failure::{Failure, FailureKind};
use monolite_store::Tenant;
use monolite_store::rusqlite::ToSql;
use monolite_store::rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use uuid::Uuid;

/// The id of a user. BLOB(16) in files, hyphenated text in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for UserId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(UserId)
    }
}

impl ToSql for UserId {
    fn to_sql(&self) -> monolite_store::rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for UserId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::column_result(value).map(UserId)
    }
}

/// On whose behalf a call is made.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    system: bool,
    user: Option<UserId>,
    roles: Vec<String>,
    session: Option<Uuid>,
    tenant: Tenant,
    deadline: Option<Instant>,
    /// Its text, written when somebody asks for it.
    trace: OnceLock<String>,
    trace_number: u128,
    idempotency_key: Option<String>,
    address: Option<IpAddr>,
}

impl Caller {
    /// The system itself: background work, the command line. It has every role and no user.
    pub fn system() -> Self {
        Self::of(true, None, None)
    }

    /// Nobody in particular, from an address.
    pub fn anonymous(address: Option<IpAddr>) -> Self {
        Self::of(false, None, address)
    }

    /// A user who has shown who they are.
    pub fn signed_in(user: UserId) -> Self {
        Self::of(false, Some(user), None)
    }

    fn of(system: bool, user: Option<UserId>, address: Option<IpAddr>) -> Self {
        Caller(Arc::new(Inner {
            system,
            user,
            roles: Vec::new(),
            session: None,
            tenant: tenant_of(user, address),
            deadline: None,
            trace: OnceLock::new(),
            trace_number: 0,
            idempotency_key: None,
            address,
        }))
    }

    /// The user, if somebody is signed in.
    pub fn user(&self) -> Option<UserId> {
        self.0.user
    }

    /// The user, or the failure that says to sign in first.
    pub fn require_user(&self) -> Result<UserId, Failure> {
        self.0.user.ok_or_else(|| Failure::new(FailureKind::Unauthenticated, "sign in first"))
    }

    /// The user's roles.
    pub fn roles(&self) -> &[String] {
        &self.0.roles
    }

    /// Whether the caller has a role; the system has each.
    pub fn has_role(&self, role: &str) -> bool {
        self.0.system || self.0.roles.iter().any(|r| r == role)
    }

    /// Whether this is the system itself.
    pub fn is_system(&self) -> bool {
        self.0.system
    }

    /// The session by which the user is signed in, where the authenticator knows one.
    pub fn session(&self) -> Option<Uuid> {
        self.0.session
    }

    /// Among whom queues are fair.
    pub fn tenant(&self) -> Tenant {
        self.0.tenant
    }

    /// When the answer is of no more use; without one a call has the handler's default.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// The id of the trace that the call belongs to.
    pub fn trace(&self) -> Option<&str> {
        let number = self.0.trace_number;
        if number == 0 {
            return self.0.trace.get().map(String::as_str);
        }
        Some(self.0.trace.get_or_init(|| format!("{number:032x}")))
    }

    /// The trace as a number, as the store carries it; 0 where there is none, or its id is not hexadecimal.
    pub(crate) fn trace_number(&self) -> u128 {
        self.0.trace_number
    }

    /// The key under which a repeated call is the same call.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.0.idempotency_key.as_deref()
    }

    /// Where the call comes from, if from outside.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// Whether the caller may use what has this access; if not, the failure or refusal to answer with.
    pub fn may(&self, access: Access) -> Result<(), crate::Error> {
        let signed_in = self.0.system || self.0.user.is_some();
        match access {
            Access::Anyone => Ok(()),
            _ if !signed_in => Err(crate::Refused::unauthenticated().into()),
            Access::SignedIn => Ok(()),
            Access::Role(role) if self.has_role(role) => Ok(()),
            Access::Role(role) => Err(crate::Refused::forbidden(format!("needs the role {role}")).into()),
        }
    }

    /// The same with roles.
    pub fn with_roles<S: Into<String>>(self, roles: impl IntoIterator<Item = S>) -> Self {
        self.change(|c| c.roles = roles.into_iter().map(Into::into).collect())
    }

    /// The same with the session by which the user is signed in.
    pub fn with_session(self, session: Uuid) -> Self {
        self.change(|c| c.session = Some(session))
    }

    /// The same with a deadline.
    pub fn with_deadline(self, deadline: Instant) -> Self {
        self.change(|c| c.deadline = Some(deadline))
    }

    /// The same within the trace of this number, whose text is its 32 hexadecimal digits; 0 is none.
    pub fn with_trace_number(self, trace: u128) -> Self {
        self.change(|c| (c.trace_number, c.trace) = (trace, OnceLock::new()))
    }

    /// The same within the trace of another.
    pub(crate) fn in_trace_of(self, other: &Caller) -> Self {
        self.change(|c| (c.trace_number, c.trace) = (other.0.trace_number, other.0.trace.clone()))
    }

    /// The same within a trace.
    pub fn with_trace(self, trace: impl Into<String>) -> Self {
        let trace = trace.into();
        self.change(|c| {
            c.trace_number = u128::from_str_radix(&trace, 16).unwrap_or(0);
            c.trace = OnceLock::from(trace);
        })
    }

    /// The same with an idempotency key.
    pub fn with_idempotency_key(self, key: impl Into<String>) -> Self {
        self.change(|c| c.idempotency_key = Some(key.into()))
    }

    /// The same from an address.
    pub fn with_address(self, address: IpAddr) -> Self {
        self.change(|c| {
            c.address = Some(address);
            if !c.system {
                c.tenant = tenant_of(c.user, Some(address));
            }
        })
    }

    fn change(mut self, f: impl FnOnce(&mut Inner)) -> Self {
        f(Arc::make_mut(&mut self.0));
        self
    }
}

fn tenant_of(user: Option<UserId>, address: Option<IpAddr>) -> Tenant {
    let number = match (user, address) {
        (Some(UserId(id)), _) => {
            let (high, low) = id.as_u64_pair();
            high.rotate_left(17) ^ low
        }
        (None, Some(IpAddr::V4(a))) => 0x0400_0000_0000_0000 | u64::from(u32::from(a)),
        (None, Some(IpAddr::V6(a))) => (u128::from(a) >> 64) as u64,
        (None, None) => return Tenant(0),
    };
    Tenant(number.max(1)) // 0 is the system's
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Refused};

    fn ann() -> Caller {
        Caller::signed_in(UserId(Uuid::from_u128(7)))
    }

    #[test]
    fn access_goes_by_user_and_role() {
        let admin = ann().with_roles(["admin"]);
        let may = |caller: &Caller, access| match caller.may(access) {
            Ok(()) => Ok(()),
            Err(Error::Refused(refused)) => Err(refused),
            Err(Error::Failed(failure)) => panic!("{failure}"),
        };
        for caller in [&Caller::anonymous(None), &ann(), &admin, &Caller::system()] {
            assert_eq!(may(caller, Access::Anyone), Ok(()));
        }
        assert_eq!(may(&Caller::anonymous(None), Access::SignedIn), Err(Refused::Unauthenticated));
        assert_eq!(may(&Caller::anonymous(None), Access::Role("admin")), Err(Refused::Unauthenticated));
        assert!(matches!(may(&ann(), Access::Role("admin")), Err(Refused::Forbidden { .. })));
        for caller in [&admin, &Caller::system()] {
            assert_eq!(may(caller, Access::Role("admin")), Ok(()));
        }
    }

    #[test]
    fn tenants_are_users_then_addresses_then_the_system() {
        let at = |address: &str| Caller::anonymous(Some(address.parse().unwrap())).tenant();
        assert_eq!(Caller::system().tenant(), Tenant(0));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_eq!(ann().with_address("10.0.0.1".parse().unwrap()).tenant(), ann().tenant());
        assert_ne!(ann().tenant(), Tenant(0));
    }

    #[test]
    fn a_change_leaves_other_clones_as_they_were() {
        let first = ann();
        let second = first.clone().with_roles(["admin"]).with_trace("t").with_session(Uuid::nil());
        assert!(!first.has_role("admin") && first.trace().is_none() && first.session().is_none());
        assert!(second.has_role("admin") && second.trace() == Some("t") && second.user() == first.user());
        let third = second.with_trace_number(0xAB);
        assert_eq!(third.trace(), Some("000000000000000000000000000000ab"));
        assert_eq!(third.with_trace_number(0).trace(), None);
    }
}
