//! A SHA-256 as a type: printed and parsed as 64 lower-case hex digits, compared as bytes.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps the 32 bytes that a hasher yields.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses hex in a constant; a wrong constant stops the build.
    ///
    /// # Panics
    /// When `hex` is not 64 lower-case hex digits.
    pub const fn from_hex(hex: &str) -> Self {
        match Self::parse(hex.as_bytes()) {
            Some(digest) => digest,
            None => panic!("64 lower-case hex digits"),
        }
    }

    const fn parse(hex: &[u8]) -> Option<Self> {
        if hex.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        let mut at = 0;
        while at < 32 {
            match (nibble(hex[2 * at]), nibble(hex[2 * at + 1])) {
                (Some(high), Some(low)) => bytes[at] = high << 4 | low,
                _ => return None,
            }
            at += 1;
        }
        Some(Self(bytes))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Text that is not a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 lower-case hex digits")]
pub struct BadDigest;

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        Self::parse(text.as_bytes()).ok_or(BadDigest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parses_and_refuses_the_rest() {
        let hex = "fd184bbfd62329cfe093e99da2ea7071905f2ead91900b448eb2635870821bef";
        assert_eq!(hex.parse::<Digest>().expect("valid").to_string(), hex);
        for bad in ["", "fd", &hex.to_uppercase(), &format!("{hex}0"), &hex.replace('f', "g")] {
            assert_eq!(bad.parse::<Digest>(), Err(BadDigest), "{bad}");
        }
    }
}
