//! Values in a vault's answers, read straight into memory that is wiped.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use crate::secret::{Fields, Secret};

/// A text, number or truth as text; nothing for what is nested, null, empty or too large.
pub(super) struct Text(Option<Secret>);

impl Text {
    pub fn secret(self) -> Option<Secret> {
        self.0
    }
}

/// The fields that have a value of their own.
pub(super) fn fields(all: BTreeMap<String, Text>) -> Fields {
    all.into_iter().filter_map(|(name, text)| Some((name, text.secret()?))).collect()
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

fn kept(text: &str) -> Text {
    Text(Secret::new(Zeroizing::new(text.as_bytes().to_vec())).ok())
}

impl<'de> Visitor<'de> for Reader {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(kept(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
        Ok(kept(&value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
        Ok(kept(&value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
        Ok(kept(&value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
        Ok(kept(&value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_are_read() {
        let text = r#"{"a":"x\ny","b":7,"c":true,"d":null,"e":{"f":1},"g":[1],"h":"","i":-1.5}"#;
        let read = fields(serde_json::from_str(text).unwrap());
        let seen: Vec<_> =
            read.iter().map(|(n, v)| (n.as_str(), v.expose_text().unwrap())).collect();
        assert_eq!(seen, [("a", "x\ny"), ("b", "7"), ("c", "true"), ("i", "-1.5")]);
    }
}
