//! `net.cidr_*`: address blocks (RFC 4632, RFC 4291). No name is ever looked up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regorus::Value;

use super::{Answer, Builtin, members, text_of};
use crate::limits;

pub(super) const ALL: &[Builtin] = &[
    ("net.cidr_is_valid", 1, is_valid),
    ("net.cidr_contains", 2, contains),
    ("net.cidr_intersects", 2, intersects),
    ("net.cidr_contains_matches", 2, contains_matches),
    ("net.cidr_expand", 1, expand),
    ("net.cidr_merge", 1, merge),
];

/// A block: its first and last address as numbers of `bits` bits. Blocks of version 4 come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    bits: u32,
    first: u128,
    last: u128,
}

impl Block {
    fn of(address: IpAddr, length: Option<u32>) -> Option<Self> {
        let (bits, number) = match address {
            IpAddr::V4(v4) => (32, u128::from(u32::from(v4))),
            IpAddr::V6(v6) => (128, u128::from(v6)),
        };
        let free = bits - length.unwrap_or(bits).min(bits);
        if length.is_some_and(|l| l > bits) {
            return None;
        }
        let low = if free == 128 { u128::MAX } else { (1 << free) - 1 };
        Some(Self { bits, first: number & !low, last: number | low })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid CIDR address: {text}");
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let digits = !length.is_empty() && length.len() <= 3;
        if !digits || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let address = address.parse().map_err(|_| wrong())?;
        Self::of(address, length.parse().ok()).ok_or_else(wrong)
    }

    /// A block, or one address.
    fn any(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Self::parse(text);
        }
        let address = text.parse().map_err(|_| format!("invalid CIDR address: {text}"))?;
        Self::of(address, None).ok_or_else(|| "no address".to_owned())
    }

    fn holds(&self, other: &Self) -> bool {
        self.bits == other.bits && self.first <= other.first && other.last <= self.last
    }

    fn address(&self, number: u128) -> IpAddr {
        match u32::try_from(number) {
            Ok(v4) if self.bits == 32 => IpAddr::V4(Ipv4Addr::from(v4)),
            _ => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }
}

fn two(given: &[Value]) -> Result<(&Value, &Value), String> {
    match given {
        [one, other] => Ok((one, other)),
        _ => Err("two operands".to_owned()),
    }
}

fn is_valid(given: &[Value]) -> Answer {
    let [Value::String(text)] = given else { return Ok(Value::from(false)) };
    Ok(Value::from(Block::parse(text).is_ok()))
}

fn contains(given: &[Value]) -> Answer {
    let (block, other) = two(given)?;
    let (block, other) = (Block::parse(text_of(block)?)?, Block::any(text_of(other)?)?);
    Ok(Value::from(block.holds(&other)))
}

fn intersects(given: &[Value]) -> Answer {
    let (one, other) = two(given)?;
    let (one, other) = (Block::parse(text_of(one)?)?, Block::parse(text_of(other)?)?);
    Ok(Value::from(one.bits == other.bits && one.first <= other.last && other.first <= one.last))
}

/// The blocks of an operand, each with what names it in the answer.
fn named(operand: &Value) -> Result<Vec<(Value, Block)>, String> {
    let block = |value: &Value| match value {
        Value::String(text) => Block::any(text),
        Value::Array(tuple) => match tuple.iter().next() {
            Some(Value::String(text)) => Block::any(text),
            _ => Err("element must be string or non-empty array".to_owned()),
        },
        _ => Err("element must be string or non-empty array".to_owned()),
    };
    match operand {
        Value::String(text) => Ok(vec![(operand.clone(), Block::any(text)?)]),
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, v)| Ok((Value::from(n), block(v)?))).collect()
        }
        Value::Set(items) => items.iter().map(|v| Ok((v.clone(), block(v)?))).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| Ok((k.clone(), block(v)?))).collect(),
        _ => Err("operand must be one of {string, array, set, object}".to_owned()),
    }
}

fn contains_matches(given: &[Value]) -> Answer {
    let (blocks, others) = two(given)?;
    let (blocks, others) = (named(blocks)?, named(others)?);
    if blocks.len().saturating_mul(others.len()) > limits::PAIRS {
        return Err("more pairs than may be compared".to_owned());
    }
    let mut all = std::collections::BTreeSet::new();
    for (name, block) in &blocks {
        for (other_name, other) in &others {
            if block.holds(other) {
                all.insert(Value::from(vec![name.clone(), other_name.clone()]));
            }
        }
    }
    Ok(Value::from(all))
}

fn expand(given: &[Value]) -> Answer {
    let [text] = given else { return Err("one operand".to_owned()) };
    let block = Block::parse(text_of(text)?)?;
    if block.last - block.first >= limits::ADDRESSES {
        return Err("a block of more addresses than may be listed".to_owned());
    }
    let all = (block.first..=block.last).map(|n| Value::from(block.address(n).to_string()));
    Ok(Value::from(all.collect::<std::collections::BTreeSet<_>>()))
}

/// A block of an operand of `net.cidr_merge`: OPA gives an address of version 4 without a length
/// the length of its class, and refuses one of version 6.
fn merged_of(text: &str) -> Result<Block, String> {
    if text.contains('/') {
        return Block::parse(text);
    }
    let wrong = || format!("IPv6 invalid: needs prefix length: {text}");
    let address: Ipv4Addr = text.parse().map_err(|_| wrong())?;
    let length = match address.octets() {
        [0..=127, ..] => 8,
        [128..=191, ..] => 16,
        _ => 24,
    };
    Block::of(IpAddr::V4(address), Some(length)).ok_or_else(wrong)
}

fn merge(given: &[Value]) -> Answer {
    let [operand] = given else { return Err("one operand".to_owned()) };
    let mut blocks = members(operand)?
        .into_iter()
        .map(|v| merged_of(text_of(v)?))
        .collect::<Result<Vec<_>, _>>()?;
    blocks.sort_unstable();
    let mut ranges: Vec<Block> = Vec::new();
    for block in blocks {
        match ranges.last_mut() {
            Some(last) if last.bits == block.bits && block.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(block.last);
            }
            _ => ranges.push(block),
        }
    }
    let mut all = std::collections::BTreeSet::new();
    for range in ranges {
        let mut first = range.first;
        loop {
            // The largest block that begins here and ends within the range.
            let span = range.last - first;
            let fits = if span == u128::MAX { 128 } else { (span + 1).ilog2() };
            let free = first.trailing_zeros().min(fits).min(range.bits);
            all.insert(Value::from(format!("{}/{}", range.address(first), range.bits - free)));
            let last = if free == 128 { u128::MAX } else { first + ((1 << free) - 1) };
            if last >= range.last {
                break;
            }
            first = last + 1;
        }
    }
    Ok(Value::from(all))
}
