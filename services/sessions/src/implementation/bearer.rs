//! The authenticator: who shows a bearer token.
//!
//! **Invariants**
//! - Nothing is cached: each request reads the session and then the account, both inline, some microseconds together.
//! - Every doubt is the same refusal: no such token, ended, expired, disabled, or begun under other credentials.
//! - No token, and no header at all, is an anonymous caller, not a refusal; routes say who must be signed in.

use monolite_service::{Authenticator, BoxFuture, Caller, Credentials, Error, Flow, Refused};
use monolite_users::AccountState;

use crate::{SessionOfToken, TokenHash};

/// Recognises callers by the bearer tokens of their sessions. Made by [`bearer`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Bearer(());

/// The authenticator of a program with Users and UserSessions.
pub fn bearer() -> Bearer {
    Bearer(())
}

impl Authenticator for Bearer {
    fn authenticate<'a>(
        &'a self,
        flow: &'a Flow,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Caller, Error>> {
        Box::pin(async move {
            let caller = match &credentials.bearer {
                Some(token) => recognise(flow, token).await?,
                None => return Ok(Caller::anonymous(credentials.address)),
            };
            Ok(match credentials.address {
                Some(address) => caller.with_address(address),
                None => caller,
            })
        })
    }
}

async fn recognise(flow: &Flow, token: &str) -> Result<Caller, Error> {
    let token = TokenHash::of(token).ok_or(Refused::Unauthenticated)?;
    let grant = flow.call(SessionOfToken { token }).await?.ok_or(Refused::Unauthenticated)?;
    let account = flow.call(AccountState { id: grant.user }).await?.ok_or(Refused::Unauthenticated)?;
    if account.disabled || account.credentials_version != grant.credentials_version {
        return Err(Refused::Unauthenticated.into());
    }
    Ok(Caller::signed_in(grant.user).with_roles([account.role.as_str()]).with_session(grant.session))
}
