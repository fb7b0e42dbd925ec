//! The keys of the stores: each names a field of the store's configuration, whose default is its own.
//!
//! **Invariants**
//! - A key that nobody set leaves what the service itself asked for.

use crate::config::{Config, ConfigError, Key, Origin, Value};
use crate::weights;
use monolite_store as store;
use std::time::Duration;

/// Where a value goes.
enum Field {
    Count(fn(&mut store::Config) -> &mut usize),
    Number(fn(&mut store::Config) -> &mut u64),
    Bytes(fn(&mut store::Config) -> &mut u64),
    Time(fn(&mut store::Config) -> &mut Duration),
}

use Field::{Bytes, Count, Number, Time};

/// A key, and where its value goes.
struct Setting {
    name: &'static str,
    field: Field,
    about: &'static str,
    never_zero: bool,
}

/// A key for which 0 says something: at once, none, never.
const fn any(name: &'static str, field: Field, about: &'static str) -> Setting {
    Setting { name, field, about, never_zero: false }
}

/// A key for which 0 is a mistake.
const fn never_zero(name: &'static str, field: Field, about: &'static str) -> Setting {
    Setting { name, field, about, never_zero: true }
}

const KEYS: &[Setting] = &[
    never_zero("store.deadline", Time(|c| &mut c.deadline), "How long a call may take that says nothing."),
    never_zero("store.queue_max", Count(|c| &mut c.queue_max), "Writes waiting for one service's writer."),
    never_zero(
        "store.tenant_queue_max",
        Count(|c| &mut c.tenant_queue_max),
        "Writes of one tenant waiting for one service's writer.",
    ),
    any(
        "store.tenant_quantum",
        Time(|c| &mut c.tenant_quantum),
        "Writer time that one of several tenants adds to a group.",
    ),
    never_zero("store.group_writes_max", Count(|c| &mut c.group_writes_max), "Writes that share one commit."),
    never_zero("store.group_rows_max", Number(|c| &mut c.group_rows_max), "Changed rows that share one commit."),
    never_zero(
        "store.group_time_max",
        Time(|c| &mut c.group_time_max),
        "Writer time of the writes that share one commit; up to four times as much where commits take long.",
    ),
    any("store.inline_budget", Time(|c| &mut c.inline_budget), "CPU time of a read on the caller's thread."),
    any("store.gate", Bytes(|c| &mut c.gate_bytes), "A read that announces a larger value moves to the slow lane."),
    never_zero("store.slow_time_max", Time(|c| &mut c.slow_time_max), "Time of a read in the slow lane."),
    never_zero(
        "store.slow_tenant_queue_max",
        Count(|c| &mut c.slow_tenant_queue_max),
        "Reads of one tenant waiting for the slow lane.",
    ),
    never_zero(
        "store.slow_queue_max",
        Count(|c| &mut c.slow_queue_max),
        "Reads of one service waiting for the slow lane.",
    ),
    any(
        "store.scrub_period",
        Time(|c| &mut c.scrub_period),
        "Each page of each file is read and checked once in so long; 0s: never.",
    ),
    never_zero(
        "store.blocking_reads_max",
        Count(|c| &mut c.blocking_reads_max),
        "Blocking reads of one service that run beyond the inline budget.",
    ),
    never_zero("store.cuts_max", Count(|c| &mut c.cuts_max), "Open cuts with a snapshot of one service's file."),
    any("store.slow_log_max", Count(|c| &mut c.slow_log_max), "Entries of one service's slow log."),
    any("store.slow_write", Time(|c| &mut c.slow_write), "A write that holds the writer longer is logged."),
    any("store.slow_read", Time(|c| &mut c.slow_read), "A read that takes longer is logged."),
    any("store.reader_cache", Bytes(|c| &mut c.reader_cache_bytes), "Page cache of a reading connection."),
    any("store.writer_cache", Bytes(|c| &mut c.writer_cache_bytes), "Page cache of a writing connection."),
    never_zero("store.wal_soft", Bytes(|c| &mut c.wal_soft_bytes), "A checkpoint begins at this size of the WAL."),
    never_zero(
        "store.wal_hard",
        Bytes(|c| &mut c.wal_hard_bytes),
        "Slow reads that keep the WAL above this size are ended.",
    ),
    never_zero("store.value_max", Bytes(|c| &mut c.value_max), "The largest single value of a row."),
    never_zero("store.quick_rows_max", Number(|c| &mut c.quick_rows_max), "Rows that a quick migration may touch."),
];

