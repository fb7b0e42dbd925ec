//! Files that do not go on from their archive: put back from an older copy, or gone on apart. What they are told, and the
//! ways on.
//!
//! **Invariants**
//! - Nothing of such a file is served, and nothing of it archived, before its operator has chosen a way. Migrations of a newer
//!   program may have committed to it by then, as another writer than any in the archive.
//! - Either way nothing is lost: what leaves the data folder is kept beside, what leaves the history stays in the archive.

use super::restoring::moment;
use monolite_archive::{Kind, Sides};
use std::fmt;

/// What is done with such files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Way {
    /// Nothing is served.
    #[default]
    Refuse,
    /// They are replaced by what the archive has.
    RollForward,
    /// They go on as they are, under a new history.
    NewHistory,
}

/// The files of one start that do not go on from their archive.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    place: String,
    refused: Vec<(Kind, Sides)>,
    /// The files that do.
    pub(crate) others: Vec<String>,
}

impl Guests {
    /// None yet, of the archive in this place.
    pub(crate) fn at(place: String) -> Self {
        Guests { place, ..Guests::default() }
    }

    /// Takes a refusal; answers it back where it is another one.
    pub(crate) fn take(&mut self, error: monolite_archive::Error) -> Result<(), monolite_archive::Error> {
        match (error.kind(), error.sides()) {
            (kind @ (Kind::Behind | Kind::Apart), Some(sides)) => {
                self.refused.push((kind, sides.clone()));
                Ok(())
            }
            _ => Err(error),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }

    /// Both sides of each.
    pub(crate) fn sides(&self) -> impl Iterator<Item = &Sides> {
        self.refused.iter().map(|(_, sides)| sides)
    }

    /// What it means for the other files that these are older; nothing where there are no others.
    pub(crate) fn for_others(&self) -> Option<String> {
        let oldest = self.sides().filter_map(|sides| sides.file_ms).min();
        let since = oldest.map_or(String::new(), |ms| format!(" after {}", moment(ms)));
        (!self.others.is_empty()).then(|| {
            format!(
                "{} go on from their archive: they may name what {} had{since} and has not any more, and have done what it has \
                 not done yet",
                listed(&self.others),
                listed(&self.sides().map(|sides| sides.service.clone()).collect::<Vec<_>>())
            )
        })
    }
}

impl fmt::Display for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "put back from an older copy, and not served. Nothing was archived. The archive is {}", self.place)?;
        for (kind, sides) in &self.refused {
            let Sides { service, file, archive, .. } = sides;
            let of = sides.file_ms.map_or(String::new(), |ms| format!(" of {}", moment(ms)));
            write!(
                f,
                "\n  {service} is at commit {file}{of}; its archive has commit {archive} of {}",
                moment(sides.archive_ms)
            )?;
            match *kind {
                Kind::Apart if archive < file => write!(
                    f,
                    "; another program has claimed this history, or has that commit as another one: the file was copied. \
                     --roll-forward would bring it back to commit {archive}"
                )?,
                Kind::Apart => f.write_str(", which this file does not have: it went on apart from it")?,
                _ => {}
            }
        }
        if let Some(others) = self.for_others() {
            write!(f, "\n  {others}")?;
        }
        f.write_str(
            "\nTo have back all that is archived:          monolite serve --roll-forward\n  \
             each of these files is replaced by the newest archived state and kept beside (one at a time: monolite restore \
             SERVICE --roll-forward)\n\
             To go on from the files as they are instead: monolite serve --new-history\n  \
             they leave their history, which stays in the archive and can be restored from there (monolite backup list)",
        )
    }
}

impl std::error::Error for Guests {}

/// `A, B and C`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_ahead_of_what_it_would_be_rolled_to_is_told_so() {
        let told = |kind, file, archive| {
            let (service, history) = ("Users".to_owned(), "1".to_owned());
            let sides = Sides { service, history, file, file_ms: None, archive, archive_ms: 0 };
            Guests { refused: vec![(kind, sides)], ..Guests::default() }.to_string()
        };
        assert!(told(Kind::Apart, 43, 40).contains("would bring it back to commit 40"));
        for (kind, file, archive) in [(Kind::Apart, 40, 43), (Kind::Behind, 40, 43)] {
            assert!(!told(kind, file, archive).contains("bring it back"));
        }
    }
}
