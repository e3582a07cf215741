//! Erasures that the restored ledger records: their keys are taken out of the copied groups before
//! these are stored, so that a copy of keys that is older than an erasure brings nothing back.

use canonry_backup::keys::KeyCopy;
use canonry_backup::{Contents, Erasures, Error};
use canonry_decider::content_keys::shred;
use canonry_decider::erasure::gone;
use canonry_decider::keeper::nonce;
use canonry_decider::world::ContentKey;
use canonry_keystore::Kek;
use canonry_record::export::OwnedLine;
use canonry_record::{content, record};
use canonry_schemas::event::Event;
use canonry_schemas::ids::TenantId;

use super::opened::Opened;

/// What was erased so far.
pub(super) struct Erased {
    tenant: TenantId,
    kek: Kek,
    keys: Vec<ContentKey>,
    /// A record of an erasure that this program cannot read.
    unknown: Option<u64>,
}

impl Erased {
    pub(super) const fn new(tenant: TenantId, kek: Kek) -> Self {
        Self { tenant, kek, keys: Vec::new(), unknown: None }
    }
}

/// The key that a record erased; an error where it is an erasure that does not read.
fn key_of(line: &OwnedLine) -> Result<Option<ContentKey>, ()> {
    let read = record::parse(&line.body).map_err(drop)?;
    if (read.aggregate.as_str(), read.event.as_str()) != ("content", "erased") {
        return Ok(None);
    }
    let data = serde_json::from_str(read.data).map_err(drop)?;
    let event = Event::parse(&read.aggregate, &read.event, read.version, &data);
    let event = event.ok_or(())?.map_err(drop)?;
    Ok(gone(&event, line.seq).and_then(|gone| gone.key))
}

impl Erasures for Erased {
    fn see(&mut self, record: &OwnedLine) {
        match key_of(record) {
            Ok(key) => self.keys.extend(key),
            Err(()) => self.unknown = self.unknown.or(Some(record.seq)),
        }
    }

    fn keep(&mut self, name: &str, value: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        let wrong = |why: String| Error::Object { name: format!("content key {name}"), why };
        if let Some(position) = self.unknown {
            let why = format!("record {position} may erase it and does not read: upgrade first");
            return Err(wrong(why));
        }
        let group = name.strip_prefix('g').and_then(|n| n.parse::<u32>().ok());
        let of = |key: &&ContentKey| Some(key.group) == group;
        let indexes: Vec<u16> = self.keys.iter().filter(of).map(|key| key.index).collect();
        if indexes.is_empty() {
            return Ok(Some(value));
        }
        let (kek, tenant) = (self.kek.as_bytes(), self.tenant.as_str());
        let opened = content::unwrap(kek, tenant, name, &value);
        let mut keys = opened.map_err(|e| wrong(e.to_string()))?;
        let shredded = indexes.iter().filter(|index| shred(&mut keys, **index)).count();
        // What is shredded already stays as it is, byte for byte.
        let kept =
            if shredded == 0 { value } else { content::wrap(kek, &nonce(), tenant, name, &keys) };
        Ok(Some(kept))
    }

    fn contents<'k>(&self, keys: &'k KeyCopy) -> Box<dyn Contents + Send + Sync + 'k> {
        Box::new(Opened::new(self.kek.as_bytes(), keys))
    }
}

#[cfg(test)]
mod tests {
    use canonry_record::Hash;
    use canonry_record::envelope::Envelope;
    use canonry_schemas::time::Time;

    use super::*;

    fn line(event: &str, version: u32, data: &str) -> OwnedLine {
        let envelope = Envelope {
            id: "x",
            tenant: "acme",
            workspace: None,
            actor: "founder",
            via: None,
            authdigest: None,
            intentid: None,
            intentdigest: None,
            correlationid: None,
            entity: "ticket/tkt_01hzy3v7m8q6k4n2r9s5t1w0xa",
            touches: &[],
            epoch: 1,
            position: 7,
            prevhash: Hash::ZERO,
            time: Time(0),
            aggregate: "content",
            event,
            version,
            traceparent: None,
            data: data.as_bytes(),
        };
        let (subject, body) = (envelope.subject(), envelope.to_body());
        OwnedLine { seq: 7, subject, headers: Vec::new(), body }
    }

    #[test]
    fn an_erased_key_is_taken_out_of_its_group_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = canonry_keystore::KeyStore::create(dir.path().join("home")).unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let kek = store.create_kek(&tenant).unwrap();
        let group = vec![9; 256 * 32];
        let wrap = |name: &str| content::wrap(kek.as_bytes(), &nonce(), "acme", name, &group);
        let (first, second) = (wrap("g1"), wrap("g2"));
        let mut erased = Erased::new(tenant.clone(), store.kek(&tenant).unwrap());
        let data = r#"{"entity":"ticket/tkt_01hzy3v7m8q6k4n2r9s5t1w0xa","key":"1-3"}"#;
        erased.see(&line("erased", 1, data));
        let kept = erased.keep("g1", first.clone()).unwrap().unwrap();
        let opened = content::unwrap(kek.as_bytes(), "acme", "g1", &kept).unwrap();
        assert_eq!(
            (&opened[..96], &opened[96..128], &opened[128..]),
            (&group[..96], &[0; 32][..], &group[128..])
        );
        assert_eq!(erased.keep("g1", kept.clone()).unwrap(), Some(kept), "again, nothing changes");
        assert_eq!(erased.keep("g2", second.clone()).unwrap(), Some(second.clone()));
        assert_eq!(erased.keep("tenant", vec![1]).unwrap(), Some(vec![1]));
        // Of an erasure that does not read nobody knows what it erased.
        erased.see(&line("erased", 2, data));
        assert_eq!(erased.keep("g2", second).unwrap_err().code(), "object-wrong");
    }
}
