//! `import documents`: real processes, pipes, interrupts.

use crate::world::{Lines, Ran, World, signal};
use std::io::Write;
use std::process::{Child, Stdio};

const COUNT: &str = "SELECT count(*) FROM documents";

fn import<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["import", "documents", "-", "--owner", "ann@example.org"];
    all.extend(more);
    all
}

fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| format!("{{\"id\":{n},\"name\":\"number {n}\"}}\n")).collect()
}

#[test]
fn an_array_inside_a_document_is_imported_found_and_suggested() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    let input = r#"{"version":1,"packages":[{"id":"a","name":"Tokio"},{"id":"b","name":"Tower"},{"id":"a","name":"Tokio again"}],"rest":[{"id":"z"}]}"#;
    let out = world.run_with(&import(&["--split", ".packages", "--id", ".id", "--json"]), input).good();
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["created"], &report["replaced"], &report["refused"]), (&2.into(), &1.into(), &0.into()));
    assert_eq!(world.value("Documents", COUNT), 2);
    let (status, found) = server.get("/api/v1/documents/search?q=again", &token);
    assert!(status == 200 && found.contains("Tokio again"), "{found}");
    let (status, found) = server.get("/api/v1/documents/suggest?prefix=tow", &token);
    assert!(status == 200 && found.to_lowercase().contains("tower"), "{found}");
    server.stop();
}

#[test]
fn an_import_works_without_a_server_and_again_replaces() {
    let world = World::new();
    world.admin("ann@example.org");
    let first = world.run_with(&import(&["--id", ".id"]), &lines(0..1000)).good();
    assert!(first.starts_with("1000 documents (1000 new, 0 replaced), 0 refused"), "{first}");
    let second = world.run_with(&import(&["--id", ".id"]), &lines(500..1500)).good();
    assert!(second.starts_with("1000 documents (500 new, 500 replaced)"), "{second}");
    assert_eq!(world.value("Documents", COUNT), 1500);
    assert_eq!(world.value("Documents", "SELECT title FROM documents WHERE key = '7'"), "number 7");
}

#[test]
fn broken_lines_are_named_and_the_others_go_in() {
    let world = World::new();
    let server = world.serve();
    world.admin("ann@example.org");
    let input = "{\"id\":1}\n{\"id\":2,\n{\"id\":3}\n{\"id\":}\n{\"no\":4}\n{\"id\":\"\"}\n{\"id\":6}\n";
    let ran = world.run_with(&import(&["--id", ".id"]), input);
    let ran = ran.bad(
        1,
        &[
            "document 2 (line 2, byte 9) is cut off by the end of its line",
            "document 4 (line 4, byte 27) is not JSON",
            "document 5 (line 5",
            "no text or number at .id",
            "document 6 (line 6",
        ],
    );
    assert!(ran.out.starts_with("3 documents (3 new, 0 replaced), 4 refused"), "{}", ran.out);
    assert_eq!(world.value("Documents", COUNT), 3);
    let deep = format!("{{\"id\":7,\"deep\":{}{}}}\n{{\"id\":8}}\n", "[".repeat(200_000), "]".repeat(200_000));
    let ran = world.run_with(&import(&["--id", ".id"]), &deep).bad(1, &["document 1", "nests deeper"]);
    assert!(ran.out.starts_with("1 documents"), "{}", ran.out);
    let cut = world.run_with(&import(&[]), "[{\"n\":1},{\"n\":2},{\"n\"").bad(1, &["stopped at", "byte 17"]);
    assert!(cut.out.starts_with("2 documents"), "{}", cut.out);
    server.stop();
}

#[test]
fn what_cannot_be_imported_is_said_before_anything_is_read() {
    let world = World::new();
    world.admin("ann@example.org");
    let from = |owner, file| world.run(&["import", "documents", file, "--owner", owner]);
    from("bob@example.org", "-").bad(1, &["user"]);
    from("ann@example.org", "absent.json").bad(1, &["absent.json"]);
    world.run_with(&import(&["--split", ".a..b"]), "").bad(2, &[".a.b"]);
    world.run_with(&import(&["--split", ".absent"]), "{\"a\":[]}").bad(1, &["no member .absent"]);
    assert_eq!(world.value("Documents", COUNT), 0);
}

