//! Refusals: what a service says when it says no and nothing changed.
//!
//! **Invariants**
//! - A refusal's code is stable: programs branch on it; the detail is for people.
//! - No HTTP here: the edge maps kinds to statuses.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::time::Duration;

/// The sort of a refusal; it says what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The message is wrong.
    Invalid,
    /// Somebody must be signed in.
    Unauthenticated,
    /// This caller may not.
    Forbidden,
    /// There is no such thing, or not for this caller.
    NotFound,
    /// It does not fit with what is there.
    Conflict,
    /// The caller's version is not the current one: a precondition failed.
    Stale,
    /// It is too large.
    TooLarge,
    /// It was tried too often; [`Refusal::retry_after`] says when to come back.
    TooMany,
}

/// A service's own no. Made by [`refusal!`](crate::refusal); [`Refused`] is the stock one.
pub trait Refusal: Serialize + DeserializeOwned + JsonSchema + Debug + Send + 'static {
    /// The sort of refusal.
    fn kind(&self) -> RefusalKind;

    /// The stable code; by default the variant's name in snake case.
    fn code(&self) -> Cow<'static, str> {
        variant_in_snake_case(self).into()
    }

    /// The text for people; by default the code with spaces.
    fn detail(&self) -> String {
        self.code().replace('_', " ")
    }

    /// When trying again makes sense, where the kind is [`RefusalKind::TooMany`].
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// The wrong fields, where the kind is [`RefusalKind::Invalid`].
    fn fields(&self) -> &[FieldError] {
        &[]
    }
}

/// One wrong field of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// The field's name, dotted for inner ones: `ingredients[2].grams`.
    pub field: String,
    /// What is wrong with it: `is empty`.
    pub detail: String,
}

impl FieldError {
    /// A wrong field, and what is wrong with it.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        FieldError { field: field.into(), detail: detail.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.detail) } else { write!(f, "{} {}", self.field, self.detail) }
    }
}

/// The stock refusal, for services whose callers need not branch on more than the kind and the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refused {
    /// There is no such thing, or not for this caller.
    NotFound {
        /// What was looked for: `recipe`.
        what: String,
    },
    /// It does not fit with what is there.
    Conflict {
        /// The stable code: `title_taken`.
        code: String,
    },
    /// This caller may not.
    Forbidden {
        /// Why not.
        why: String,
    },
    /// The message is wrong.
    Invalid {
        /// Where.
        fields: Vec<FieldError>,
    },
    /// Somebody must be signed in.
    Unauthenticated,
    /// The caller's version is not the current one.
    Stale,
    /// It is too large.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It was tried too often.
    TooMany {
        /// The stable code: `too_many_tries`.
        code: String,
        /// When one more is let in.
        retry_after_ms: u64,
    },
}

impl Refused {
    /// There is no such thing, or not for this caller: `not_found("recipe")`.
    pub fn not_found(what: impl Into<String>) -> Self {
        Refused::NotFound { what: what.into() }
    }
    /// It does not fit with what is there; the code is stable: `conflict("title_taken")`.
    pub fn conflict(code: impl Into<String>) -> Self {
        Refused::Conflict { code: code.into() }
    }
    /// This caller may not, and why.
    pub fn forbidden(why: impl Into<String>) -> Self {
        Refused::Forbidden { why: why.into() }
    }
    /// One field is wrong, and what is wrong with it.
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Refused::Invalid { fields: vec![FieldError::new(field, why)] }
    }
    /// Somebody must be signed in; also the answer to wrong credentials.
    pub fn unauthenticated() -> Self {
        Refused::Unauthenticated
    }
    /// The caller's version is not the current one.
    pub fn stale() -> Self {
        Refused::Stale
    }
    /// It is larger than this many bytes.
    pub fn too_large(limit: u64) -> Self {
        Refused::TooLarge { limit }
    }
    /// It was tried too often, and is let in again after this time; the code is stable: `too_many("too_many_tries", ..)`.
    pub fn too_many(code: impl Into<String>, wait: Duration) -> Self {
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Refused::TooMany { code: code.into(), retry_after_ms }
    }
}

