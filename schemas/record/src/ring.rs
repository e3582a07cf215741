//! The keys of a tenant, folded from the records that change them. Whether a change is lawful is
//! decided here and nowhere else; how a change reads is in [`canonry_schemas::key`].

use std::collections::{BTreeMap, BTreeSet};

use canonry_schemas::ids::{ActorId, KeyId, TenantId};
pub use canonry_schemas::key::{Alg, Authorization, KeyChange, PublicKey as Key, Use};
use canonry_schemas::limits::LEVELS;
use canonry_schemas::time::Time;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::encoding::unbase64url_exact;
use crate::hash::{Hash, key_id, sha256};
pub use crate::key_error::KeyError;
use crate::seal::{Signer, parse_signature, verify_strict};

/// A key and the time of its life, in positions.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key as it was enrolled.
    pub key: Key,
    /// The key, ready to verify.
    pub verifying: VerifyingKey,
    /// The first position at which it holds.
    pub since: u64,
    /// The position of the record that revoked it: the last one at which it holds.
    pub revoked_at: Option<u64>,
    /// Whether the point is in the prime-order group, so that batches decide as strictly.
    pub(crate) prime_order: bool,
}

impl Entry {
    fn new(key: Key, since: u64, revoked_at: Option<u64>) -> Result<Self, KeyError> {
        let verifying = usable(&key)?;
        let prime_order = verifying.to_edwards().is_torsion_free();
        Ok(Self { key, verifying, since, revoked_at, prime_order })
    }

    /// Whether it holds for a record at this position.
    #[must_use]
    pub fn holds_at(&self, position: u64) -> bool {
        self.since <= position && self.revoked_at.is_none_or(|end| position <= end)
    }

    /// Whether nothing has revoked it.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.revoked_at.is_none()
    }

    /// Whether it holds for something of this time no longer.
    #[must_use]
    pub fn has_expired(&self, time: Time) -> bool {
        self.key.notafter.is_some_and(|end| time > end)
    }

    /// Whether it may be used so.
    #[must_use]
    pub fn may(&self, wanted: Use) -> bool {
        self.key.uses.contains(&wanted)
    }
}

/// All keys that a tenant ever had.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct KeyRing {
    tenant: TenantId,
    keyhead: Hash,
    keys: BTreeMap<KeyId, Entry>,
    by_actor: BTreeMap<ActorId, Vec<KeyId>>,
    record: Option<KeyId>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    tenant: TenantId,
    keyhead: Hash,
    keys: Vec<(Key, u64, Option<u64>)>,
}

impl TryFrom<Stored> for KeyRing {
    type Error = KeyError;
    fn try_from(stored: Stored) -> Result<Self, KeyError> {
        let mut ring = Self::empty(stored.tenant, stored.keyhead);
        for (key, since, revoked_at) in stored.keys {
            ring.insert(Entry::new(key, since, revoked_at)?);
        }
        Ok(ring)
    }
}

impl From<KeyRing> for Stored {
    fn from(ring: KeyRing) -> Self {
        let keys = ring.keys.into_values().map(|e| (e.key, e.since, e.revoked_at)).collect();
        Self { tenant: ring.tenant, keyhead: ring.keyhead, keys }
    }
}

/// The point of a key that may be enrolled.
/// Whether a key reads as one that may be enrolled.
#[must_use]
pub fn is_usable(key: &Key) -> bool {
    usable(key).is_ok()
}

fn usable(key: &Key) -> Result<VerifyingKey, KeyError> {
    let invalid = || KeyError::Invalid(key.id.clone());
    let public = unbase64url_exact::<32>(&key.public).ok_or_else(invalid)?;
    if key_id(&public) != key.id {
        return Err(KeyError::IdMismatch(key.id.clone()));
    }
    let point = VerifyingKey::from_bytes(&public).map_err(|_| invalid())?;
    let canonical = point.to_edwards().compress().to_bytes() == public;
    if point.is_weak() || !canonical {
        return Err(invalid());
    }
    Ok(point)
}

fn uses_are_sound(uses: &[Use]) -> bool {
    let distinct: BTreeSet<_> = uses.iter().collect();
    !uses.is_empty()
        && distinct.len() == uses.len()
        && (!uses.iter().any(|u| matches!(u, Use::Login | Use::StepUp)) || uses.len() == 1)
}

/// Whether a level stands where one must, and nowhere else.
fn level_is_sound(key: &Key) -> bool {
    let steps_up = key.uses.contains(&Use::StepUp);
    key.level.is_some() == steps_up && key.level.is_none_or(|level| LEVELS.contains(&level))
}

