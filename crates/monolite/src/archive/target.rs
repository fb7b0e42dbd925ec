//! To which moment: `latest`, a commit, a moment, or a cut by its name.

use crate::verb::Usage;
use jiff::Timestamp;

/// The longest name of a cut.
const MARK_MAX: usize = 64;

/// What is wanted back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest: of one file its last commit, of all files the newest cut.
    Latest,
    /// Each file at its own newest commit.
    Newest,
    /// A commit of one file.
    Sequence(u64),
    /// The newest from before this moment, in unix milliseconds.
    Before(i64),
    /// The newest cut of this name.
    Cut(String),
}

impl Wanted {
    /// What to say of a moment that is to come: perhaps it is of another time zone.
    pub(crate) fn to_come(&self) -> Option<String> {
        let Wanted::Before(wanted) = *self else { return None };
        let (wanted, now) = (Timestamp::from_millisecond(wanted).ok()?, Timestamp::now());
        (wanted > now).then(|| format!("{wanted} is to come, now is {now:.0}: that is the newest there is"))
    }
}

/// Reads the words of `--to`.
pub(crate) fn wanted(text: &str) -> Result<Wanted, Usage> {
    match text {
        "latest" => return Ok(Wanted::Latest),
        "newest" => return Ok(Wanted::Newest),
        _ => {}
    }
    if let Ok(sequence) = text.parse() {
        return Ok(Wanted::Sequence(sequence));
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let moment: Result<Timestamp, _> = text.parse();
        return match moment {
            Ok(moment) => Ok(Wanted::Before(moment.as_millisecond())),
            Err(_) => Err(Usage(format!(
                "{text:?} is no moment: give the date, the time and the zone, such as 2026-11-23T14:05:00Z or 2026-11-23T15:05:00+01:00"
            ))),
        };
    }
    if check_mark(text).is_err() {
        return Err(Usage(format!(
            "{text:?} is nothing to go to: latest, newest, a moment such as 2026-11-23T14:05:00Z, the name of a cut (`backup list` has \
             them), or of one service a commit"
        )));
    }
    Ok(Wanted::Cut(text.to_owned()))
}

/// Refuses a name for a cut that could not be told from a commit, a moment or a word of `--to`.
pub(crate) fn check_mark(name: &str) -> Result<(), Usage> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if begins && name.len() <= MARK_MAX && name.chars().all(sound) && !matches!(name, "latest" | "newest" | "auto") {
        return Ok(());
    }
    Err(Usage(format!(
        "{name:?} cannot name a cut: a letter first, then letters, digits, '-', '_' and '.', {MARK_MAX} at most; and not latest, newest or auto"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_name_a_moment_is_told_from_the_others() {
        let read = |text| wanted(text).map_err(|e| e.0);
        assert_eq!(read("latest"), Ok(Wanted::Latest));
        assert_eq!(read("newest"), Ok(Wanted::Newest));
        assert_eq!(read("1234"), Ok(Wanted::Sequence(1234)));
        assert_eq!(read("2026-11-23T14:05:00.250Z"), Ok(Wanted::Before(1_795_442_700_250)));
        assert_eq!(read("2026-11-23T15:05:00.250+01:00"), read("2026-11-23T14:05:00.250Z"));
        assert_eq!(read("before-import"), Ok(Wanted::Cut("before-import".to_owned())));
        for wrong in ["2026-11-23", "2026-11-23T14:05:00", "14:05"] {
            assert!(read(wrong).unwrap_err().contains("zone"), "{wrong}");
        }
        for wrong in ["", "a b", "-a", "a/b", "auto"] {
            assert!(read(wrong).unwrap_err().contains("is nothing to go to: latest"), "{wrong}");
        }
    }
}
