//! The documents against the program: keys, limits, metrics, dependencies, links.
//!
//! **Invariants**
//! - A table that says "a test compares" is compared here, both ways: nothing missing, nothing too much.

#![allow(clippy::unwrap_used)] // the helpers are tests too

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The table below this head: first column to second, without the marks of code.
fn table(path: &str, head: &str) -> BTreeMap<String, String> {
    let text = page(path);
    let lines = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let plain = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let row = |line: &str| {
        let mut cells = line.split('|').skip(1);
        (plain(cells.next().unwrap()), plain(cells.next().unwrap()))
    };
    lines.take_while(|line| line.starts_with('|')).map(row).collect()
}

fn monolite(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monolite"));
    command.current_dir(folder).env_remove("RUST_LOG");
    command
}

#[test]
fn every_configuration_key_is_documented_with_its_default() {
    let folder = tempfile::tempdir().unwrap();
    let printed = monolite(folder.path()).args(["config", "print", "--json"]).output().unwrap();
    let said: BTreeMap<String, String> = String::from_utf8(printed.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            (text("key"), text("value"))
        })
        .collect();
    assert_eq!(table("docs/operate/configuration.md", "| key | default |"), said);
}

#[test]
fn every_verb_is_in_the_table_of_commands() {
    let folder = tempfile::tempdir().unwrap();
    let verbs_of = |verb: &[&str]| -> Vec<String> {
        let help = monolite(folder.path()).args(verb).arg("-h").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names = lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help");
        names.map(|name| [verb, &[&name]].concat().join(" ")).collect()
    };
    let table: Vec<String> = table("docs/operate/serve.md", "| command |").into_keys().collect();
    let is_there = |verb: &String| table.iter().any(|said| said == verb || said.starts_with(&format!("{verb} ")));
    let mut wanted = verbs_of(&[]);
    wanted.extend(verbs_of(&["backup"]));
    let missing: Vec<_> = wanted.iter().filter(|verb| !is_there(verb)).collect();
    assert!(wanted.len() > 20 && missing.is_empty(), "docs/operate/serve.md has not {missing:?} of {wanted:?}");
}

#[test]
fn every_limit_of_the_store_is_documented_with_its_default() {
    let config = monolite::store::Config::default();
    let said = [
        ("group_writes_max", config.group_writes_max.to_string()),
        ("group_rows_max", config.group_rows_max.to_string()),
        ("group_time_max", format!("{:?}", config.group_time_max)),
        ("queue_max", config.queue_max.to_string()),
        ("tenant_queue_max", config.tenant_queue_max.to_string()),
        ("tenant_quantum", format!("{:?}", config.tenant_quantum)),
        ("deadline", format!("{:?}", config.deadline)),
        ("inline_budget", format!("{:?}", config.inline_budget)),
        ("gate_bytes", config.gate_bytes.to_string()),
        ("slow_queue_max", config.slow_queue_max.to_string()),
        ("slow_tenant_queue_max", config.slow_tenant_queue_max.to_string()),
        ("blocking_reads_max", config.blocking_reads_max.to_string()),
        ("cuts_max", config.cuts_max.to_string()),
        ("slow_time_max", format!("{:?}", config.slow_time_max)),
        ("slow_write", format!("{:?}", config.slow_write)),
        ("slow_read", format!("{:?}", config.slow_read)),
        ("slow_log_max", config.slow_log_max.to_string()),
        ("reader_cache_bytes", config.reader_cache_bytes.to_string()),
        ("writer_cache_bytes", config.writer_cache_bytes.to_string()),
        ("statements_max", config.statements_max.to_string()),
        ("wal_soft_bytes", config.wal_soft_bytes.to_string()),
        ("wal_hard_bytes", config.wal_hard_bytes.to_string()),
        ("value_max", config.value_max.to_string()),
        ("scrub_period", format!("{:?}", config.scrub_period)),
        ("quick_rows_max", config.quick_rows_max.to_string()),
    ];
    let said: BTreeMap<_, _> = said.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(table("docs/operate/limits.md", "| field | default |"), said);
}

