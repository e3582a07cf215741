//! Certificates made for one test: authorities, and what they sign for servers and clients.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// An authority, and the folder that its files lie in.
pub struct Authority {
    folder: PathBuf,
    name: String,
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub ca: PathBuf,
}

fn written(path: PathBuf, text: String) -> PathBuf {
    std::fs::write(&path, text).unwrap();
    path
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    /// A new one.
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        let ca = written(folder.join(format!("{name}.pem")), ca);
        let issuer = Issuer::new(params, key);
        Self { folder: folder.to_owned(), name: name.to_owned(), issuer, ca }
    }

    /// A certificate for a server or client of this machine, and its key.
    pub fn issue(&self, to: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = named(to);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        let file = |end: &str| self.folder.join(format!("{}-{to}.{end}", self.name));
        (written(file("pem"), cert), written(file("key"), key.serialize_pem()))
    }
}
