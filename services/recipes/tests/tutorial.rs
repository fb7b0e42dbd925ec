//! Keeps `docs/guide/tutorial.md` equal to this crate: the page's blocks, in order, are the files, whole.
//!
//! The page builds a project of one's own, so what it imports has other names there; nothing else differs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Does what the page says, up to its `cargo test`: with the executable that is built (release, else debug).
#[test]
#[ignore = "makes and builds a project of its own, which takes minutes"]
fn the_tutorial_followed_literally_passes_its_test() {
    let checkout = here().join("../..").canonicalize().unwrap();
    let built = ["release", "debug"].map(|kind| checkout.join("target").join(kind).join("monolite"));
    let monolite = built.iter().find(|path| path.exists()).expect("build the executable first: cargo build");
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("cookbook");
    let run = |program: &Path, arguments: &[&str], at: &Path| {
        let target = checkout.join("target/tutorial");
        let mut command = Command::new(program);
        let done = command.args(arguments).current_dir(at).env("CARGO_TARGET_DIR", target).status().unwrap();
        assert!(done.success(), "{} {arguments:?}", program.display());
    };
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or("cargo".into()));

    run(monolite, &["new", "cookbook"], folder.path());
    for taken_out in ["src/notes.rs", "migrations/0001_notes.sql"] {
        std::fs::remove_file(project.join(taken_out)).unwrap();
    }
    for (file, lines) in blocks(&read(&checkout.join("docs/guide/tutorial.md"))) {
        std::fs::create_dir_all(project.join(&file).parent().unwrap()).unwrap();
        std::fs::write(project.join(&file), lines.join("\n") + "\n").unwrap();
    }
    for service in ["users", "sessions"] {
        let service = checkout.join("services").join(service);
        run(&cargo, &["add", "--offline", "--path", service.to_str().unwrap()], &project);
    }
    run(&cargo, &["test", "--offline"], &project);
}
