//! Members of a document at dotted paths, read in one pass without building a tree.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A dotted path of member names: `.a.b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<String>);

impl std::str::FromStr for Path {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<String> = text.strip_prefix('.').unwrap_or(text).split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            return Err("a path is dotted member names, such as .a.b".to_owned());
        }
        Ok(Path(names))
    }
}

/// Reads a document to its end and picks the text, number or flag at each path.
pub(crate) fn pick<const N: usize>(
    json: &str,
    paths: [&[String]; N],
) -> Result<[Option<String>; N], serde_json::Error> {
    let mut found = [const { None }; N];
    let mut wanted: Vec<Want<'_>> =
        paths.iter().zip(&mut found).filter(|(p, _)| !p.is_empty()).map(|(path, found)| Want { path, found }).collect();
    let mut from = serde_json::Deserializer::from_str(json);
    Walk(wanted.iter_mut().collect()).deserialize(&mut from)?;
    from.end()?;
    Ok(found)
}

struct Want<'a> {
    path: &'a [String],
    found: &'a mut Option<String>,
}

/// Walks one value; each want's path begins here.
struct Walk<'w, 'a>(Vec<&'w mut Want<'a>>);

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.0.is_empty() {
            return IgnoredAny::deserialize(from).map(|_| ());
        }
        from.deserialize_any(self)
    }
}

impl Walk<'_, '_> {
    fn scalar(self, text: &str) {
        for want in self.0 {
            if want.path.is_empty() {
                *want.found = Some(text.to_owned());
            }
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }
    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.scalar(if flag { "true" } else { "false" });
        Ok(())
    }
    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.scalar(&number.to_string());
        Ok(())
    }
    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.scalar(&number.to_string());
        Ok(())
    }
    /// Fractions and integers beyond 64 bits have no one text: two of them could become the same key.
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.scalar(text);
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = members.next_key()? {
            let mut inner: Vec<Want<'_>> = Vec::new();
            for want in &mut self.0 {
                if want.path.first().is_some_and(|first| *first == name) {
                    inner.push(Want { path: &want.path[1..], found: want.found });
                }
            }
            members.next_value_seed(Walk(inner.iter_mut().collect()))?;
        }
        Ok(())
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
            fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Self::Value, E> {
                Err(E::custom("a member's name is not UTF-8"))
            }
        }
        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.parse::<Path>().unwrap().0
    }

    #[test]
    fn members_are_picked_in_one_pass() {
        let json = r#"{"x":[1,{"id":9}],"id":"a\"b","in":{"n":7,"id":{"deep":true}},"title":null}"#;
        let picked = pick(json, [&path(".id"), &path("in.n"), &path(".in.id.deep"), &path(".title"), &path(".x")]);
        assert_eq!(
            picked.unwrap(),
            [Some("a\"b".to_owned()), Some("7".to_owned()), Some("true".to_owned()), None, None]
        );
        assert_eq!(pick("12", [&path(".id")]).unwrap(), [None]);
        assert_eq!(pick(r#"{"\u0069d":"x"}"#, [&path(".id")]).unwrap(), [Some("x".to_owned())]);
    }

    #[test]
    fn what_is_not_json_is_an_error_anywhere_in_it() {
        for broken in ["{\"a\":1,}", "{\"a\":01}", "{} x", "{\"a\":\"\u{1}\"}", "[1 2]", "nul", ""] {
            assert!(pick(broken, [&path(".z")]).is_err(), "{broken}");
        }
    }

    #[test]
    fn paths_are_dotted_names() {
        assert_eq!(path(".a.b"), ["a", "b"]);
        assert_eq!(path("a"), ["a"]);
        assert!(".a..b".parse::<Path>().is_err());
        assert!(".".parse::<Path>().is_err());
    }
}
