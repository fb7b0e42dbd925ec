//! Values: five kinds, each written as people write them (`30s`, `16MiB`, `true`).

use std::fmt;
use std::time::Duration;

/// A value of a configuration key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Any text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A time span: `250us`, `5ms`, `30s`, `10m`, `2h`; a bare number is seconds.
    Time(Duration),
    /// A size: `512`, `64KiB`, `16MiB`, `1GiB`.
    Bytes(u64),
}

const TIMES: [(&str, u64); 5] =
    [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Value {
    /// Reads a text as a value of the same kind as this one; the error says what a value looks like.
    pub(crate) fn parse_like(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self {
            Value::Text(_) => Some(Value::Text(text.to_owned())),
            Value::Number(_) => digits(text).map(Value::Number),
            Value::Flag(_) => match text {
                "true" => Some(Value::Flag(true)),
                "false" => Some(Value::Flag(false)),
                _ => None,
            },
            Value::Time(_) => {
                let text = if text.bytes().all(|b| b.is_ascii_digit()) { &format!("{text}s") } else { text };
                with_unit(text, &TIMES).map(|nanos| Value::Time(Duration::from_nanos(nanos)))
            }
            Value::Bytes(_) => digits(text).or_else(|| with_unit(text, &SIZES)).map(Value::Bytes),
        }
        .ok_or_else(|| format!("must be {}, not {text:?}", self.kind()))
    }

    /// Whether it is a number, a size or a time of nothing, or no text.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Value::Number(n) | Value::Bytes(n) => *n == 0,
            Value::Time(time) => time.is_zero(),
            Value::Text(text) => text.is_empty(),
            Value::Flag(_) => false,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Number(_) => "a whole number",
            Value::Flag(_) => "true or false",
            Value::Time(_) => "a time such as 250us, 5ms, 30s or 10m",
            Value::Bytes(_) => "a size such as 512, 64KiB or 16MiB",
        }
    }
}

fn digits(text: &str) -> Option<u64> {
    text.replace('_', "").parse().ok()
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find_map(|(unit, factor)| digits(text.strip_suffix(unit)?.trim_end())?.checked_mul(*factor))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => number.fmt(f),
            Value::Flag(flag) => flag.fmt(f),
            Value::Time(time) => {
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                let whole = |(_, factor): &&(&str, u64)| nanos != 0 && nanos.is_multiple_of(*factor);
                // Minutes and hours read worse than seconds in a list of limits.
                let (unit, factor) = TIMES[..3].iter().rev().find(whole).unwrap_or(&("us", 1_000));
                write!(f, "{}{unit}", nanos / factor)
            }
            Value::Bytes(bytes) => {
                let whole = |(_, factor): &&(&str, u64)| *bytes != 0 && bytes.is_multiple_of(*factor);
                let (unit, factor) = SIZES.iter().find(whole).unwrap_or(&("B", 1));
                write!(f, "{}{unit}", bytes / factor)
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Flag(flag)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Value::Time(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        let time = |text: &str| Value::Time(Duration::ZERO).parse_like(text);
        assert_eq!(time("250us"), Ok(Value::Time(Duration::from_micros(250))));
        assert_eq!(time("5ms"), Ok(Value::Time(Duration::from_millis(5))));
        assert_eq!(time("30"), Ok(Value::Time(Duration::from_secs(30))));
        assert_eq!(time("10m"), Ok(Value::Time(Duration::from_secs(600))));
        assert!(time("soon").unwrap_err().contains("30s"));
        assert!(time("").is_err());
        let size = |text: &str| Value::Bytes(0).parse_like(text);
        assert_eq!(size("16 MiB"), Ok(Value::Bytes(16 << 20)));
        assert_eq!(size("512"), Ok(Value::Bytes(512)));
        assert!(size("99999999999GiB").is_err());
        assert!(Value::Number(0).parse_like("-1").is_err());
        assert!(Value::Flag(false).parse_like("yes").is_err());
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        for value in [
            Value::Time(Duration::from_micros(250)),
            Value::Time(Duration::from_secs(90)),
            Value::Time(Duration::ZERO),
            Value::Bytes(16 << 20),
            Value::Bytes(1000),
            Value::Bytes(0),
            Value::Flag(true),
            Value::Number(7),
        ] {
            assert_eq!(value.parse_like(&value.to_string()), Ok(value.clone()), "{value}");
        }
    }
}
