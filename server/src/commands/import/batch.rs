//! The workers: each fills a batch and sends it, one call at a time.
//!
//! **Invariants**
//! - A batch is within the bounds of its message; an overloaded server is asked again after the time it names.
//! - Documents of one key are sent in the order of the input.

use super::reading::{Bad, Document};
use super::report::Report;
use super::source::Place;
use monolite::{Link, UserId};
use monolite_documents::{IMPORT_BYTES_MAX, IMPORT_DOCUMENTS_MAX, ImportDocuments, Imported, NewDocument};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

/// Calls in flight: while one group is being synced the next is being filled.
const WORKERS: usize = 4;

/// What became of a batch.
struct Sent {
    created: u64,
    replaced: u64,
    bad: Vec<Bad>,
    failed: Option<Failed>,
}

/// A batch of which it is not known that it is in.
pub(super) struct Failed {
    /// Its first document.
    pub(super) first: u64,
    /// Why.
    pub(super) why: anyhow::Error,
}

/// A batch on its way to a worker.
#[derive(Default)]
struct Batch {
    documents: Vec<Document>,
    bytes: usize,
}

/// The workers, seen from the dealer.
pub(super) struct Workers {
    batches: Vec<Batch>,
    queues: Vec<SyncSender<Batch>>,
    results: Receiver<Sent>,
}

impl Workers {
    /// Starts them.
    pub(super) fn begin<'scope>(scope: &'scope Scope<'scope, '_>, link: &'scope Link, owner: UserId) -> Self {
        // Room for every result there can be at once: a worker never waits to report.
        let (done, results) = sync_channel(WORKERS * 4);
        let queues = (0..WORKERS).map(|_| {
            let (queue, batches) = sync_channel::<Batch>(1);
            let done = done.clone();
            scope.spawn(move || {
                for batch in batches {
                    if done.send(send(link, owner, batch)).is_err() {
                        return;
                    }
                }
            });
            queue
        });
        Workers { queues: queues.collect(), batches: (0..WORKERS).map(|_| Batch::default()).collect(), results }
    }

    /// Gives a document to the worker of its key.
    pub(super) fn deal(&mut self, document: Document) {
        let worker = match &document.key {
            Some(key) => {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                (hasher.finish() % WORKERS as u64) as usize
            }
            // Without keys one batch is filled after another, so that few documents make few calls.
            None => (document.number / IMPORT_DOCUMENTS_MAX as u64 % WORKERS as u64) as usize,
        };
        let length = document.body.as_str().len();
        let batch = &mut self.batches[worker];
        if !batch.documents.is_empty() && batch.bytes + length > IMPORT_BYTES_MAX as usize {
            self.send(worker);
        }
        let batch = &mut self.batches[worker];
        batch.bytes += length;
        batch.documents.push(document);
        if batch.documents.len() >= IMPORT_DOCUMENTS_MAX {
            self.send(worker);
        }
    }

    /// Hears what became of batches that were sent.
    pub(super) fn collect(&mut self, report: &mut Report<'_>) {
        for sent in self.results.try_iter() {
            account(sent, report);
        }
    }

    /// Sends what is left, unless something failed, and waits for the end.
    pub(super) fn finish(mut self, report: &mut Report<'_>) {
        for worker in 0..WORKERS {
            match self.batches[worker].documents.first().map(|d| d.number) {
                Some(first) if report.has_failed() => report.not_in(first),
                Some(_) => self.send(worker),
                None => {}
            }
        }
        drop(self.queues);
        self.results.iter().for_each(|sent| account(sent, report));
    }

    fn send(&mut self, worker: usize) {
        let batch = std::mem::take(&mut self.batches[worker]);
        // A worker is gone only when the import has failed already.
        let _ = self.queues[worker].send(batch);
    }
}

fn account(sent: Sent, report: &mut Report<'_>) {
    report.kept(sent.created, sent.replaced);
    sent.bad.iter().for_each(|bad| report.bad(bad));
    if let Some(failed) = sent.failed {
        report.failed(failed);
    }
}

fn send(link: &Link, owner: UserId, batch: Batch) -> Sent {
    let places: Vec<(u64, Place)> = batch.documents.iter().map(|d| (d.number, d.place)).collect();
    let documents = batch.documents.into_iter().map(|d| NewDocument::new(d.key, d.title, d.body)).collect();
    let mut sent = Sent { created: 0, replaced: 0, bad: Vec::new(), failed: None };
    match link.call_patiently(&ImportDocuments { owner: Some(owner), documents }) {
        Ok(report) => {
            for ((number, place), result) in places.into_iter().zip(report.results) {
                match result {
                    Imported::Created(_) => sent.created += 1,
                    Imported::Replaced(_) => sent.replaced += 1,
                    Imported::Refused(fields) => {
                        let why: Vec<String> = fields.iter().map(ToString::to_string).collect();
                        sent.bad.push(Bad {
                            number,
                            place,
                            why: format!("is refused: {}", why.join("; ")),
                            is_at_the_end: false,
                        });
                    }
                }
            }
        }
        Err(e) => {
            let (first, last) = places.first().zip(places.last()).map_or((0, 0), |(a, b)| (a.0, b.0));
            let why = e.context(format!("a batch of documents between {first} and {last} failed"));
            sent.failed = Some(Failed { first, why });
        }
    }
    sent
}
