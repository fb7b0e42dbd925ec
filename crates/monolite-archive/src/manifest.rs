//! What an archive says of itself, beside what LTX can say: the format's version, and who writes.
//!
//! **Invariants**
//! - The version of LTX is in no segment (2 and 3 begin alike), so a history without a manifest of format 3 is not written to.
//! - A writer epoch has one writer: the claim is put only where there is none.

use crate::history::History;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

/// The version of LTX, and of the layout around it.
pub const FORMAT: u32 = 3;

/// `monolite.json` at a history's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The service whose file it is.
    pub service: String,
    /// The history id of the file, 32 hex digits.
    pub history: String,
    /// Bytes of a page.
    pub page_size: u32,
    /// When the history was begun here, in unix milliseconds.
    pub begun_ms: i64,
}

impl Manifest {
    const NAME: &'static str = "monolite.json";

    /// Reads it; `None` where the history has none.
    pub fn read(history: &History) -> Result<Option<Manifest>> {
        let name = history.name(Self::NAME);
        let Some(bytes) = history.place().read_small(&name)? else { return Ok(None) };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| Error::damaged(format!("{name}: {e}")))?;
        if manifest.format != FORMAT {
            let said = manifest.format;
            return Err(Error::new(Kind::Newer, format!("{name} has format {said}; this program knows {FORMAT}")));
        }
        Ok(Some(manifest))
    }

    /// Puts it where there is none; where there is one it has to be of the same file. Answers the one that is there.
    pub fn settle(&self, history: &History) -> Result<Manifest> {
        let bytes = serde_json::to_vec_pretty(self).expect("plain fields");
        match history.place().put_new(&history.name(Self::NAME), &bytes, self.begun_ms) {
            Err(e) if e.kind() == Kind::Exists => {}
            other => other?,
        }
        let there = Manifest::read(history)?;
        let there = there.ok_or_else(|| Error::new(Kind::Missing, format!("{} went away", Self::NAME)))?;
        if (&there.service, &there.history) != (&self.service, &self.history) {
            let text = format!("{} is the history {} of {}", history.root(), there.history, there.service);
            return Err(Error::new(Kind::Exists, text));
        }
        Ok(there)
    }
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The epoch is ours.
    Ours,
    /// Another program writes this history under the same epoch: the file was copied, or put back.
    Others,
}

/// Claims a writer epoch of a history. The nonce names this opening of the file: an earlier claim of ours stays ours.
pub fn claim(history: &History, epoch: u64, nonce: &str, at_ms: i64) -> Result<Claim> {
    let name = history.name(&format!("claims/{epoch:016x}"));
    let ours = match history.place().put_new(&name, nonce.as_bytes(), at_ms) {
        Err(e) if matches!(e.kind(), Kind::Exists | Kind::OutcomeUnknown) => {
            let there = history.place().read_small(&name)?;
            there.ok_or(e)? == nonce.as_bytes()
        }
        other => other.map(|()| true)?,
    };
    Ok(if ours { Claim::Ours } else { Claim::Others })
}