/// Whether a key is only for a member's own acts, which `enrol` keys and rotations may touch.
fn personal(key: &Key) -> bool {
    key.uses.iter().all(|u| matches!(u, Use::Member | Use::Login))
}

/// Whether whoever may end a member's other keys may end this one: what makes somebody stronger only
/// a root key gives, and a lost device must not have to wait for it.
fn endable(key: &Key) -> bool {
    personal(key) || key.uses == [Use::StepUp]
}

impl KeyRing {
    const fn empty(tenant: TenantId, keyhead: Hash) -> Self {
        Self { tenant, keyhead, keys: BTreeMap::new(), by_actor: BTreeMap::new(), record: None }
    }

    fn insert(&mut self, entry: Entry) {
        if entry.is_current() && entry.may(Use::Record) {
            self.record = Some(entry.key.id.clone());
        }
        self.by_actor.entry(entry.key.actor.clone()).or_default().push(entry.key.id.clone());
        self.keys.insert(entry.key.id.clone(), entry);
    }

    /// The keys of record 1, whose hash this is. They hold from position 1 on.
    ///
    /// # Errors
    /// A key is unusable or stands twice, or there is not one record key and at least one root.
    pub fn found(tenant: &TenantId, keys: &[Key], hash: Hash) -> Result<Self, KeyError> {
        let mut ring = Self::empty(tenant.clone(), hash);
        ring.check_keys(keys)?;
        for key in keys {
            ring.insert(Entry::new(key.clone(), 1, None)?);
        }
        check_counts(ring.keys.values().map(|e| &e.key))?;
        Ok(ring)
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Hash of the last record that changed keys.
    #[must_use]
    pub const fn keyhead(&self) -> Hash {
        self.keyhead
    }

    /// A key, revoked or not.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<&Entry> {
        self.keys.get(id)
    }

    /// All keys, revoked ones included, by id.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.keys.values()
    }

    /// The current record key.
    #[must_use]
    pub fn record_key(&self) -> Option<&Entry> {
        self.key(self.record.as_ref()?).filter(|e| e.is_current())
    }

    /// The current keys with this use, by id.
    pub fn with_use(&self, wanted: Use) -> impl Iterator<Item = &Entry> {
        self.keys.values().filter(move |e| e.is_current() && e.may(wanted))
    }

    /// The current keys of an actor with this use.
    pub fn for_actor(&self, actor: &ActorId, wanted: Use) -> impl Iterator<Item = &Entry> {
        let ids = self.by_actor.get(actor).map_or(&[][..], Vec::as_slice);
        ids.iter()
            .filter_map(|id| self.keys.get(id))
            .filter(move |e| e.is_current() && e.may(wanted))
    }

    fn check_keys(&self, keys: &[Key]) -> Result<(), KeyError> {
        let mut seen = BTreeSet::new();
        for key in keys {
            usable(key)?;
            let id = || key.id.clone();
            if !uses_are_sound(&key.uses) || !level_is_sound(key) {
                return Err(KeyError::WrongUse(id()));
            }
            if !seen.insert(&key.id) {
                return Err(KeyError::Twice(id()));
            }
            match self.keys.get(&key.id) {
                Some(old) if old.key.actor != key.actor => return Err(KeyError::OfAnother(id())),
                Some(old) if !old.is_current() => return Err(KeyError::WasRevoked(id())),
                Some(_) => return Err(KeyError::Exists(id())),
                None => {}
            }
        }
        Ok(())
    }

    fn check_revoked(&self, revoked: &[KeyId]) -> Result<Vec<&Key>, KeyError> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::with_capacity(revoked.len());
        for id in revoked {
            if !seen.insert(id) {
                return Err(KeyError::Twice(id.clone()));
            }
            let entry = self.keys.get(id).ok_or_else(|| KeyError::Unknown(id.clone()))?;
            if !entry.is_current() {
                return Err(KeyError::AlreadyRevoked(id.clone()));
            }
            out.push(&entry.key);
        }
        Ok(out)
    }

    /// Whether a change is lawful in a record of this time. `own` is the actor whose old `member` key may authorise it:
    /// the member of a `member.keys-rotated`, nobody elsewhere.
    ///
    /// # Errors
    /// As [`KeyError`] lists, in that order of checks: key head, keys, revocations, authority,
    /// signature, what is left afterwards.
    pub fn check_change(
        &self,
        change: &KeyChange,
        own: Option<&ActorId>,
        time: Time,
    ) -> Result<(), KeyError> {
        if change.authorization.keyhead.parse() != Ok(self.keyhead) {
            return Err(KeyError::Moved);
        }
        if change.keys.is_empty() && change.revoked.is_empty() {
            return Err(KeyError::Empty);
        }
        self.check_keys(&change.keys)?;
        let revoked = self.check_revoked(&change.revoked)?;
        let (id, signature) =
            parse_signature(&change.authorization.signature).ok_or(KeyError::Malformed)?;
        let authority = self.keys.get(&id).filter(|e| e.is_current());
        let authority = authority.ok_or_else(|| KeyError::NoAuthority(id.clone()))?;
        if authority.has_expired(time) {
            return Err(KeyError::AuthorityExpired(id));
        }
        let all = || change.keys.iter().chain(revoked.iter().copied());
        let own_rotation = authority.may(Use::Member)
            && own == Some(&authority.key.actor)
            && all().all(|k| k.actor == authority.key.actor);
        let allowed = authority.may(Use::Root)
            || (change.keys.iter().all(personal)
                && revoked.iter().all(|key| endable(key))
                && (authority.may(Use::Enrol) || own_rotation));
        if !allowed {
            return Err(KeyError::NotAllowed(id));
        }
        let message =
            authorization_message(&self.tenant, &self.keyhead, &change.keys, &change.revoked);
        if !verify_strict(&authority.verifying, &message, &signature) {
            return Err(KeyError::BadSignature);
        }
        let left = self.keys.values().filter(|e| e.is_current()).map(|e| &e.key);
        check_counts(left.filter(|k| !change.revoked.contains(&k.id)).chain(&change.keys))
    }

    /// Folds a change that [`Self::check_change`] has allowed, from the record with this hash and
    /// position. What cannot be enrolled is left out.
    pub fn apply(&mut self, change: &KeyChange, hash: Hash, position: u64) {
        for id in &change.revoked {
            if let Some(entry) = self.keys.get_mut(id) {
                entry.revoked_at.get_or_insert(position);
            }
        }
        for key in &change.keys {
            if let Ok(entry) = Entry::new(key.clone(), position + 1, None) {
                self.insert(entry);
            }
        }
        self.keyhead = hash;
    }
}

