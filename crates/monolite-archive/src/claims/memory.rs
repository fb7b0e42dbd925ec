//! What a folder has claimed: kept beside the store, so that a later opening knows its own.
//!
//! **Invariants**
//! - A claim is remembered before it is made, as one that is wanted; as held once its writer has looked and found nothing newer, and before
//!   it puts anything. So nothing was ever put under one that is only wanted.
//!
//! Never here: what lies in the place.

use super::Claimed;
use crate::{Result, beside};
use std::path::Path;

/// Claims that a folder remembers, the newest: as many as openings.
const REMEMBERED: usize = 256;
/// Behind a claim that is not held yet. One of an earlier program says nothing, and counts as held.
const WANTED: &str = "wanted";

/// The claims of a folder, the newest first.
#[derive(Default)]
pub(crate) struct Memory(Vec<Own>);

struct Own {
    epoch: u64,
    nonce: String,
    /// None where an earlier program noted it.
    history: Option<String>,
    wanted: bool,
}

impl Own {
    fn is(&self, history: &str, claimed: &Claimed) -> bool {
        (self.epoch, &self.nonce) == (claimed.epoch, &claimed.nonce)
            && self.history.as_deref().is_none_or(|of| of == history)
    }
}

impl Memory {
    const NAME: &'static str = "claim";

    pub(crate) fn read(scratch: &Path) -> Memory {
        let parse = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let (epoch, nonce) = (u64::from_str_radix(words.next()?, 16).ok()?, words.next()?.to_owned());
            let history = words.next().map(str::to_owned);
            Some(Own { epoch, nonce, history, wanted: words.next() == Some(WANTED) })
        };
        Memory(beside::read(scratch, Self::NAME).unwrap_or_default().lines().filter_map(parse).collect())
    }

    /// Whether something of this history was claimed.
    pub(crate) fn has(&self, history: &str) -> bool {
        self.0.iter().any(|own| own.history.as_deref() == Some(history))
    }

    /// Whether this claim was made here.
    pub(crate) fn made(&self, history: &str, claimed: &Claimed) -> bool {
        self.0.iter().any(|own| own.is(history, claimed))
    }

    /// Whether something may have been put under this claim.
    pub(crate) fn held(&self, history: &str, claimed: &Claimed) -> bool {
        self.0.iter().any(|own| own.is(history, claimed) && !own.wanted)
    }

    /// The writer epoch that this opening goes on as, as far as this folder knows: its own, or one that no opening here had.
    pub(crate) fn next(&self, history: &str, nonce: &str, own: u64) -> u64 {
        let newest = self.0.iter().filter(|own| own.history.as_deref() == Some(history)).max_by_key(|own| own.epoch);
        newest.map_or(own, |newest| own.max(newest.epoch + u64::from(newest.nonce != nonce)))
    }

    /// Remembers a claim, before it is made.
    pub(super) fn note(scratch: &Path, history: &str, claimed: &Claimed) -> Result<()> {
        let mut all = Memory::read(scratch);
        if all.made(history, claimed) {
            return Ok(());
        }
        let (epoch, nonce) = (claimed.epoch, claimed.nonce.clone());
        all.0.push(Own { epoch, nonce, history: Some(history.to_owned()), wanted: true });
        all.0.sort_by_key(|own| std::cmp::Reverse(own.epoch));
        all.0.truncate(REMEMBERED);
        all.write(scratch)
    }

    /// Remembers that this opening holds what it claimed: from here on something may be put.
    pub(super) fn hold(scratch: &Path, history: &str, nonce: &str) -> Result<()> {
        let mut all = Memory::read(scratch);
        let mine = |own: &Own| own.nonce == nonce && own.history.as_deref() == Some(history);
        let wanted = all.0.iter_mut().filter(|own| own.wanted && mine(own));
        if wanted.map(|own| own.wanted = false).count() == 0 {
            return Ok(());
        }
        all.write(scratch)
    }

    fn write(&self, scratch: &Path) -> Result<()> {
        let line = |own: &Own| {
            let history = own.history.as_deref().unwrap_or_default();
            let [space, wanted] = if own.wanted { [" ", WANTED] } else { [""; 2] };
            format!("{:016x} {} {history}{space}{wanted}\n", own.epoch, own.nonce)
        };
        let text: String = self.0.iter().map(line).collect();
        beside::write(scratch, Self::NAME, text.as_bytes())
    }
}
