//! What callers depend on: the messages of Settings and their types. No SQL, no HTTP.

mod scope;
mod set_setting;
mod setting;
mod setting_by_key;

pub use scope::{Origin, Scope};
pub use set_setting::{SetSetting, VALUE_BYTES_MAX};
pub use setting::Setting;
pub use setting_by_key::SettingByKey;