impl Refusal for Refused {
    fn kind(&self) -> RefusalKind {
        match self {
            Refused::NotFound { .. } => RefusalKind::NotFound,
            Refused::Conflict { .. } => RefusalKind::Conflict,
            Refused::Forbidden { .. } => RefusalKind::Forbidden,
            Refused::Invalid { .. } => RefusalKind::Invalid,
            Refused::Unauthenticated => RefusalKind::Unauthenticated,
            Refused::Stale => RefusalKind::Stale,
            Refused::TooLarge { .. } => RefusalKind::TooLarge,
            Refused::TooMany { .. } => RefusalKind::TooMany,
        }
    }
    fn code(&self) -> Cow<'static, str> {
        match self {
            Refused::NotFound { what } => format!("{}_not_found", what.replace(' ', "_")).into(),
            Refused::Conflict { code } | Refused::TooMany { code, .. } => code.clone().into(),
            Refused::Forbidden { .. } => "forbidden".into(),
            Refused::Invalid { .. } => "invalid".into(),
            Refused::Unauthenticated => "unauthenticated".into(),
            Refused::Stale => "stale".into(),
            Refused::TooLarge { .. } => "too_large".into(),
        }
    }
    fn detail(&self) -> String {
        match self {
            Refused::NotFound { what } => format!("no such {what}"),
            Refused::Conflict { code } | Refused::TooMany { code, .. } => code.replace('_', " "),
            Refused::Forbidden { why } => why.clone(),
            Refused::Invalid { .. } => "the request is not valid".into(),
            Refused::Unauthenticated => "sign in first".into(),
            Refused::Stale => "it has changed since; read it again".into(),
            Refused::TooLarge { limit } => format!("it is larger than {limit} bytes"),
        }
    }
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Refused::TooMany { retry_after_ms, .. } => Some(Duration::from_millis(*retry_after_ms)),
            _ => None,
        }
    }
    fn fields(&self) -> &[FieldError] {
        match self {
            Refused::Invalid { fields } => fields,
            _ => &[],
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail())
    }
}

/// Makes an enum a [`Refusal`]: `refusal!(NoStock, |r| match r { NoStock::UnknownSku => RefusalKind::NotFound, .. });`
///
/// The code is the variant's name in snake case (`unknown_sku`).
#[macro_export]
macro_rules! refusal {
    ($r:ty, $kind:expr $(,)?) => {
        impl $crate::Refusal for $r {
            fn kind(&self) -> $crate::RefusalKind {
                let kind: fn(&$r) -> $crate::RefusalKind = $kind;
                kind(self)
            }
        }
    };
}

/// `OutOfStock { left: 2 }` by its serialised form: `out_of_stock`.
fn variant_in_snake_case<T: Serialize>(refusal: &T) -> String {
    let name = match serde_json::to_value(refusal) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(o)) => o.into_iter().next().map(|(name, _)| name).unwrap_or_default(),
        _ => String::new(),
    };
    let mut code = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_uppercase() && !code.is_empty() && !code.ends_with('_') {
            code.push('_');
        }
        code.extend(c.to_lowercase());
    }
    if code.is_empty() { "refused".into() } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    enum NoStock {
        UnknownSku,
        OutOfStock { left: u32 },
        Other(u32),
    }
    crate::refusal!(NoStock, |r| match r {
        NoStock::UnknownSku => RefusalKind::NotFound,
        _ => RefusalKind::Conflict,
    });

    #[test]
    fn codes_are_the_variants_names_in_snake_case() {
        let code = |r: NoStock| r.code().into_owned();
        assert_eq!(code(NoStock::UnknownSku), "unknown_sku");
        assert_eq!(code(NoStock::OutOfStock { left: 2 }), "out_of_stock");
        assert_eq!(code(NoStock::Other(1)), "other");
        assert_eq!(NoStock::UnknownSku.detail(), "unknown sku");
    }

    #[test]
    fn the_stock_refusals_have_stable_codes() {
        let codes = [
            (Refused::not_found("recipe"), RefusalKind::NotFound, "recipe_not_found"),
            (Refused::conflict("title_taken"), RefusalKind::Conflict, "title_taken"),
            (Refused::forbidden("why"), RefusalKind::Forbidden, "forbidden"),
            (Refused::too_many("too_many_tries", Duration::from_secs(1)), RefusalKind::TooMany, "too_many_tries"),
            (Refused::invalid("title", "is empty"), RefusalKind::Invalid, "invalid"),
            (Refused::unauthenticated(), RefusalKind::Unauthenticated, "unauthenticated"),
            (Refused::stale(), RefusalKind::Stale, "stale"),
            (Refused::too_large(7), RefusalKind::TooLarge, "too_large"),
        ];
        for (refused, kind, code) in codes {
            assert_eq!((refused.kind(), refused.code().as_ref()), (kind, code));
            let back: Refused = serde_json::from_str(&serde_json::to_string(&refused).unwrap()).unwrap();
            assert_eq!(back, refused);
        }
    }
}
