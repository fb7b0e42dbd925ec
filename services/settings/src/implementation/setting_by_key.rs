//! Reads a setting.

use monolite_service::{Outcome, Snapshot};

use super::declared::Declared;
use super::rows::{holding, owner};
use crate::SettingByKey;

pub(super) fn setting_by_key(s: &Snapshot<'_>, m: &SettingByKey, declared: &Declared) -> Outcome<SettingByKey> {
    holding(s, &m.key, owner(s, m.scope)?, declared)
}