/// The keys.
pub(crate) fn keys() -> impl Iterator<Item = Key> {
    let mut default = store::Config::default();
    KEYS.iter()
        .map(move |setting| {
            let value = match &setting.field {
                Count(of) => Value::Number(*of(&mut default) as u64),
                Number(of) => Value::Number(*of(&mut default)),
                Bytes(of) => Value::Bytes(*of(&mut default)),
                Time(of) => Value::from(*of(&mut default)),
            };
            Key { never_zero: setting.never_zero, ..Key::new(setting.name, value, setting.about) }
        })
        .chain([weights::key()])
}

/// Refuses a WAL whose end to slow reads comes before its checkpoint.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    let (soft, hard) = ("store.wal_soft", "store.wal_hard");
    if config.bytes(soft) < config.bytes(hard) {
        return Ok(());
    }
    let set = if *config.origin(soft) == Origin::Default { hard } else { soft };
    let value = |name| config.entries().find(|entry| entry.key.name == name).map(|entry| entry.value.to_string());
    let (small, large) = (value(soft).unwrap_or_default(), value(hard).unwrap_or_default());
    let why = format!("{soft} ({small}) must be less than {hard} ({large}), at which slow reads are ended");
    Err(ConfigError(format!("{}: {why}", config.origin(set))))
}

/// A store's limits as configured.
pub(crate) fn store(config: &Config, mut store: store::Config) -> store::Config {
    for Setting { name, field, .. } in KEYS.iter().filter(|key| *config.origin(key.name) != Origin::Default) {
        match field {
            Count(of) => *of(&mut store) = config.number(name) as usize,
            Number(of) => *of(&mut store) = config.number(name),
            Bytes(of) => *of(&mut store) = config.bytes(name),
            Time(of) => *of(&mut store) = config.time(name),
        }
    }
    let weights = weights::weights(config);
    if !weights.is_empty() {
        store.tenant_weights = weights;
    }
    store
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn a_checkpoint_comes_before_the_end_of_slow_reads() {
        let mut config = Config::new(keys().collect::<Vec<_>>());
        check(&config).unwrap();
        config.set("store.wal_soft", "2GiB", Origin::Flag("--set store.wal_soft".into())).unwrap();
        let wrong = check(&config).unwrap_err().0;
        assert!(wrong.starts_with("flag --set store.wal_soft: store.wal_soft (2GiB) must be less"), "{wrong}");
        config.set("store.wal_hard", "3GiB", Origin::Default).unwrap();
        check(&config).unwrap();
    }

    #[test]
    fn each_key_reaches_its_own_field_and_leaves_the_others() {
        for Setting { name, field, .. } in KEYS {
            let set = match field {
                Count(_) | Number(_) => "77",
                Bytes(_) => "77KiB",
                Time(_) => "77ms",
            };
            let flags = vec![((*name).to_owned(), set.to_owned(), "--set".to_owned())];
            let sources = Sources { file: None, environment: Vec::new(), flags };
            let config = Config::new(keys().collect::<Vec<_>>()).load(&sources).expect("is a good value");
            let mut changed = store(&config, store::Config::default());
            let differing: Vec<&str> = KEYS
                .iter()
                .filter(|key| {
                    let mut default = store::Config::default();
                    match &key.field {
                        Count(of) => of(&mut changed) != of(&mut default),
                        Number(of) | Bytes(of) => of(&mut changed) != of(&mut default),
                        Time(of) => of(&mut changed) != of(&mut default),
                    }
                })
                .map(|key| key.name)
                .collect();
            assert_eq!(differing, [*name]);
        }
    }
}
