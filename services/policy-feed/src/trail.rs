//! What a copy of a policy rests on, read from the ledger: changes of keys, of members, and the
//! policies themselves. These few records are verified as anybody verifies a ledger, but the records
//! between them are skipped: that none of these was left out the holder says, who names the last
//! change of keys and the last policy in each beat.

use canonry_domain::directory::Directory;
use canonry_domain::facts::Applied;
use canonry_nats::{Log, Stored};
use canonry_policy::bundle::{self, Signed, Trust};
use canonry_policy::distributed::Held;
use canonry_record::beat::Published;
use canonry_record::encoding::unbase64_padded;
use canonry_record::seal::verify_strict;
use canonry_record::verify::Pins;
use canonry_record::{KeyRing, Line, Verifier, record, record_hash};
use canonry_schemas::event::Event;
use canonry_schemas::ids::TenantId;
use canonry_schemas::key::Use;
use canonry_schemas::member::Part;
use canonry_schemas::time::Time;
use canonry_schemas::{policy, tenant};

/// The records that are read.
const KINDS: [(&str, &str); 7] = [
    ("tenant", "founded"),
    ("tenant", "keys-rotated"),
    ("tenant", "repaired"),
    ("member", "enrolled"),
    ("member", "removed"),
    ("member", "keys-rotated"),
    ("policy", "published"),
];

/// Why the trail goes no further.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The store.
    #[error("the ledger cannot be read")]
    Store(#[from] canonry_nats::Error),
    /// A record does not hold.
    #[error("the record at position {position} does not hold: {why}")]
    Broken {
        /// Where.
        position: u64,
        /// Why.
        why: String,
    },
}

/// What was found on the way.
#[derive(Debug, Default)]
pub struct News {
    /// A repair left out what was read before: everything was read anew.
    pub again: bool,
    /// Policies that were published, in order.
    pub policies: Vec<Held>,
}

/// The keys and founders of a tenant, as far as they were read.
#[derive(Debug)]
pub struct Trail {
    tenant: TenantId,
    verifier: Verifier,
    directory: Directory,
    /// The first position that was not looked at.
    next: u64,
    news: News,
}

