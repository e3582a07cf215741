//! `crypto.md5`, `.sha1`, `.sha256` (RFC 1321, FIPS 180-4) and `crypto.hmac.*` (RFC 2104).

use digest::{Digest as _, KeyInit};
use hmac::Hmac;
use md5::Md5;
use regorus::Value;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::{Answer, Builtin, text_of};
use crate::hex;

pub(super) const ALL: &[Builtin] = &[
    ("crypto.md5", 1, |g| plain(g, |t| hex(&Md5::digest(t)))),
    ("crypto.sha1", 1, |g| plain(g, |t| hex(&Sha1::digest(t)))),
    ("crypto.sha256", 1, |g| plain(g, |t| hex(&Sha256::digest(t)))),
    ("crypto.hmac.md5", 2, keyed::<Hmac<Md5>>),
    ("crypto.hmac.sha1", 2, keyed::<Hmac<Sha1>>),
    ("crypto.hmac.sha256", 2, keyed::<Hmac<Sha256>>),
    ("crypto.hmac.sha512", 2, keyed::<Hmac<Sha512>>),
    ("crypto.hmac.equal", 2, equal),
];

fn plain(given: &[Value], made: impl Fn(&[u8]) -> String) -> Answer {
    let [text] = given else { return Err("one text".to_owned()) };
    Ok(Value::from(made(text_of(text)?.as_bytes())))
}

fn keyed<M: digest::Mac + KeyInit>(given: &[Value]) -> Answer {
    let [text, key] = given else { return Err("a text and a key".to_owned()) };
    let mut mac =
        <M as KeyInit>::new_from_slice(text_of(key)?.as_bytes()).map_err(|e| e.to_string())?;
    mac.update(text_of(text)?.as_bytes());
    Ok(Value::from(hex(&mac.finalize().into_bytes())))
}

fn equal(given: &[Value]) -> Answer {
    let [one, other] = given else { return Err("two texts".to_owned()) };
    let (one, other) = (text_of(one)?.as_bytes(), text_of(other)?.as_bytes());
    // In the same time wherever they differ.
    let differ = one.iter().zip(other).fold(0_u8, |all, (a, b)| all | (a ^ b));
    Ok(Value::from(one.len() == other.len() && differ == 0))
}
