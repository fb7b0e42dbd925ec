//! Ctrl-C: the first ends the reading, the second the process.

use super::reading::Event;
use std::sync::mpsc::SyncSender;

/// The exit code of a process that an interrupt ended.
const INTERRUPTED: i32 = 130;

/// Tells the dealer of the first interrupt; ends the process at the second.
pub(super) fn watch(events: SyncSender<Event>) -> monolite::Result {
    monolite::on_interrupt(move |times| match times {
        1 => {
            let _ = events.send(Event::Interrupted);
        }
        _ => std::process::exit(INTERRUPTED),
    })
}
