//! Ctrl-C: the first ends the reading, the second the process.
//!
//! In a pipeline Ctrl-C ends the producer too, and its last document comes cut short, before or after the interrupt is
//! heard here. So what ends the input badly waits a moment: where an interrupt follows, that document was never read.

use super::reading::Event;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

/// The exit code of a process that an interrupt ended.
const INTERRUPTED: i32 = 130;
/// How long after a bad end of the input an interrupt may come that explains it.
pub(super) const EXPLAINED_WITHIN: Duration = Duration::from_millis(250);

/// Tells the dealer of the first interrupt; ends the process at the second.
pub(super) fn watch(events: SyncSender<Event>) -> monolite::Result {
    monolite::on_interrupt(move |times| match times {
        1 => {
            let _ = events.send(Event::Interrupted);
        }
        _ => std::process::exit(INTERRUPTED),
    })
}

/// The events, without a bad end that an interrupt explains.
pub(super) struct Explained<'a> {
    arriving: &'a Receiver<Event>,
    within: Duration,
    ended: bool,
}

impl<'a> Explained<'a> {
    pub(super) fn new(arriving: &'a Receiver<Event>, within: Duration) -> Self {
        Explained { arriving, within, ended: false }
    }
}

impl Iterator for Explained<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.arriving.recv().ok()?;
        let is_cut = match &event {
            Event::Bad(bad) => bad.is_at_the_end,
            Event::Stopped(_) => true,
            _ => false,
        };
        // Behind these comes the end, if anything.
        while is_cut && !self.ended {
            match self.arriving.recv_timeout(self.within) {
                Ok(Event::Interrupted) => return Some(Event::Interrupted),
                Ok(_) => {}
                Err(_) => self.ended = true,
            }
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::super::reading::Bad;
    use super::super::source::Place;
    use super::*;
    use std::sync::mpsc::sync_channel;

    fn heard(events: impl IntoIterator<Item = Event>) -> Vec<&'static str> {
        let (to, arriving) = sync_channel(8);
        events.into_iter().for_each(|event| to.send(event).expect("there is room"));
        drop(to);
        let name = |event: Event| match event {
            Event::Document(..) => "document",
            Event::Bad(_) => "bad",
            Event::Stopped(_) => "stopped",
            Event::Interrupted => "interrupted",
            Event::End => "end",
        };
        Explained::new(&arriving, Duration::from_millis(1)).map(name).collect()
    }

    fn bad(is_at_the_end: bool) -> Event {
        let place = Place { line: 1, offset: 1 };
        Event::Bad(Bad { number: 7, place, why: "ends inside a value".to_owned(), is_at_the_end })
    }

    #[test]
    fn a_document_that_an_interrupt_cut_short_was_never_read() {
        assert_eq!(heard([bad(true), Event::End, Event::Interrupted])[0], "interrupted");
        assert_eq!(heard([bad(true), Event::Interrupted, Event::End])[0], "interrupted");
        assert_eq!(heard([bad(true), Event::End]), ["bad"]);
        assert_eq!(heard([bad(false), Event::End, Event::Interrupted]), ["bad", "end", "interrupted"]);
    }
}