impl Trail {
    /// Of a tenant of which nothing was read.
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        let verifier = Verifier::new(tenant.clone(), Pins::default());
        Self { tenant, verifier, directory: Directory::default(), next: 1, news: News::default() }
    }

    /// The keys; none before the first record was read.
    #[must_use]
    pub fn ring(&self) -> Option<&KeyRing> {
        self.verifier.state().map(|state| &state.ring)
    }

    /// Reads what came since. What is found stays here until it is fetched, so that nothing is lost
    /// where this is cut short.
    ///
    /// # Errors
    /// The store does not answer, or a record does not hold: then everything is read anew the next
    /// time.
    pub async fn read_on(&mut self, log: &Log) -> Result<(), Lost> {
        // Also takes up volumes that were opened meanwhile.
        log.info().await?;
        if self.next > 1 && self.repaired(log).await? {
            self.begin_again(true);
        }
        let read = Box::pin(self.read(log)).await;
        if matches!(read, Err(Lost::Broken { .. })) {
            self.begin_again(self.news.again);
        }
        read
    }

    /// What was found since it was fetched last.
    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    fn begin_again(&mut self, repaired: bool) {
        *self = Self::new(self.tenant.clone());
        self.news.again = repaired;
    }

    /// Whether a repair came that follows a record before the last that was read.
    async fn repaired(&self, log: &Log) -> Result<bool, Lost> {
        let subject = format!("ledger.{}.tenant.repaired", self.tenant);
        let Some(stored) = log.next_of(self.next, &subject).await? else { return Ok(false) };
        let after = match parsed(&stored)?.1 {
            Event::Tenant(tenant::Event::Repaired(e)) => e.after.position.parse().unwrap_or(0),
            _ => 0,
        };
        Ok(after < self.verifier.position())
    }

    async fn read(&mut self, log: &Log) -> Result<(), Lost> {
        let subject = |(aggregate, event)| format!("ledger.{}.{aggregate}.{event}", self.tenant);
        let subjects = KINDS.map(subject);
        let mut ahead: Vec<Option<Stored>> = Vec::with_capacity(subjects.len());
        for subject in &subjects {
            ahead.push(log.next_of(self.next, subject).await?);
        }
        loop {
            let first = ahead.iter().enumerate().filter_map(|(n, s)| Some((s.as_ref()?.seq, n)));
            let Some((_, kind)) = first.min() else { return Ok(()) };
            let Some(stored) = ahead[kind].take() else { return Ok(()) };
            self.take(&stored)?;
            self.next = stored.seq + 1;
            ahead[kind] = log.next_of(self.next, &subjects[kind]).await?;
        }
    }

    fn take(&mut self, stored: &Stored) -> Result<(), Lost> {
        let broken = |why: String| Lost::Broken { position: stored.seq, why };
        let (read, event) = parsed(stored)?;
        let before = match &event {
            Event::Tenant(tenant::Event::Repaired(e)) => e.after.position.parse().unwrap_or(0),
            _ => stored.seq.saturating_sub(1),
        };
        self.verifier.skip_to(before, read.prevhash);
        let line = Line {
            seq: stored.seq,
            subject: &stored.subject,
            headers: &stored.headers,
            body: &stored.body,
        };
        self.verifier.push(&line).map_err(|b| broken(b.why.to_string()))?;
        match &event {
            Event::Tenant(tenant::Event::Founded(e)) => self.directory.found(e),
            Event::Member(e) => {
                let actor = read.actor.parse().map_err(|_| broken("not an actor".to_owned()))?;
                let hash = record_hash(&stored.subject, &stored.body).to_string();
                let applied =
                    Applied { position: stored.seq, hash: &hash, time: read.time, actor: &actor };
                self.directory.evolve(&applied, e);
            }
            Event::Policy(policy::Event::Published(e)) => match self.opened(stored, read.time, e) {
                Ok(held) => self.news.policies.push(held),
                // The copy goes stale, because the holder names a policy that is not here.
                Err(why) => tracing::error!(
                    tenant = %self.tenant, position = stored.seq, why, "a policy is not taken"
                ),
            },
            _ => {}
        }
        Ok(())
    }

    /// The policy of a record, its bundle verified anew.
    fn opened(&self, stored: &Stored, time: Time, e: &policy::Published) -> Result<Held, String> {
        let archive = unbase64_padded(&e.bundle).ok_or("the bundle is not base64")?;
        let founder = |signed: &Signed<'_>| self.by_founder(signed, time);
        let trust = Trust { key: &founder, now: time, newest: None };
        let opened = bundle::open(&archive, &trust).map_err(|refused| refused.to_string())?;
        let same = opened.revision == e.revision
            && opened.source.digest == e.digest.as_str()
            && opened.expires == e.expires
            && opened.ttl_seconds == e.ttl_seconds
            && opened.version == e.version.0;
        if !same {
            return Err("the record says otherwise of its bundle".to_owned());
        }
        let published = Published {
            position: stored.seq,
            hash: record_hash(&stored.subject, &stored.body),
            digest: e.digest.clone(),
            revision: e.revision,
            version: e.version.clone(),
            expires: e.expires,
            ttl_seconds: u64::from(e.ttl_seconds),
        };
        Ok(Held { published, archive })
    }

    /// Whether a founder who was there signed with a `member` key that held then.
    fn by_founder(&self, signed: &Signed<'_>, time: Time) -> bool {
        let Ok(id) = signed.key.parse() else { return false };
        let Some(entry) = self.ring().and_then(|ring| ring.key(&id)) else { return false };
        let founder = self.directory.admit(&entry.key.actor);
        let signature = <[u8; 64]>::try_from(signed.signature);
        entry.is_current()
            && entry.may(Use::Member)
            && !entry.has_expired(time)
            && founder.is_ok_and(|member| member.parts.contains(&Part::Founder))
            && signed.algorithm == "EdDSA"
            && signature.is_ok_and(|s| verify_strict(&entry.verifying, signed.message, &s))
    }
}

/// A record that is not verified yet.
fn parsed(stored: &Stored) -> Result<(record::Record<'_>, Event), Lost> {
    let broken = |why: &str| Lost::Broken { position: stored.seq, why: why.to_owned() };
    let read = record::parse(&stored.body).map_err(|e| broken(&e.to_string()))?;
    let event = Event::parse_text(&read.aggregate, &read.event, read.version, read.data)
        .ok_or_else(|| broken("a type or version that this program does not know"))?
        .map_err(|_| broken("the data does not fit its type"))?;
    Ok((read, event))
}
