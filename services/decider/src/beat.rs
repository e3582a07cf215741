//! Where a holder's beats are stored: one a tenant, in the bucket `policies`. What is there gives way
//! only to what is newer, so that a deposed holder that wakes up takes nothing back.

use canonry_nats::{Bytes, Cas};
use canonry_record::beat::{Beat, BeatLine, sign};
use canonry_record::seal::Signer;

use crate::keeper::Keeper;

/// Whether a beat takes the place of another one.
fn newer(beat: &Beat, known: &Beat) -> bool {
    beat.epoch >= known.epoch && beat.position >= known.position && beat.time > known.time
}

impl Keeper {
    /// Signs and stores a beat.
    ///
    /// # Errors
    /// The store does not answer, or a newer beat is there.
    pub async fn write_beat(&self, beat: Beat, signer: &Signer) -> Result<(), String> {
        let key = beat.tenant.to_string();
        let stored = self.beats().get(&key).await.map_err(|e| e.to_string())?;
        let known = stored.as_ref().filter(|e| !e.deleted);
        // What does not read was never heard by anybody either.
        let known = known.and_then(|entry| BeatLine::parse(&entry.value).ok());
        if known.is_some_and(|known| !newer(&beat, &known.beat)) {
            return Err("a newer beat is there".to_owned());
        }
        let text = Bytes::from(sign(beat, signer).to_text());
        let revision = stored.map_or(0, |entry| entry.revision);
        match self.beats().update(&key, text, revision).await {
            Ok(Cas::Won(_)) => Ok(()),
            Ok(Cas::Lost) => Err("another beat was stored meanwhile".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}
