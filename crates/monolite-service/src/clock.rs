//! Time: the one injected clock, and the unit that files and messages use.
//!
//! **Invariants**
//! - This is the only place that reads the wall clock.
//! - Deadlines and budgets are monotonic (`Instant`) and do not come from here.

use monolite_store::rusqlite::ToSql;
use monolite_store::rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment: unix milliseconds. INTEGER in files, a number in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// How long after an earlier moment this is; zero if it is not after.
    pub fn since(self, earlier: Millis) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn whole_millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Millis {
    type Output = Millis;
    fn add(self, later: Duration) -> Millis {
        Millis(self.0.saturating_add(whole_millis(later)))
    }
}

impl Sub<Duration> for Millis {
    type Output = Millis;
    fn sub(self, earlier: Duration) -> Millis {
        Millis(self.0.saturating_sub(whole_millis(earlier)))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ToSql for Millis {
    fn to_sql(&self) -> monolite_store::rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Millis {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Millis)
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// This moment.
    fn now(&self) -> Millis;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place
    fn now(&self) -> Millis {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Millis(since_1970.map_or(0, whole_millis))
    }
}
