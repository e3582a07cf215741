//! `uuid.parse` (RFC 4122). `uuid.rfc4122` makes one by chance and is not here.

use std::collections::BTreeMap;

use regorus::Value;

use super::{Answer, Builtin};

pub(super) const ALL: &[Builtin] = &[("uuid.parse", 1, parse)];

/// Between the Gregorian reform and 1970, in steps of 100 ns.
const REFORM: i64 = 0x01b2_1dd2_1381_4000;

fn bytes_of(text: &str) -> Option<[u8; 16]> {
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let dashed = [8, 13, 18, 23].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let digits = match (text.len(), dashed) {
        (36, true) => text.replace('-', ""),
        (32, false) => text.to_owned(),
        _ => return None,
    };
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

fn parse(given: &[Value]) -> Answer {
    let [Value::String(text)] = given else { return Ok(Value::Undefined) };
    let Some(bytes) = bytes_of(text) else { return Ok(Value::Undefined) };
    let version = bytes[6] >> 4;
    let variant = match bytes[8] >> 5 {
        0..=3 => "Reserved",
        4 | 5 => "RFC4122",
        6 => "Microsoft",
        _ => "Future",
    };
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: Value| all.insert(Value::from(name), value);
    put("version", Value::from(u64::from(version)));
    put("variant", Value::from(variant));
    if version == 1 || version == 2 {
        put("nodeid", Value::from(node(&bytes)));
        put("macvariables", Value::from(kinds(bytes[10])));
        let sequence = u16::from_be_bytes([bytes[8] & 0x3f, bytes[9]]);
        put("clocksequence", Value::from(u64::from(sequence)));
        put("time", Value::from(nanos(&bytes)));
    }
    if version == 2 {
        let id = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        put("id", Value::from(u64::from(id)));
        let domain = match bytes[9] {
            0 => "Person".to_owned(),
            1 => "Group".to_owned(),
            2 => "Org".to_owned(),
            other => format!("Domain{other}"),
        };
        put("domain", Value::from(domain));
    }
    Ok(Value::from(all))
}

fn node(bytes: &[u8; 16]) -> String {
    let pairs: Vec<String> = bytes[10..].iter().map(|b| format!("{b:02x}")).collect();
    pairs.join("-")
}

fn kinds(first: u8) -> String {
    let scope = if first & 2 == 0 { "global" } else { "local" };
    let cast = if first & 1 == 0 { "unicast" } else { "multicast" };
    format!("{scope}:{cast}")
}

/// Nanoseconds since 1970.
fn nanos(bytes: &[u8; 16]) -> i64 {
    let low = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let middle = u16::from_be_bytes([bytes[4], bytes[5]]);
    let high = u16::from_be_bytes([bytes[6] & 0x0f, bytes[7]]);
    let ticks = i64::from(low) | i64::from(middle) << 32 | i64::from(high) << 48;
    (ticks - REFORM).saturating_mul(100)
}
