//! The reader: a thread that makes documents of the input, as fast as they are taken.

use super::pick::{Path, pick};
use super::room::Room;
use super::source::Place;
use super::split::{Piece, Splitter, Stopped};
use monolite::Json;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// The longest title in bytes; a longer one that nobody asked for is cut.
const TITLE_BYTES_MAX: usize = monolite_documents::TITLE_BYTES_MAX;

/// What the dealer hears.
pub(super) enum Event {
    /// A document, and how far the input was read.
    Document(Box<Document>, u64),
    /// A broken one.
    Bad(Bad),
    /// The rest cannot be told apart.
    Stopped(Stopped),
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The input is read.
    End,
}

/// A document to import.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) key: Option<String>,
    pub(super) title: Option<String>,
    pub(super) body: Json,
}

/// A document that does not go in.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) why: String,
    /// Nothing of the input comes after it.
    pub(super) is_at_the_end: bool,
}

/// What to read, and what to pick from each document.
pub(super) struct Reading<R> {
    splitter: Splitter<R>,
    id: Vec<String>,
    title: Option<Vec<String>>,
    from: u64,
}

impl<R: Read + Send + 'static> Reading<R> {
    pub(super) fn new(
        input: R,
        split: Option<Path>,
        id: Option<Path>,
        title: Option<Path>,
        bytes_max: usize,
        from: u64,
    ) -> Self {
        let names = |path: Option<Path>| path.map_or_else(Vec::new, |p| p.0);
        let splitter = Splitter::new(input, names(split), bytes_max);
        Reading { splitter, id: names(id), title: title.map(|p| p.0), from }
    }

    /// Reads on a thread of its own, which ends with the input or when nobody listens. Each document takes room.
    pub(super) fn begin(mut self, events: SyncSender<Event>, room: Arc<Room>) -> std::io::Result<()> {
        std::thread::Builder::new().name("reader".to_owned()).spawn(move || {
            while let Some(event) = self.next() {
                if let Event::Document(document, _) = &event {
                    room.take(document.body.as_str().len());
                }
                // What the input was stopped at stays where it is: reading on would tell it for ever.
                let is_last = matches!(event, Event::Stopped(_));
                if events.send(event).is_err() || is_last {
                    return;
                }
            }
            let _ = events.send(Event::End);
        })?;
        Ok(())
    }

    fn next(&mut self) -> Option<Event> {
        loop {
            match self.splitter.next() {
                Ok(None) => return None,
                Ok(Some(piece)) if piece.number < self.from => {}
                Ok(Some(piece)) => return Some(self.event(piece)),
                Err(stopped) => return Some(Event::Stopped(stopped)),
            }
        }
    }

    fn event(&mut self, piece: Piece) -> Event {
        let (number, place) = (piece.number, piece.place);
        let made = piece.text.and_then(|text| {
            let text = String::from_utf8(text).map_err(|_| "is not UTF-8".to_owned())?;
            self.document(number, place, text)
        });
        match made {
            Ok(document) => Event::Document(Box::new(document), self.splitter.offset()),
            Err(why) => Event::Bad(Bad { number, place, why, is_at_the_end: self.splitter.has_ended() }),
        }
    }

    fn document(&self, number: u64, place: Place, text: String) -> Result<Document, String> {
        let not_json = |e: serde_json::Error| format!("is not JSON: {e}");
        let [key, title] = match &self.title {
            Some(path) => pick(&text, [&self.id, path]).map_err(not_json)?,
            None => {
                let usual = [["title".to_owned()], ["name".to_owned()]];
                let [key, title, name] = pick(&text, [&self.id, &usual[0], &usual[1]]).map_err(not_json)?;
                [key, title.or(name).map(cut)]
            }
        };
        if key.is_none() && !self.id.is_empty() {
            return Err(format!("has no text or number at .{}", self.id.join(".")));
        }
        Ok(Document { number, place, key, title, body: Json::parse(text).map_err(not_json)? })
    }
}

fn cut(mut title: String) -> String {
    let mut end = title.len().min(TITLE_BYTES_MAX);
    while !title.is_char_boundary(end) {
        end -= 1;
    }
    title.truncate(end);
    title
}