/// One record key, at least one root.
fn check_counts<'a>(keys: impl Iterator<Item = &'a Key>) -> Result<(), KeyError> {
    let (mut record, mut root) = (0, 0);
    for key in keys {
        record += usize::from(key.uses.contains(&Use::Record));
        root += usize::from(key.uses.contains(&Use::Root));
    }
    match (record, root) {
        (1, 1..) => Ok(()),
        (1, 0) => Err(KeyError::NoRoot),
        _ => Err(KeyError::RecordKeys),
    }
}

/// `canonry/key/v1` 0x00 tenant 0x00 keyhead 0x00 SHA-256(canonical JSON of `{"keys","revoked"}`).
#[must_use]
pub fn authorization_message(
    tenant: &TenantId,
    keyhead: &Hash,
    keys: &[Key],
    revoked: &[KeyId],
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Change<'a> {
        keys: &'a [Key],
        revoked: &'a [KeyId],
    }
    let canonical = serde_json_canonicalizer::to_vec(&Change { keys, revoked })
        .expect("keys are strings and lists of strings");
    let mut message = b"canonry/key/v1\0".to_vec();
    message.extend_from_slice(tenant.as_str().as_bytes());
    message.push(0);
    message.extend_from_slice(&keyhead.0);
    message.push(0);
    message.extend_from_slice(&sha256(&canonical).0);
    message
}

/// Signs a change of keys against a key head.
#[must_use]
pub fn authorize(
    tenant: &TenantId,
    keyhead: &Hash,
    keys: Vec<Key>,
    revoked: Vec<KeyId>,
    signer: &Signer,
) -> KeyChange {
    let message = authorization_message(tenant, keyhead, &keys, &revoked);
    let authorization =
        Authorization { keyhead: keyhead.to_string(), signature: signer.sign_text(&message) };
    KeyChange { keys, revoked, authorization }
}

/// The entry for a public key.
#[must_use]
pub fn public_key(public: &[u8; 32], uses: Vec<Use>, actor: ActorId) -> Key {
    let public_text = crate::encoding::base64url(public);
    Key {
        id: key_id(public),
        alg: Alg::Ed25519,
        public: public_text,
        uses,
        actor,
        notafter: None,
        level: None,
    }
}
