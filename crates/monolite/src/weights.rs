//! The key of tenants' weights: who has more than one share of the writers.

use crate::config::{Config, ConfigError, Key};
use monolite_store::Tenant;
use std::collections::HashMap;

const NAME: &str = "store.tenant_weights";
/// The greatest weight.
const WEIGHT_MAX: u32 = 1000;

pub(crate) fn key() -> Key {
    Key::new(NAME, "", "Shares of tenants, named as in the log: `system=4 00c0ffee00c0ffee=2`; 1 for all others.")
}

/// The weights as configured, after `check`.
pub(crate) fn weights(config: &Config) -> HashMap<Tenant, u32> {
    parse(config.text(NAME)).unwrap_or_default()
}

/// Refuses a text that is no list of weights.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    parse(config.text(NAME)).map(drop).map_err(|wrong| {
        let origin = config.origin(NAME);
        let such = format!("a list such as system=4 00c0ffee00c0ffee=2, of weights from 1 to {WEIGHT_MAX}");
        ConfigError(format!("{origin}: {NAME} is {such}; {wrong} is none"))
    })
}

fn parse(text: &str) -> Result<HashMap<Tenant, u32>, String> {
    let one = |part: &str| {
        let (tenant, weight) = part.split_once('=')?;
        let tenant = if tenant == "system" { 0 } else { u64::from_str_radix(tenant, 16).ok()? };
        let weight = weight.parse().ok().filter(|weight| (1..=WEIGHT_MAX).contains(weight))?;
        Some((Tenant(tenant), weight))
    };
    text.split_whitespace().map(|part| one(part).ok_or_else(|| part.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_given_as_tenants_are_shown() {
        let found = parse("system=4  00c0ffee00c0ffee=2").unwrap();
        assert_eq!(found, HashMap::from([(Tenant(0), 4), (Tenant(0x00c0_ffee_00c0_ffee), 2)]));
        assert!(parse("").unwrap().is_empty());
        for wrong in ["ann=2", "system", "system=0", "system=1001", "1=2,3=4"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
