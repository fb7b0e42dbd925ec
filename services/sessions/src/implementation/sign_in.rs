//! Signs in: takes a try, verifies at Users, draws a token, then begins the session.

use monolite_service::{Error, Flow, Outcome, Translate, Tx, UserId, message, params};
use monolite_users::VerifyPassword;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::tries::{self, GiveBack, MayTry, TakeTry, Taken};
use crate::{Session, SignIn, SignInRefused, SignedIn, Token, TokenHash};

pub(super) const BEGIN: &str = "INSERT INTO sessions(token_hash, id, user_id, credentials_version, last_seen_at, expires_at, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5)";
pub(super) const END_DEAD: &str =
    "DELETE FROM sessions WHERE user_id = ?1 AND (expires_at <= ?2 OR credentials_version < ?3)";
pub(super) const END_UNUSED: &str = "DELETE FROM sessions WHERE user_id = ?1 AND id IN \
     (SELECT id FROM sessions WHERE user_id = ?1 ORDER BY last_seen_at DESC, id DESC LIMIT -1 OFFSET ?2)";

/// The second half of signing in. Never served: whoever sends it has verified the user.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct BeginSession {
    token: TokenHash,
    user: UserId,
    credentials_version: u64,
    taken: Option<Taken>,
}

message!(BeginSession => Session);

/// The look-ups before the password are not counted in the answer's `Server-Timing`: they differ by what is known of an
/// account and a place.
pub(super) async fn sign_in(f: Flow, m: SignIn) -> Outcome<SignIn> {
    let taken = take_try(&f.uncounted(), &m.email).await?;
    let verified = match f.call(VerifyPassword { email: m.email, password: m.password }).await {
        Ok(verified) => verified,
        Err(Error::Refused(wrong)) => return Err(SignInRefused::from(wrong).into()),
        Err(Error::Failed(failure)) => {
            // No password was looked at: the try does not count.
            if let Some(taken) = taken {
                let _ = f.call(GiveBack { taken }).await;
            }
            return Err(failure.into());
        }
    };
    let token = Token::random()?;
    let begin = BeginSession {
        token: token.hash(),
        user: verified.user.id,
        credentials_version: verified.credentials_version,
        taken,
    };
    let session = f.call(begin).await.refused(|_| SignInRefused::WrongCredentials)?;
    Ok(SignedIn { token: token.into_secret(), session, user: verified.user })
}

/// Takes a try for whoever comes from outside. It is looked for first, so that a flood of tries beyond the bounds is
/// answered without a write. From here on it counts unless the flow says otherwise: also where the client goes away or the
/// time is over, else whoever hangs up would have hashes for nothing.
async fn take_try(f: &Flow, email: &str) -> Result<Option<Taken>, Error<SignInRefused>> {
    if f.caller().is_system() {
        return Ok(None);
    }
    let trying = f.call(MayTry { email: email.to_owned(), address: f.caller().address() }).await?;
    Ok(Some(f.call(TakeTry { trying }).await?))
}

pub(super) fn begin_session(tx: &Tx<'_>, m: BeginSession, config: &Config) -> Outcome<BeginSession> {
    if let Some(taken) = m.taken {
        tries::succeeded(tx, taken, config)?;
    }
    let now = tx.now();
    let session = Session {
        id: tx.id(),
        user_id: m.user,
        created_at: now,
        last_seen_at: now,
        expires_at: config.absolute_end(now),
    };
    tx.run(END_DEAD, params![m.user, now, m.credentials_version])?;
    tx.run(END_UNUSED, params![m.user, config.per_user_max.saturating_sub(1)])?;
    tx.run(BEGIN, params![m.token.as_bytes(), session.id, m.user, m.credentials_version, now, session.expires_at])?;
    Ok(session)
}
