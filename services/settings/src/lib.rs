//! Settings: JSON values by key, for each user and for the whole system. The only owner of `Settings.db`.
//!
//! A program declares its keys with their defaults ([`Declared`]); other keys are not found. A user's value is their
//! own, else the system's, else the default. Users read all and set their own; the system's are set by admins.
//!
//! **Invariants**
//! - A version names one value for good: no two values, of whatever user, ever had the same. So an `If-Match` that
//!   passes means that exactly what was read is being replaced, also where what was read was the system's value.
//! - Values are kept and answered byte for byte as they were set, but for the blanks around them.
//!
//! Absent on purpose: the program's own configuration (ports, folders), types of values, HTTP.
//!
//! ```
//! let service = monolite_settings::Declared::new()
//!     .declare("theme", "light")
//!     .declare("page.rows", 50)
//!     .service();
//! assert_eq!(service.name, "Settings");
//! ```

mod contract;
mod implementation;

pub use contract::*;
pub use implementation::{Declared, service};