#[test]
fn every_bound_has_a_key_a_metric_and_a_test() {
    let keys = table("docs/operate/configuration.md", "| key | default |");
    let metrics = table("docs/operate/watch.md", "| metric | kind, unit |");
    let text = page("docs/operate/bounds.md");
    let mut sources = String::new();
    for folder in ["crates", "services", "server", "tools"] {
        tests_below(&root().join(folder), &mut sources);
    }
    let lines = text.lines().skip_while(|line| !line.starts_with("| key |")).skip(2);
    let mut bounds = Vec::new();
    for line in lines.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (key, metric, test) = (cells[1], cells[3], cells[4]);
        assert!(keys.contains_key(key), "{key} is no key");
        assert!(metrics.contains_key(metric), "{key}: {metric} is no metric");
        assert!(sources.contains(&format!("fn {test}(")), "{key}: there is no test {test}");
        bounds.push(key.to_owned());
    }
    let others =
        text.lines().skip_while(|line| !line.starts_with("These keys bound nothing")).take_while(|l| !l.is_empty());
    let others: Vec<String> =
        others.collect::<Vec<_>>().join(" ").split('`').skip(1).step_by(2).map(Into::into).collect();
    let mut all = [bounds, others].concat();
    all.sort();
    assert_eq!(all, keys.into_keys().collect::<Vec<_>>(), "each key is a bound, or said to be none, and once");
}

/// The lines that begin functions, of all Rust files below a folder.
fn tests_below(folder: &Path, to: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                tests_below(&path, to);
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            text.lines().filter(|line| line.contains("fn ")).for_each(|line| to.extend([line, "\n"]));
        }
    }
}

/// A running server on ports of its own; killed at the end.
struct Server {
    child: Child,
    operators: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let on_any = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut child = monolite(folder).arg("serve").args(on_any).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = told.find(|line| line.contains("operators")).expect("serve says where it is for operators");
        let operators = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        std::thread::spawn(move || told.for_each(drop));
        Server { child, operators }
    }

    fn ask(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(&self.operators).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_metric_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let served = Server::start(folder.path()).ask("/metrics");
    let mut served: Vec<String> =
        served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect();
    served.sort();
    let documented: Vec<String> = table("docs/operate/watch.md", "| metric | kind, unit |").into_keys().collect();
    assert_eq!(documented, served);
}

#[test]
fn every_dependency_has_a_line_in_the_first_decision() {
    let (cargo, decision) = (page("Cargo.toml"), page("docs/adr/0001-the-ground.md"));
    let lines = cargo.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let names = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
    let foreign: Vec<&str> = names.map(|(name, _)| name).filter(|name| !name.starts_with("monolite")).collect();
    assert!(foreign.len() > 10, "the list was not found");
    for name in foreign {
        let row = decision.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
        assert!(row, "{name} has no line in ADR 1");
    }
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut pages = vec![];
    collect(&root(), &mut pages);
    assert!(pages.len() > 20, "the documents were not found");
    for path in pages {
        let text = fs::read_to_string(&path).unwrap();
        let mut in_code = false;
        for line in text.lines() {
            in_code ^= line.trim_start().starts_with("```");
            if in_code {
                continue;
            }
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                if file.contains("://") || target.contains(' ') {
                    continue;
                }
                let to = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
                assert!(to.exists(), "{}: no {target}", path.display());
                let found = anchor.is_empty() || anchors(&to).contains(&anchor.to_owned());
                assert!(found, "{}: no heading for {target}", path.display());
            }
        }
    }
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, pages);
            }
        } else if name.ends_with(".md") {
            pages.push(path);
        }
    }
}

/// The headings of a page, as links name them.
fn anchors(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let named = headings.map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        text.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-').collect::<String>().replace(' ', "-")
    });
    named.collect()
}
