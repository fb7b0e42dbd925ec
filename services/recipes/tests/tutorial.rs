//! Keeps `docs/guide/tutorial.md` equal to this crate: the page's blocks, in order, are the files, whole.
//!
//! The page builds a project of one's own, so what it imports has other names there; nothing else differs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file as the page names it, and as it is here.
const FILES: [(&str, &str); 6] = [
    ("migrations/0001_recipes.sql", "migrations/0001_recipes.sql"),
    ("src/contract.rs", "src/contract.rs"),
    ("src/implementation.rs", "src/implementation.rs"),
    ("src/lib.rs", "src/lib.rs"),
    ("tests/book.rs", "tests/book.rs"),
    ("src/main.rs", "examples/cookbook.rs"),
];

/// What is imported here, and its name in the page's project.
const NAMES: [(&str, &str); 3] =
    [("monolite_service", "monolite"), ("monolite_testkit", "monolite::testing"), ("monolite_recipes", "cookbook")];

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn lines_with_text(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// The lines of all blocks that follow a comment `<!-- file -->`, by file.
fn blocks(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut file, mut inside) = (None, false);
    for line in page.lines() {
        match line.strip_prefix("<!-- ").and_then(|l| l.strip_suffix(" -->")) {
            Some(name) => file = Some(name.to_owned()),
            None if line.starts_with("```") => {
                if inside {
                    file = None;
                }
                inside = !inside;
            }
            None => {
                if let (true, Some(name)) = (inside, &file) {
                    files.entry(name.clone()).or_default().extend(lines_with_text(line));
                }
            }
        }
    }
    files
}

#[test]
fn the_tutorial_builds_this_crate() {
    let shown = blocks(&read(&here().join("../../docs/guide/tutorial.md")));
    for (file, here_is) in FILES {
        let text = NAMES.iter().fold(read(&here().join(here_is)), |text, (ours, theirs)| text.replace(ours, theirs));
        let written = lines_with_text(&text);
        let shown = shown.get(file).unwrap_or_else(|| panic!("the tutorial does not show {file}"));
        for (n, (shown, written)) in shown.iter().zip(&written).enumerate() {
            assert_eq!(shown, written, "{file}, line {} with text: tutorial (left) and crate (right) differ", n + 1);
        }
        assert_eq!(shown.len(), written.len(), "{file}: the tutorial shows not all of it, or too much");
    }
}

#[test]
fn the_whole_crate_is_in_the_tutorial_and_is_as_short_as_it_says() {
    let mut sources: Vec<String> = std::fs::read_dir(here().join("src"))
        .unwrap()
        .map(|entry| format!("src/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    sources.sort();
    assert_eq!(
        sources,
        FILES[1..4].iter().map(|(_, file)| *file).collect::<Vec<_>>(),
        "a new file of the crate belongs in the tutorial"
    );
    let lines: usize = sources.iter().map(|file| read(&here().join(file)).lines().count()).sum();
    assert!(lines < 150, "{lines} lines: the tutorial promises less than 150");
}
