//! Touches: which sessions were seen since the last write, in memory.
//!
//! **Invariants**
//! - At most one touch a session, the latest; at most `max` sessions. One more is not noted: it will be at its next use.
//! - What was taken to be written and could not be is put back, unless a later touch is there.
//! - [`Touches::behind`] tells whether the file may be older than a second or two about somebody: nobody may be taken
//!   for idle by the file alone then.
//! - Lost with the process: see the crate's page for what that means.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use monolite_service::Millis;

use crate::TokenHash;

/// A touch: a session, and when it was seen.
pub(super) type Touch = (TokenHash, Millis);

/// The touches that wait to be written.
pub(super) struct Touches {
    max: usize,
    behind: AtomicBool,
    waiting: Mutex<HashMap<TokenHash, Millis>>,
}

impl Touches {
    pub(super) fn new(max: usize) -> Self {
        Touches { max, behind: AtomicBool::new(false), waiting: Mutex::default() }
    }

    /// Notes that a session was seen.
    pub(super) fn note(&self, token: TokenHash, at: Millis) {
        insert(&mut self.lock(), self.max, token, at);
    }

    /// When a session was seen, if that waits to be written.
    pub(super) fn of(&self, token: &TokenHash) -> Option<Millis> {
        self.lock().get(token).copied()
    }

    /// Sessions whose use waits to be written.
    pub(super) fn waiting(&self) -> u64 {
        self.lock().len() as u64
    }

    /// Whether the last round did not write all that waited.
    pub(super) fn behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Takes all touches to write them, in the order of the file.
    pub(super) fn take(&self) -> Vec<Touch> {
        let mut waiting = self.lock();
        self.behind.store(false, Ordering::Relaxed);
        let mut taken: Vec<Touch> = waiting.drain().collect();
        drop(waiting);
        taken.sort_unstable_by(|one, other| one.0.as_bytes().cmp(other.0.as_bytes()));
        taken
    }

    /// Puts back what was taken and not written.
    pub(super) fn put_back(&self, touches: &[Touch]) {
        let mut waiting = self.lock();
        self.behind.store(true, Ordering::Relaxed);
        for &(token, at) in touches {
            insert(&mut waiting, self.max, token, at);
        }
    }

    /// A panic elsewhere leaves a map of touches, each of them whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, Millis>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert(waiting: &mut HashMap<TokenHash, Millis>, max: usize, token: TokenHash, at: Millis) {
    let full = waiting.len() >= max;
    match waiting.entry(token) {
        Entry::Occupied(mut noted) => *noted.get_mut() = at.max(*noted.get()),
        Entry::Vacant(free) if !full => {
            free.insert(at);
        }
        Entry::Vacant(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;
    use proptest::prelude::*;

    fn tokens(n: usize) -> Vec<TokenHash> {
        (0..n).map(|_| Token::random().unwrap().hash()).collect()
    }

    #[test]
    fn many_touches_of_a_session_are_one_and_the_latest() {
        let (touches, token) = (Touches::new(8), tokens(1)[0]);
        for at in [3, 9, 5] {
            touches.note(token, Millis(at));
        }
        assert_eq!(touches.of(&token), Some(Millis(9)));
        assert_eq!(touches.take(), [(token, Millis(9))]);
        assert_eq!(touches.take(), []);
    }

    #[test]
    fn what_could_not_be_written_waits_again_behind_what_came_later() {
        let (touches, tokens) = (Touches::new(8), tokens(2));
        touches.note(tokens[0], Millis(1));
        touches.note(tokens[1], Millis(1));
        let taken = touches.take();
        touches.note(tokens[0], Millis(2));
        touches.put_back(&taken);
        assert_eq!((touches.of(&tokens[0]), touches.of(&tokens[1])), (Some(Millis(2)), Some(Millis(1))));
    }

    #[test]
    fn it_is_behind_until_a_round_writes_all() {
        let (touches, token) = (Touches::new(8), tokens(1)[0]);
        touches.note(token, Millis(1));
        let taken = touches.take();
        assert!(!touches.behind());
        touches.put_back(&taken);
        assert!(touches.behind());
        assert_eq!((touches.take(), touches.behind()), (taken, false));
    }

    proptest! {
        #[test]
        fn the_map_never_holds_more_than_its_bound(max in 0usize..20, seen in prop::collection::vec((0usize..30, 0i64..9), 0..80)) {
            let (touches, tokens) = (Touches::new(max), tokens(30));
            for &(who, at) in &seen {
                touches.note(tokens[who], Millis(at));
            }
            let taken = touches.take();
            prop_assert!(taken.is_sorted_by_key(|(token, _)| *token.as_bytes()));
            prop_assert!(taken.len() <= max);
            for (token, at) in taken {
                let latest = seen.iter().filter(|&&(who, _)| tokens[who] == token).map(|&(_, at)| at).max();
                prop_assert!(latest >= Some(at.0));
            }
        }
    }
}
