//! JSON that somebody else wrote, read strictly: no key twice, not too deep,
//! not too large.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The largest document.
pub const JSON_BYTES_MAX: u64 = 4 << 20;
/// The deepest nesting.
const DEPTH_MAX: usize = 32;

/// Returns the document in `bytes`, which any two readers would understand alike.
pub fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    if bytes.len() as u64 > JSON_BYTES_MAX {
        return Err(de::Error::custom("the document is larger than 4 MiB"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn below<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom("the document is nested more than 32 deep"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(below)?;
            if map.contains_key(&key) {
                let key: String = key.chars().take(64).collect();
                return Err(de::Error::custom(format_args!("the key {key:?} stands twice")));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let good = br#"{"a":[1,-2,1.5,true,null],"b":{"a":"x"}}"#;
        assert_eq!(parse(good).unwrap(), serde_json::from_slice::<Value>(good).unwrap());
        for bad in [
            &br#"{"a":1,"a":1}"#[..],
            br#"{"b":[{"a":1,"\u0061":2}]}"#,
            b"{} {}",
            b"",
            b"{\"a\":\"\xff\"}",
        ] {
            assert!(parse(bad).is_err(), "{}", bad.escape_ascii());
        }
        let nested = |depth| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        parse(&nested(32)).unwrap();
        parse(&nested(33)).unwrap_err();
        parse(&nested(100_000)).unwrap_err();
    }
}
