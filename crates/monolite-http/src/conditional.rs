//! Preconditions: `ETag`, `If-Match`, `If-None-Match` over a row's version (RFC 9110, section 13).
//!
//! An entity tag of ours is the version in quotes, `"17"`, and always strong. Of a file that was rewound it also names the
//! history, `"17-5c0f12ab"`: the same row had other content under that version in the history that was left.

use crate::input::Fault;
use http::HeaderValue;

/// Stands for a tag that no answer of ours ever had: no row reaches this version, so it is refused as stale, but only
/// after everything else about the request was found good.
pub(crate) const NEVER: u64 = i64::MAX as u64;

/// Reads `If-Match`; one tag is all a version can mean.
pub(crate) fn if_match(value: &HeaderValue, fork: Option<u32>) -> Result<u64, Fault> {
    let malformed = || Fault::whole("malformed_if_match", "If-Match must be one quoted entity tag");
    let text = value.to_str().map_err(|_| malformed())?.trim();
    let (weak, tag) = one_tag(text).ok_or_else(malformed)?;
    // A weak tag never matches here (strong comparison).
    Ok(version(tag, fork).filter(|version| !weak && *version < NEVER).unwrap_or(NEVER))
}

/// Whether `If-None-Match` names this version, so that the answer is 304.
pub(crate) fn if_none_match(value: &HeaderValue, current: Option<u64>, fork: Option<u32>) -> Result<bool, Fault> {
    let malformed = || Fault::whole("malformed_if_none_match", "If-None-Match must be quoted entity tags or *");
    let text = value.to_str().map_err(|_| malformed())?.trim();
    if text == "*" {
        return Ok(current.is_some());
    }
    let mut matches = false;
    for part in text.split(',') {
        let (_, tag) = one_tag(part.trim()).ok_or_else(malformed)?;
        matches |= current.is_some() && version(tag, fork) == current;
    }
    Ok(matches)
}

/// The tag of a version, in the history of a fork where there is one.
pub(crate) fn tag(version: u64, fork: Option<u32>) -> HeaderValue {
    if let Some(fork) = fork {
        let text = format!("\"{version}-{fork:08x}\"");
        return HeaderValue::try_from(text).expect("digits, a dash and quotes are a header's value");
    }
    let mut text = [b'"'; 22];
    let mut at = text.len() - 1;
    let mut rest = version;
    loop {
        at -= 1;
        text[at] = b'0' + u8::try_from(rest % 10).expect("a digit is below ten");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    HeaderValue::from_bytes(&text[at - 1..]).expect("digits and quotes are a header's value")
}

/// A tag without its quotes, and whether it is weak.
fn one_tag(text: &str) -> Option<(bool, &str)> {
    let (weak, quoted) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
    let tag = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (!tag.contains('"')).then_some((weak, tag))
}

fn version(tag: &str, fork: Option<u32>) -> Option<u64> {
    let tag = match fork {
        None => tag,
        Some(fork) => tag.strip_suffix(&format!("-{fork:08x}"))?,
    };
    let plain = tag.bytes().all(|b| b.is_ascii_digit()) && (tag == "0" || !tag.starts_with('0'));
    tag.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_back_as_its_version() {
        for version in [0, 7, 10, 4_096, NEVER - 1] {
            assert_eq!(tag(version, None), HeaderValue::try_from(format!("\"{version}\"")).unwrap());
            assert_eq!(if_match(&tag(version, None), None), Ok(version));
            assert_eq!(if_none_match(&tag(version, None), Some(version), None), Ok(true));
        }
    }

    #[test]
    fn a_tag_of_another_history_never_matches() {
        let forks = [None, Some(7), Some(0xfedc_ba98)];
        for (told, now) in forks.iter().flat_map(|told| forks.map(|now| (*told, now))) {
            let known = tag(17, told);
            assert_eq!(if_match(&known, now), Ok(if told == now { 17 } else { NEVER }), "{known:?} {now:?}");
            assert_eq!(if_none_match(&known, Some(17), now), Ok(told == now), "{known:?} {now:?}");
        }
        assert_eq!(tag(17, Some(7)), HeaderValue::from_static("\"17-00000007\""));
    }

    #[test]
    fn if_match_takes_one_tag_and_a_foreign_or_weak_one_never_matches() {
        let read = |text: &'static str| if_match(&HeaderValue::from_static(text), None).map_err(|fault| fault.code);
        for foreign in [
            "\"abc\"",
            "\"\"",
            "W/\"7\"",
            "\"007\"",
            "\"+7\"",
            "\"99999999999999999999999\"",
            "\"18446744073709551615\"",
        ] {
            assert_eq!(read(foreign), Ok(NEVER), "{foreign}");
        }
        for bad in ["", "7", "\"7", "7\"", "*", "\"7\", \"8\"", "W/7", "\"7\"\"8\""] {
            assert_eq!(read(bad), Err("malformed_if_match"), "{bad}");
        }
    }

    #[test]
    fn if_none_match_takes_a_list_or_a_star() {
        let read =
            |text: &'static str, at| if_none_match(&HeaderValue::from_static(text), at, None).map_err(|f| f.code);
        assert_eq!(read("\"6\", W/\"7\"", Some(7)), Ok(true));
        assert_eq!(read("\"6\"", Some(7)), Ok(false));
        assert_eq!(read("*", Some(7)), Ok(true));
        assert_eq!(read("*", None), Ok(false));
        assert_eq!(read("\"abc\"", None), Ok(false));
        for bad in ["", "7", "\"6\",", "*, \"7\""] {
            assert_eq!(read(bad, Some(7)), Err("malformed_if_none_match"), "{bad}");
        }
    }
}
