//! Evidence of a copy, opened with the copied content keys to compare it with the keyed digest that
//! the ledger records. What is opened is digested and dropped.

use canonry_backup::keys::KeyCopy;
use canonry_backup::{Attachment, Contents, Error, Opening};
use canonry_record::content::{decrypt, derive, key_id_of, unwrap};
use canonry_record::encoding::unbase64url_exact;
use canonry_record::evidence::{Digester, Opener, Place};
use canonry_schemas::ids::ObjectId;
use zeroize::Zeroizing;

/// The copied keys, opened one group at a time.
pub(super) struct Opened<'k> {
    kek: Zeroizing<[u8; 32]>,
    copy: &'k KeyCopy,
}

impl<'k> Opened<'k> {
    pub(super) fn new(kek: &[u8; 32], copy: &'k KeyCopy) -> Self {
        Self { kek: Zeroizing::new(*kek), copy }
    }

    /// The object's secret, where its content key is here and was not shredded.
    fn secret(&self, of: &Attachment) -> Option<Zeroizing<[u8; 32]>> {
        let (tenant, sealed) = (self.copy.tenant.as_str(), of.attach.secret.0.as_str());
        let (group, index) = key_id_of(sealed)?.split_once('-')?;
        let name = format!("g{group}");
        let wrapped = self.copy.value(&name)?;
        let keys = unwrap(&self.kek, tenant, &name, &wrapped).ok()?;
        let at = index.parse::<usize>().ok()?.checked_mul(32)?;
        let key: &[u8; 32] = keys.get(at..at + 32)?.try_into().ok()?;
        let clear = decrypt(key, tenant, &of.entity, "/secret", sealed).ok()?;
        unbase64url_exact::<32>(&Zeroizing::new(clear)).map(Zeroizing::new)
    }
}

impl Contents for Opened<'_> {
    fn begin<'c>(&'c self, object: &ObjectId, of: &'c Attachment) -> Option<Box<dyn Opening + 'c>> {
        let secret = self.secret(of)?;
        let tenant = self.copy.tenant.as_str();
        let place = Place { tenant, entity: &of.entity, object: object.as_str() };
        Some(Box::new(One {
            object: object.clone(),
            of,
            opener: Opener::new(&secret, of.attach.size, place),
            digest: Digester::new(&derive(&self.kek, "evidence-digest")),
        }))
    }
}

struct One<'c> {
    object: ObjectId,
    of: &'c Attachment,
    opener: Opener,
    digest: Digester,
}

impl One<'_> {
    fn wrong(&self, why: &str) -> Error {
        Error::Object { name: self.object.to_string(), why: why.to_owned() }
    }
}

impl Opening for One<'_> {
    fn chunk(&mut self, sealed: &[u8]) -> Result<(), Error> {
        let clear = self.opener.open(sealed).map(Zeroizing::new);
        let clear = clear.map_err(|_| self.wrong("it does not open under its content key"))?;
        self.digest.push(&clear);
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), Error> {
        if self.opener.left() > 0 {
            return Err(self.wrong("its end is missing"));
        }
        let digest = self.digest.finish();
        if digest.to_string() == self.of.attach.digest.as_str() {
            return Ok(());
        }
        Err(Error::Object {
            name: self.object.to_string(),
            why: format!("its digest is not the one of record {}", self.of.position),
        })
    }
}
