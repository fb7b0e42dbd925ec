//! The three layers: a file, the environment, flags; each overrides the one before.

use super::{Config, ConfigError, Origin, wrong_value};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file that is read where it exists and no other is named.
const FILE: &str = "monolite.toml";
/// What an environment variable of ours begins with.
const PREFIX: &str = "MONOLITE__";
/// What one begins with that was perhaps to be one of those.
const NEAR: &str = "MONOLITE_";
/// A configuration file larger than this is none.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the layers are read from.
#[derive(Debug, Default)]
pub struct Sources {
    /// A file named by a flag; it must exist.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Keys set by flags, each with the flag as it was written.
    pub flags: Vec<(String, String, String)>,
}

impl Sources {
    /// Whether a variable of this name sets a key.
    pub(crate) fn reads(variable: &str) -> bool {
        variable.starts_with(PREFIX)
    }
}

impl Config {
    /// Lays the sources over the defaults.
    pub fn load(mut self, sources: &Sources) -> Result<Config, ConfigError> {
        match &sources.file {
            Some(path) => self.lay_file(path)?,
            // A link that leads nowhere is a file that cannot be read, not one that is not there.
            None if Path::new(FILE).symlink_metadata().is_ok() => self.lay_file(Path::new(FILE))?,
            None => {}
        }
        for (name, text) in &sources.environment {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                let key = rest.to_ascii_lowercase().replace("__", ".");
                self.set(&key, text, Origin::Environment(name.clone()))?;
            }
        }
        for (key, text, flag) in &sources.flags {
            self.set(key, text, Origin::Flag(flag.clone()))?;
        }
        Ok(self)
    }

    /// Variables of the environment that miss a key by their underscores, each with what is to be said of it. They may be another
    /// program's, so they are no error; what resembles no key surely is another's.
    pub(crate) fn strays(&self, sources: &Sources) -> Vec<String> {
        let own = |name: &str| format!("{PREFIX}{}", name.to_ascii_uppercase().replace('.', "__"));
        let stray = |name: &str| {
            let upper = name.to_ascii_uppercase();
            let rest = upper.strip_prefix(NEAR).filter(|_| !Sources::reads(name))?;
            let typed = rest.to_ascii_lowercase().replace("__", "_");
            let typed = typed.trim_start_matches('_');
            let meant = self.entries().find(|entry| entry.key.name.replace('.', "_") == typed)?;
            Some(format!("environment {name} sets nothing; did you mean {}?", own(meant.key.name)))
        };
        sources.environment.iter().filter_map(|(name, _)| stray(name)).collect()
    }

    fn lay_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let shown = path.display().to_string();
        let cannot = |e: &dyn std::fmt::Display| ConfigError(format!("cannot read the configuration {shown}: {e}"));
        // What it says of its length is no bound: a device or a pipe says 0.
        let mut text = String::new();
        let file = File::open(path).map_err(|e| cannot(&e))?;
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| cannot(&e))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(cannot(&"it is larger than 1 MiB"));
        }
        let table = DeTable::parse(&text).map_err(|e| cannot(&e))?;
        let origin = |at: usize| Origin::File(shown.clone(), 1 + text[..at].matches('\n').count());
        for (section, inner) in table.get_ref() {
            let DeValue::Table(keys) = inner.get_ref() else {
                return Err(self.unknown(section.get_ref(), &origin(section.span().start)));
            };
            for (key, value) in keys {
                let name = format!("{}.{}", section.get_ref(), key.get_ref());
                let at = origin(key.span().start);
                self.find(&name, &at)?;
                let text =
                    scalar(value).ok_or_else(|| wrong_value(&at, &name, "must be one value, not a list or table"))?;
                self.set(&name, &text, at)?;
            }
        }
        Ok(())
    }
}

fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    Some(match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Key, Value};
    use std::time::Duration;

    fn config() -> Config {
        Config::new([
            Key::new("server.listen", "127.0.0.1:8080", ""),
            Key::new("server.drain", Duration::from_secs(30), ""),
            Key::new("http.connections_max", 4096_u64, ""),
        ])
    }

    fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(&path, file).unwrap();
        let own = |s: &str| s.to_owned();
        config().load(&Sources {
            file: Some(path),
            environment: environment.iter().map(|(k, v)| (own(k), own(v))).collect(),
            flags: flags.iter().map(|(k, v)| (own(k), own(v), format!("--{k}"))).collect(),
        })
    }

    #[test]
    fn flags_beat_the_environment_and_that_beats_the_file() {
        let file = "[server]\nlisten = \"1.1.1.1:1\"\ndrain = 5\n\n[http]\nconnections_max = 1_000\n";
        let all =
            load(file, &[("MONOLITE__SERVER__LISTEN", "2.2.2.2:2"), ("PATH", "x")], &[("server.listen", "3.3.3.3:3")]);
        let all = all.unwrap();
        assert_eq!(all.text("server.listen"), "3.3.3.3:3");
        assert_eq!(all.origin("server.listen").to_string(), "flag --server.listen");
        assert_eq!(all.time("server.drain"), Duration::from_secs(5));
        assert_eq!(all.number("http.connections_max"), 1000);
        assert!(all.origin("http.connections_max").to_string().ends_with("x.toml:6"));
        let none = config().load(&Sources::default()).unwrap();
        assert_eq!(none.origin("server.drain"), &Origin::Default);
        assert_eq!(none.entries().count(), 3);
        assert_eq!(none.entries().next().unwrap().value, Value::Number(4096));
    }

    #[test]
    fn what_is_near_a_key_in_the_environment_is_told_and_hinders_nobody() {
        let names =
            ["MONOLITE_HTTP_CONNECTIONS_MAX", "MONOLITE_HTTP__CONNECTIONS_MAX", "MONOLITE_WEED", "MONOLITHIC", "PATH"];
        let environment = names.map(|name| (name.to_owned(), "1".to_owned())).into();
        let sources = Sources { environment, ..Sources::default() };
        let config = config().load(&sources).unwrap();
        assert_eq!(config.number("http.connections_max"), 4096);
        let strays = config.strays(&sources);
        assert_eq!(strays.len(), 2, "{strays:?}");
        for (name, stray) in names.iter().zip(&strays) {
            assert!(stray.contains(name) && stray.contains("mean MONOLITE__HTTP__CONNECTIONS_MAX?"), "{stray}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it_and_its_neighbour() {
        let check = |result: Result<Config, ConfigError>, parts: &[&str]| {
            let text = result.unwrap_err().0;
            assert!(parts.iter().all(|p| text.contains(p)), "{text}");
        };
        check(
            load("\n[server]\nlisten_on = 1", &[], &[]),
            &["x.toml:3", "server.listen_on", "did you mean server.listen?"],
        );
        check(load("listen = 1", &[], &[]), &["x.toml:1", "unknown configuration key listen", "server.listen"]);
        check(load("[zzzz]\nqq = 1", &[], &[]), &["zzzz.qq", "config print"]);
        let typo = [("MONOLITE__SERVER__LISTN", "x")];
        check(load("", &typo, &[]), &["environment MONOLITE__SERVER__LISTN", "server.listen?"]);
        check(load("", &[], &[("server.drain", "soon")]), &["--server.drain", "30s"]);
        check(load("[server]\ndrain = [1]", &[], &[]), &["server.drain", "not a list"]);
        check(load("[server\n", &[], &[]), &["cannot read the configuration", "line 1"]);
    }
}
