//! Addresses of NATS as people, processes and files hand them on: one text that names the servers
//! and, where the connection is to be guarded by TLS, the files it takes. So whoever is given an
//! address can connect. No IO: files are read by who connects.

use std::fmt;
use std::path::{Path, PathBuf};

/// Files in PEM form. With any of them the connection is never in clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authority that signed the server's certificate; the system's without it.
    pub ca: Option<PathBuf>,
    /// The client's certificate, where the server asks for one.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is said here, and what `other` says where nothing is.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
        }
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        all.into_iter().filter_map(|(name, path)| Some((name, path.as_deref()?)))
    }
}

/// `nats://a:4222,nats://b:4222?ca=/etc/canonry/ca.pem`: servers joined by commas, then files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The servers, joined by commas.
    pub servers: String,
    /// The files.
    pub tls: Tls,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: what follows the ? of an address is ca=FILE, cert=FILE and key=FILE, joined by &")]
pub struct InvalidAddress(String);

impl std::str::FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (servers, files) = text.split_once('?').unwrap_or((text, ""));
        let mut tls = Tls::default();
        for part in files.split('&').filter(|part| !part.is_empty()) {
            let wrong = || InvalidAddress(part.to_owned());
            let (name, file) = part.split_once('=').ok_or_else(wrong)?;
            let place = match name {
                "ca" => &mut tls.ca,
                "cert" => &mut tls.cert,
                "key" => &mut tls.key,
                _ => return Err(wrong()),
            };
            let file = decoded(file).filter(|file| !file.is_empty()).ok_or_else(wrong)?;
            if place.replace(file.into()).is_some() {
                return Err(wrong());
            }
        }
        if tls.cert.is_some() != tls.key.is_some() {
            return Err(InvalidAddress("a certificate and its key come together".to_owned()));
        }
        Ok(Self { servers: servers.to_owned(), tls })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.servers)?;
        for (n, (name, path)) in self.tls.parts().enumerate() {
            let mark = if n == 0 { '?' } else { '&' };
            write!(f, "{mark}{name}={}", encoded(&path.to_string_lossy()))?;
        }
        Ok(())
    }
}

/// Percent-encoding (RFC 3986) of whatever could part an address.
fn encoded(text: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"/-_.~".contains(&c);
    let one = |c: u8| if plain(c) { char::from(c).to_string() } else { format!("%{c:02X}") };
    text.bytes().map(one).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(c) = rest.next() {
        let digit = |c: Option<u8>| char::from(c?).to_digit(16);
        bytes.push(match c {
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            c => c,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read(
            ca in proptest::option::of("\\PC{1,20}"), pair in proptest::option::of("\\PC{1,20}"),
        ) {
            let tls = Tls {
                ca: ca.map(Into::into),
                cert: pair.clone().map(Into::into),
                key: pair.map(|p| format!("{p}.key").into()),
            };
            let address = Address { servers: "nats://a:1,tls://b:2".into(), tls };
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["a?b", "a?ca=", "a?ca=1&ca=2", "a?x=1", "a?ca=%", "a?ca=%zz", "a?cert=1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        let plain: Address = "nats://a:1".parse().unwrap();
        assert!(plain.tls.is_empty() && plain.to_string() == "nats://a:1");
    }
}
