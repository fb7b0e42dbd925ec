//! The keys that every app has, and what they set.

use crate::config::{Config, ConfigError, Key, Value};
use crate::store_keys;
use monolite_http::{HttpConfig, Limits, NoProxies};
use std::collections::BTreeMap;
use std::time::Duration;

/// The standard keys, and an app's own; a later one of the same name gives only its default. Panics on a default for a
/// key that is not there: a mistake in the program.
pub(crate) fn with(own: Vec<Key>) -> Vec<Key> {
    let mut all: BTreeMap<&'static str, Key> = BTreeMap::new();
    for key in standard().into_iter().chain(store_keys::keys()).chain(own) {
        match all.get_mut(key.name) {
            Some(known) => {
                let fits = known.most.as_ref().is_none_or(|most| key.default <= *most);
                assert!(fits, "the default of {} is above what it may be", key.name);
                known.default = key.default;
            }
            None => {
                assert!(!key.about.is_empty(), "a default is given for {}, which is no key", key.name);
                all.insert(key.name, key);
            }
        }
    }
    all.into_values().collect()
}

fn standard() -> Vec<Key> {
    let archive = monolite_archive::Config::default();
    let (http, limits) = (HttpConfig::default(), Limits::default());
    let count = |number: usize| Value::Number(number as u64);
    let size = |bytes: usize| Value::Bytes(bytes as u64);
    vec![
        Key::new("server.data", "./data", "The data folder.").never_zero(),
        Key::new("server.listen", "127.0.0.1:8080", "Where requests are answered."),
        Key::new("server.admin", "127.0.0.1:8081", "Where metrics and health are answered, for operators."),
        Key::new("server.drain", limits.drain_time, "How long requests in flight may go on after SIGTERM."),
        Key::new(
            "archive.to",
            "",
            "Where each commit is archived: a folder, best on another disk; s3://BUCKET/PREFIX; off: nowhere. Unless given: archive in the data folder.",
        ),
        Key::new(
            "archive.endpoint",
            "",
            "The address of the bucket's server; unless given AWS_ENDPOINT_URL, else Amazon's.",
        ),
        Key::new("archive.region", "", "The bucket's region; unless given AWS_REGION, else us-east-1."),
        Key::new(
            "archive.credentials_file",
            "",
            "A file with the bucket's keys, readable by its owner alone, or role; unless given AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        ),
        Key::new(
            "archive.key_file",
            "",
            "A file with the key that seals the archive, readable by its owner alone; unless given it is not sealed.",
        ),
        Key::new(
            "archive.ack",
            "local",
            "When changes are answered: local (on this disk), archived, or the services that wait for the archive: A, B.",
        ),
        Key::new("archive.ack_wait", Duration::from_secs(5), "How long an answer waits for the archive.").never_zero(),
        Key::new("archive.interval", archive.interval, "From a commit to the making of the segment that holds it."),
        Key::new(
            "archive.at_bound",
            "refuse",
            "Where commits can be kept nowhere any more: refuse writes, or rebase (a gap).",
        ),
        Key::new(
            "archive.spool_max",
            Value::Bytes(archive.spool_bytes_max),
            "Bytes of one service that wait for the archive.",
        )
        .never_zero(),
        Key::new("archive.spool_age_max", archive.spool_age_max, "The greatest age of what waits for the archive.")
            .never_zero(),
        Key::new(
            "archive.base_rate",
            Value::Bytes(archive.base_bytes_per_second),
            "Bytes a second that a base copy reads.",
        )
        .never_zero(),
        Key::new(
            "archive.verify_every",
            archive.verify_every,
            "How often each service's archive is restored, checked and compared with its file; 0s: never.",
        ),
        Key::new(
            "archive.verify_rate",
            Value::Bytes(archive.verify_bytes_per_second),
            "Bytes a second that this reads.",
        )
        .never_zero(),
        Key::new(
            "archive.cut_every",
            Duration::from_secs(60),
            "How often all files' commits of one moment are recorded; 0s: never.",
        ),
        Key::new("log.filter", "warn,monolite=info", "What is logged, in the words of RUST_LOG, which beats it."),
        Key::new("log.format", "text", "text, or json lines."),
        Key::new("http.body_max", size(http.body_max), "A request's body, for routes that state no limit.")
            .never_zero(),
        Key::new("http.bodies_max", size(http.bodies_max), "All bodies together that are being read or worked on.")
            .never_zero(),
        Key::new("http.body_wait", http.body_wait, "How long a body waits for room among all bodies."),
        Key::new("http.streams_max", count(http.streams_max), "Streams of files under way at once.").never_zero(),
        Key::new("http.streams_tenant_max", count(http.streams_tenant_max), "How many of them one tenant may have.")
            .never_zero(),
        Key::new("http.body_pause", http.body_pause, "The longest pause within a body.").never_zero(),
        Key::new("http.changes_max", count(http.changes_max), "Changes of one service under way at once.").never_zero(),
        Key::new("http.writer_wait", http.writer_wait, "How long changes wait for a writer before more are refused."),
        Key::new(
            "http.trusted_proxies",
            "",
            "Proxies whose X-Forwarded-For is read: addresses, prefixes; none unless given.",
        ),
        Key::new("http.json_depth_max", count(http.json_depth_max), "Nesting of a JSON body.").never_zero(),
        Key::new("http.connections_max", count(limits.connections_max), "Connections open at once.").never_zero(),
        Key::new("http.headers_max", count(limits.headers_max), "Headers of one request.").never_zero(),
        Key::new("http.header_bytes_max", size(limits.header_bytes_max), "All headers of one request.").never_zero(),
        Key::new("http.target_bytes_max", size(limits.target_bytes_max), "Path and query of one request.").never_zero(),
        Key::new("http.header_wait", limits.header_wait, "From a connection's opening to the end of the headers.")
            .never_zero(),
        Key::new("http.request_time", limits.request_time, "From the end of the headers to the start of the answer.")
            .never_zero(),
        Key::new("http.piece_time", limits.piece_time, "In which each 64 KiB of a streamed upload must come.")
            .never_zero(),
        Key::new("http.take_time", limits.take_time, "In which each 64 KiB of an answer must be taken.").never_zero(),
        Key::new("db.rows_max", 1000_u64, "Rows that `db` prints.").never_zero(),
        Key::new("db.time_max", Duration::from_secs(10), "How long a statement of `db` may run.").never_zero(),
    ]
}

/// The edge's limits as configured.
pub(crate) fn http(config: &Config) -> Result<HttpConfig, ConfigError> {
    let count = |name: &str| config.number(name) as usize;
    let size = |name: &str| config.bytes(name) as usize;
    let name = "http.trusted_proxies";
    let wrong = |why| ConfigError(format!("{}: {name} {why}", config.origin(name)));
    let trusted_proxies = config.text(name).parse().map_err(|why: NoProxies| wrong(why))?;
    Ok(HttpConfig {
        trusted_proxies,
        limits: Limits {
            connections_max: count("http.connections_max"),
            headers_max: count("http.headers_max"),
            header_bytes_max: size("http.header_bytes_max"),
            target_bytes_max: size("http.target_bytes_max"),
            header_wait: config.time("http.header_wait"),
            request_time: config.time("http.request_time"),
            piece_time: config.time("http.piece_time"),
            take_time: config.time("http.take_time"),
            drain_time: config.time("server.drain"),
        },
        body_max: size("http.body_max"),
        bodies_max: size("http.bodies_max"),
        body_wait: config.time("http.body_wait"),
        body_pause: config.time("http.body_pause"),
        streams_max: count("http.streams_max"),
        streams_tenant_max: count("http.streams_tenant_max"),
        changes_max: count("http.changes_max"),
        writer_wait: config.time("http.writer_wait"),
        json_depth_max: count("http.json_depth_max"),
        ..HttpConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Entry, Origin};

    #[test]
    fn a_bound_that_lets_nothing_in_is_a_mistake_of_the_configuration() {
        let mut config = Config::new(with(Vec::new()));
        let (mut may_be_zero, keys) = (Vec::new(), config.entries().cloned().collect::<Vec<_>>());
        for Entry { key: Key { name, .. }, value, .. } in keys {
            match config.set(name, "0", Origin::Default) {
                Ok(()) => may_be_zero.extend((!matches!(value, Value::Text(_))).then_some(name)),
                Err(ConfigError(wrong)) => {
                    assert!(wrong.contains(name) && wrong.contains("must not be 0"), "{wrong}");
                    config.set(name, &value.to_string(), Origin::Default).unwrap();
                }
            }
        }
        // At once, none, or never: a new key is in this list only where 0 says such a thing.
        let expected = "archive.cut_every archive.interval archive.verify_every http.body_wait http.writer_wait server.drain \
                        store.gate store.inline_budget store.reader_cache store.scrub_period store.slow_log_max \
                        store.slow_read store.slow_write store.tenant_quantum store.writer_cache";
        assert_eq!(may_be_zero.join(" "), expected);
    }

    #[test]
    fn a_proxy_that_is_no_address_is_a_mistake_of_the_configuration() {
        let mut config = Config::new(with(Vec::new()));
        assert_eq!(http(&config).unwrap().trusted_proxies, "".parse().unwrap());
        let set = |config: &mut Config, text| config.set("http.trusted_proxies", text, Origin::Default);
        set(&mut config, "127.0.0.1, 10.0.0.0/8").unwrap();
        assert_eq!(http(&config).unwrap().trusted_proxies, "127.0.0.1 10.0.0.0/8".parse().unwrap());
        set(&mut config, "proxy.example").unwrap();
        let wrong = http(&config).unwrap_err().0;
        assert!(wrong.contains("http.trusted_proxies") && wrong.contains("proxy.example"), "{wrong}");
    }
}