/// An import whose input is still open.
fn begin(world: &World, more: &[&str]) -> Child {
    let mut command = world.command(&import(more));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn an_interrupt_leaves_whole_documents_and_says_how_to_go_on() {
    let world = World::new();
    let server = world.serve();
    world.admin("ann@example.org");
    let all = lines(0..3000);
    let mut child = begin(&world, &[]);
    let mut stdin = child.stdin.take().unwrap();
    // Not at the end of a document.
    stdin.write_all(&all.as_bytes()[..all.len() / 2 + 5]).unwrap();
    while world.value("Documents", COUNT).as_u64().unwrap() == 0 {}
    signal(&child, "INT");
    let said = Lines::of(child.stderr.take().unwrap());
    let mut next = None;
    while let Some(line) = said.next() {
        if let Some((_, number)) = line.split_once("--from ") {
            next = number.trim().parse::<u64>().ok();
        }
    }
    let ran = Ran::of(child.wait_with_output().unwrap());
    drop(stdin);
    let next = next.unwrap_or_else(|| panic!("it says how to go on: {ran:?}"));
    assert_eq!(ran.code, Some(1));
    assert_eq!(world.value("Documents", COUNT), next - 1);
    assert!(next > 1 && next < 3000, "{next}");
    world.run_with(&import(&["--from", &next.to_string()]), &all).good();
    assert_eq!(world.value("Documents", COUNT), 3000);
    assert_eq!(world.value("Documents", "SELECT count(DISTINCT title) FROM documents"), 3000);
    server.stop();
}

#[test]
fn an_import_whose_server_dies_says_where_to_go_on() {
    let world = World::new();
    let mut server = world.serve();
    world.admin("ann@example.org");
    let all = lines(0..3000);
    let mut child = begin(&world, &["--id", ".id"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&all.as_bytes()[..all.len() / 2]).unwrap();
    while world.value("Documents", COUNT).as_u64().unwrap() == 0 {}
    server.signal("KILL");
    server.child.wait().unwrap();
    // The rest, as far as anybody reads it.
    let _ = stdin.write_all(&all.as_bytes()[all.len() / 2..]);
    drop(stdin);
    let ran = Ran::of(child.wait_with_output().unwrap()).bad(1, &["--from", "failed"]);
    let number = ran.said.split("--from ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let server = world.serve();
    let kept = world.value("Documents", COUNT).as_u64().unwrap();
    assert!(kept < 3000 && number.parse::<u64>().unwrap() <= kept + 1, "{kept}, {number}");
    world.run_with(&import(&["--id", ".id", "--from", &number]), &all).good();
    assert_eq!(world.value("Documents", COUNT), 3000);
    server.stop();
}

#[test]
fn one_array_larger_than_the_memory_allowed_is_streamed() {
    let world = World::new();
    let server = world.serve();
    world.admin("ann@example.org");
    let mut child = begin(&world, &[]);
    let mut stdin = child.stdin.take().unwrap();
    let filler = "x ".repeat(32 << 10);
    let documents = 1500_u32; // of 64 KiB: 96 MiB in one array
    stdin.write_all(b"[").unwrap();
    for n in 0..documents {
        let comma = if n == 0 { "" } else { "," };
        write!(stdin, "{comma}{{\"n\":{n},\"text\":\"{filler}\"}}").unwrap();
    }
    stdin.flush().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let kib = |name| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // Without the program's own pages, in a debug build tens of MiB: how many are in memory is the kernel's choice.
    let peak_kib = kib("VmHWM:") - kib("RssFile:");
    stdin.write_all(b"]").unwrap();
    drop(stdin);
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert!(ran.good().starts_with("1500 documents"));
    assert_eq!(world.value("Documents", COUNT), documents);
    println!("peak memory of the import: {peak_kib} KiB");
    assert!(peak_kib < 64 << 10, "{peak_kib} KiB");
    server.stop();
}
