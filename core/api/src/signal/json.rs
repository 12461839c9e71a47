//! JSON of an application that is passed on unread.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A JSON value as its sender wrote it. Cheap to clone: a message to a whole room is held once.
#[derive(Clone, Debug)]
pub struct Json(Arc<RawValue>);

/// Levels of arrays and objects in one another; as many as `serde_json` follows.
const DEPTH: usize = 127;

/// A value that nobody should try to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected JSON of at most {DEPTH} levels")]
pub struct TooDeep;

impl Json {
    /// Takes what a parser has found to be JSON.
    ///
    /// # Errors
    /// When it is nested so deeply that a recipient's parser might not follow.
    pub fn new(raw: &RawValue) -> Result<Self, TooDeep> {
        if depth(raw.get()) > DEPTH { Err(TooDeep) } else { Ok(Self(raw.to_owned().into())) }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.0.get()
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        // A `Value` has string keys only, so printing cannot fail.
        let raw = serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self(raw.into())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// By way of a [`Value`], for a value within an enum, where `serde` has read it before it is asked for. Frames of clients
/// are read without this detour.
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::from(&value))
    }
}

/// Of text that is known to be JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn it_is_printed_as_it_was_written() {
        for text in [r#"{"b":1, "a":[1.50,1e400,"\u00e9"]}"#, "null", r#""x""#] {
            assert_eq!(serde_json::to_string(&Json::new(&raw(text)).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn brackets_in_strings_are_no_levels() {
        assert_eq!(depth(r#"{"a":"[[[\"[{","b":[{}]}"#), 3);
        assert_eq!(depth("1"), 0);
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::new(&raw(&nested(DEPTH))).is_ok());
        assert_eq!(Json::new(&raw(&nested(DEPTH + 1))), Err(TooDeep));
    }
}
