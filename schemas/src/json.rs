//! Strict JSON: the only way in for bytes of a client. Refuses duplicate keys, floats, integers
//! beyond 2^53 - 1 and deep nesting, all of which readers of the ledger would see differently.

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::limits::{JSON_DEPTH, JSON_INTEGER};

/// Why bytes are not strict JSON; the text names the place.
#[derive(Debug, thiserror::Error)]
#[error("not strict JSON: {0}")]
pub struct NotStrict(#[from] serde_json::Error);

/// Parses one JSON value.
///
/// # Errors
/// Syntax, invalid UTF-8, a repeated key, a float, an integer beyond 2^53 - 1, or nesting deeper
/// than [`JSON_DEPTH`].
pub fn parse(bytes: &[u8]) -> Result<Value, NotStrict> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(JSON_DEPTH).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

struct Strict(usize);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
        if v < -JSON_INTEGER {
            return Err(E::custom("integer beyond 2^53-1"));
        }
        Ok(Value::Number(Number::from(v)))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        if v > JSON_INTEGER as u64 {
            return Err(E::custom("integer beyond 2^53-1"));
        }
        Ok(Value::Number(Number::from(v)))
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("numbers are integers here: no fraction, no exponent"))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(v) = seq.next_element_seed(self.deeper()?)? {
            out.push(v);
        }
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.deeper()?)?;
            if out.contains_key(&key) {
                return Err(de::Error::custom(format_args!("key {key:?} stands twice")));
            }
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// A typed value from strict JSON.
///
/// # Errors
/// As [`parse`], and where the value does not fit `T`.
pub fn typed<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, NotStrict> {
    Ok(serde_json::from_value(parse(bytes)?)?)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_readers_would_see_differently_is_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            "1.5",
            "1e3",
            "9007199254740992",
            "-9007199254740992",
            "{} {}",
            "{",
            &"[".repeat(40),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse(br#"{"a":9007199254740991,"b":[true,null,"x"]}"#).is_ok());
    }
}
