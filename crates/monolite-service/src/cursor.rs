//! Cursors: where the last page ended, opaque and checked.
//!
//! A cursor is base64url of: version (1 byte), then for each key a tag and its value (INTEGER and REAL 8 bytes, little
//! endian; TEXT and BLOB a length of 4 bytes and the bytes), then 8 bytes of a sum over these and the query.
//!
//! **Invariants**
//! - Only a cursor that this query made, unchanged, is read; the sum finds mistakes, it is no secret.
//! - A cursor gives no access: filters are bound again with each page.

use monolite_store::rusqlite::types::Value;

const VERSION: u8 = 1;
/// Longest cursor that is looked at, in characters.
const LENGTH_MAX: usize = 8192;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The cursor after a row with these keys; none if a key is NULL, which has no place in an order.
pub(crate) fn encode(query: u64, keys: &[Value]) -> Option<String> {
    let mut bytes = vec![VERSION];
    for key in keys {
        match key {
            Value::Null => return None,
            Value::Integer(i) => {
                bytes.push(1);
                bytes.extend(i.to_le_bytes());
            }
            Value::Real(r) => {
                bytes.push(2);
                bytes.extend(r.to_le_bytes());
            }
            Value::Text(t) => push_long(&mut bytes, 3, t.as_bytes())?,
            Value::Blob(b) => push_long(&mut bytes, 4, b)?,
        }
    }
    let sum = sum(query, &bytes);
    bytes.extend(sum.to_le_bytes());
    Some(to_text(&bytes))
}

fn push_long(bytes: &mut Vec<u8>, tag: u8, long: &[u8]) -> Option<()> {
    bytes.push(tag);
    bytes.extend(u32::try_from(long.len()).ok()?.to_le_bytes());
    bytes.extend(long);
    Some(())
}

/// The keys in a cursor of this query; none if it is not one.
pub(crate) fn decode(query: u64, cursor: &str) -> Option<Vec<Value>> {
    let bytes = from_text(cursor)?;
    let (payload, said) = bytes.split_last_chunk::<8>()?;
    if u64::from_le_bytes(*said) != sum(query, payload) {
        return None;
    }
    let (&VERSION, mut rest) = payload.split_first()? else { return None };
    let mut keys = Vec::new();
    while let Some((tag, after)) = rest.split_first() {
        let (key, after) = match tag {
            1 => after.split_first_chunk::<8>().map(|(n, after)| (Value::Integer(i64::from_le_bytes(*n)), after))?,
            2 => after.split_first_chunk::<8>().map(|(n, after)| (Value::Real(f64::from_le_bytes(*n)), after))?,
            3 => take_long(after).and_then(|(t, after)| Some((Value::Text(String::from_utf8(t).ok()?), after)))?,
            4 => take_long(after).map(|(b, after)| (Value::Blob(b), after))?,
            _ => return None,
        };
        keys.push(key);
        rest = after;
    }
    Some(keys)
}

fn take_long(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (long, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((long.to_vec(), after))
}

/// FNV-1a, 64 bits: the same in every build, which a cursor outlives.
pub(crate) fn sum(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xCBF2_9CE4_8422_2325 ^ seed;
    bytes.iter().fold(start, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0u32, |group, (i, b)| group | u32::from(*b) << (16 - 8 * i));
        for i in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}

fn from_text(text: &str) -> Option<Vec<u8>> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.as_bytes().chunks(4) {
        let mut group = 0u32;
        for (i, c) in chunk.iter().enumerate() {
            group |= u32::from(digit(*c)?) << (18 - 6 * i);
        }
        bytes.extend(&group.to_be_bytes()[1..chunk.len()]);
    }
    // One text for each cursor: no stray bits, no group of one character.
    (text.len() % 4 != 1 && to_text(&bytes) == text).then_some(bytes)
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::Integer),
            (-1e300..1e300f64).prop_map(Value::Real),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn a_cursor_gives_its_keys_back(query: u64, keys in prop::collection::vec(key(), 0..4)) {
            let cursor = encode(query, &keys).unwrap();
            prop_assert_eq!(decode(query, &cursor), Some(keys));
        }

        #[test]
        fn a_changed_cursor_is_refused(query: u64, keys in prop::collection::vec(key(), 1..4), at: prop::sample::Index, to in 0usize..64) {
            let cursor = encode(query, &keys).unwrap();
            let at = at.index(cursor.len());
            let mut changed = cursor.clone().into_bytes();
            changed[at] = ALPHABET[to];
            let changed = String::from_utf8(changed).unwrap();
            prop_assume!(changed != cursor);
            prop_assert_eq!(decode(query, &changed), None);
            prop_assert_eq!(decode(query, &cursor[1..]), None);
        }

        #[test]
        fn a_cursor_of_another_query_is_refused(query: u64, other: u64, keys in prop::collection::vec(key(), 1..4)) {
            prop_assume!(query != other);
            prop_assert_eq!(decode(other, &encode(query, &keys).unwrap()), None);
        }

        #[test]
        fn any_text_is_refused_without_harm(text: String) {
            prop_assert_eq!(decode(0, &text), None);
        }
    }

    /// The format of version 1, as `docs/format/cursors.md` has it: clients may hold such cursors for long.
    #[test]
    fn cursors_of_version_one_stay_readable() {
        let keys = [Value::Integer(-2), Value::Real(1.5), Value::Text("té".into()), Value::Blob(vec![1, 2, 3])];
        let cursor = "AQH-_________wIAAAAAAAD4PwMDAAAAdMOpBAMAAAABAgNX5ZE2v0u6Ug";
        assert_eq!(encode(7, &keys).as_deref(), Some(cursor));
        assert_eq!(decode(7, cursor).as_deref(), Some(&keys[..]));
    }

    #[test]
    fn a_null_key_has_no_cursor() {
        assert_eq!(encode(0, &[Value::Null]), None);
    }
}
