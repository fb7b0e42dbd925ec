//! Upkeep gives way: to the writers, and one store's long work to the short work of the others.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{LONG, World, insert, open, quick};
use monolite_archive::{Archive, Entry, Layout, Level, Place, Result, Upload};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

/// A place in which one service's bases begin once the channel is closed.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Place>,
    until: Mutex<Receiver<()>>,
}

impl Place for Slow {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn layout(&self) -> Layout {
        self.inner.layout()
    }
    fn create(&self, name: &str) -> Result<Box<dyn Upload>> {
        if name.starts_with("Slow/") && name.contains("/ltx/9/") {
            let _ = self.until.lock().unwrap().recv_timeout(LONG);
        }
        self.inner.create(name)
    }
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put(name, bytes)
    }
    fn read(&self, name: &str, from: u64, most: usize, to: &mut Vec<u8>) -> Result<()> {
        self.inner.read(name, from, most, to)
    }
    fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        self.inner.list(folder)
    }
    fn folders(&self, folder: &str) -> Result<Vec<String>> {
        self.inner.folders(folder)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }
}

/// The nice values of this process's threads whose names begin so.
fn nice(name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let named =
        tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name)));
    let stat = named.map(|task| std::fs::read_to_string(task.join("stat")).unwrap());
    // Behind the name in brackets: the state is the third field, nice the nineteenth.
    stat.map(|stat| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_base_that_takes_long_does_not_keep_the_others_from_being_merged() {
    let world = World::new();
    let (held, until) = sync_channel::<()>(0);
    let place = Slow { inner: world.place(), until: Mutex::new(until) };
    let archive = Archive::start(Arc::new(place), quick()).unwrap();
    let held = held; // dropped before the archive, whose end waits for its threads
    let slow = open(&world.path("Slow.db"));
    archive.keep("Slow", &slow, &world.path("slow")).unwrap();
    let quick = open(&world.path("Quick.db"));
    archive.keep("Quick", &quick, &world.path("quick")).unwrap();
    let history = archive.history("Quick").unwrap();
    let merged = || !history.level(Level::new(1).unwrap()).unwrap().is_empty();
    for _ in 0..2000 {
        insert(&quick, 1, 100);
        archive.archived("Quick", quick.sequence()).unwrap().wait(LONG).unwrap();
        if merged() {
            break;
        }
    }
    assert!(merged(), "{:?}", archive.status());
    assert_eq!(archive.status_of("Slow").unwrap().last_base, None);
    let own = nice("a_base_that_tak").remove(0);
    assert_eq!((nice("archive-upkeep"), nice("archiver:")), (vec![own.max(10); 2], vec![own; 2]));
    drop(held);
    assert!(archive.watch("Slow", LONG, |s| s.last_base.is_some()).unwrap());
}
