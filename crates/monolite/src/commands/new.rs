//! `new`: a project with one service, its SQL and a test.
//!
//! **Invariants**
//! - Nothing that is there is changed; a project is made whole or, where that fails, taken away again.

use crate::context::Context;
use crate::verb::{Result, Usage, Verb};
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};

/// Files of a new project; `{{name}}` and `{{checkout}}` are filled in.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../../templates/new/Cargo.toml.in")),
    ("README.md", include_str!("../../templates/new/README.md.in")),
    ("src/main.rs", include_str!("../../templates/new/src/main.rs.in")),
    ("src/notes.rs", include_str!("../../templates/new/src/notes.rs.in")),
    ("migrations/0001_notes.sql", include_str!("../../templates/new/migrations/0001_notes.sql")),
];

/// Files taken from the checkout: the options SQLite is compiled with, and the versions that were tested together.
const COPIED: [&str; 2] = [".cargo/config.toml", "Cargo.lock"];

/// Names that are no good for a package, though they look like one.
const TAKEN: [&str; 8] = ["monolite", "test", "core", "std", "alloc", "notes", "serde", "schemars"];

/// Make a project: one service, its SQL and a test
///
/// The project depends on the checkout of Monolite that this executable was built from, by its path.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// The project's name; its folder is made here
    name: String,
    /// A checkout of Monolite elsewhere
    #[arg(long, value_name = "DIR")]
    checkout: Option<PathBuf>,
}

impl Verb for New {
    const NAME: &'static str = "new";

    fn run(self, context: &Context) -> Result {
        let checkout = checkout(self.checkout)?;
        if !is_package_name(&self.name) {
            return Err(Usage(format!(
                "{:?} is no name for a project: lower-case letters, digits, - and _, beginning with a letter, and no word of Rust",
                self.name
            ))
            .into());
        }
        let folder = PathBuf::from(&self.name);
        if folder.exists() {
            return Err(Usage(format!("{} is there already; choose another name", folder.display())).into());
        }
        std::fs::create_dir(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        if let Err(e) = fill(&folder, &self.name, &checkout) {
            let _ = std::fs::remove_dir_all(&folder);
            return Err(e);
        }
        context.output().line(&self.name)?;
        context.note(format!("made {0}; now: cd {0} && cargo run -- serve", self.name));
        Ok(())
    }
}

fn checkout(named: Option<PathBuf>) -> Result<PathBuf> {
    let built_from = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let folder = named.unwrap_or_else(built_from);
    if !folder.join("crates/monolite/Cargo.toml").exists() {
        bail!("there is no checkout of Monolite in {}; say where with --checkout", folder.display());
    }
    Ok(folder.canonicalize()?)
}

fn fill(folder: &Path, name: &str, checkout: &Path) -> Result {
    let path = checkout.to_str().context("the checkout's path is not UTF-8")?;
    if path.contains(['"', '\\']) {
        bail!("the checkout's path {path} cannot be written into Cargo.toml");
    }
    let write = |file: &str, text: &[u8]| -> Result {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    for (file, template) in FILES {
        write(file, template.replace("{{name}}", name).replace("{{checkout}}", path).as_bytes())?;
    }
    for file in COPIED {
        let from = checkout.join(file);
        write(file, &std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?)?;
    }
    write(".gitignore", b"/target\n/data\n")
}

fn is_package_name(name: &str) -> bool {
    const WORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn for \
                         gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super \
                         trait true try type typeof unsafe unsized use virtual where while yield build deps examples incremental";
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        && !TAKEN.contains(&name)
        && !WORDS.split_ascii_whitespace().any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_would_refuse_are_refused() {
        for good in ["shop", "my-shop", "shop_2"] {
            assert!(is_package_name(good), "{good}");
        }
        for bad in ["", "Shop", "2shop", "../x", "a b", "self", "monolite", "é", "x\"y"] {
            assert!(!is_package_name(bad), "{bad}");
        }
    }
}
