//! Text forms of bytes: hex in lower case and base64url without padding, each with one strict
//! reader, so that every value has exactly one text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        out.push(char::from(HEX[usize::from(b >> 4)]));
        out.push(char::from(HEX[usize::from(b & 15)]));
    }
    out
}

/// The value of a lower-case hex digit; the high bit is set for anything else.
const NIBBLES: [u8; 256] = {
    let mut table = [0x80; 256];
    let mut n = 0;
    while n < HEX.len() {
        table[HEX[n] as usize] = n as u8;
        n += 1;
    }
    table
};

/// 32 bytes from exactly 64 lower-case hex digits.
#[must_use]
pub fn unhex32(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    // Without a branch for each digit: every record holds several.
    let (mut out, mut seen) = ([0; 32], 0);
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen < 0x80).then_some(out)
}

/// Base64url without padding.
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; stray bits at the end are refused.
#[must_use]
pub fn unbase64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Exactly `N` bytes of base64url without padding.
#[must_use]
pub fn unbase64url_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    let n = URL_SAFE_NO_PAD.decode_slice(text, &mut out).ok()?;
    (n == N).then_some(out)
}

/// Base64 with padding.
#[must_use]
pub fn base64_padded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads base64 with padding.
#[must_use]
pub fn unbase64_padded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_text() {
        assert_eq!(unhex32(&hex(&[0xab; 32])), Some([0xab; 32]));
        assert_eq!(unhex32(&hex(&[0xab; 32]).to_uppercase()), None);
        assert_eq!(unhex32("ab"), None);
        assert_eq!(unbase64url_exact::<1>("_w"), Some([255]));
        assert_eq!(unbase64url_exact::<1>("_x"), None, "stray bits");
        assert_eq!(unbase64url_exact::<1>("_w=="), None);
        assert_eq!(unbase64url_exact::<32>("_w"), None);
        assert_eq!(unbase64_padded("/w=="), Some(vec![255]));
        assert_eq!(unbase64_padded("/w"), None);
    }
}
