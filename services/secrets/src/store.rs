//! The port: what every store of secrets does. [`crate::Embedded`] and [`crate::Vault`] are behind
//! it.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, Kind};
use crate::reference::{Place, Reference};
use crate::secret::{Fields, LeaseId, Leased, Secret};

/// Where secrets are kept.
#[async_trait]
pub trait SecretStore: std::fmt::Debug + Send + Sync {
    /// The value of a field.
    ///
    /// # Errors
    /// `secret-unknown`, or the store refuses or does not answer.
    async fn get(&self, reference: &Reference) -> Result<Secret, Error>;

    /// Writes one field; the others of the secret stay.
    ///
    /// # Errors
    /// A bound is reached, or the store refuses or does not answer.
    async fn put(&self, reference: &Reference, value: &Secret) -> Result<(), Error>;

    /// Removes a secret with all its fields and versions.
    ///
    /// # Errors
    /// `secret-unknown`, or the store refuses or does not answer.
    async fn delete(&self, place: &Place) -> Result<(), Error>;

    /// The names below a place, sorted; what ends with `/` is a folder. Without a place, those of
    /// the store. No value is read.
    ///
    /// # Errors
    /// The store refuses or does not answer.
    async fn list(&self, place: Option<&Place>) -> Result<Vec<String>, Error>;

    /// A secret that the store makes now and ends again.
    ///
    /// # Errors
    /// `lease-unsupported`, or the store refuses or does not answer.
    async fn lease(&self, place: &Place) -> Result<Leased<Fields>, Error> {
        Err(Error::at(Kind::LeaseUnsupported, place))
    }

    /// Has a lease hold for so long from now; how long it does, which the store may have cut.
    ///
    /// # Errors
    /// `lease-unsupported`, `lease-unknown`, or the store refuses or does not answer.
    async fn renew(&self, lease: &LeaseId, by: Duration) -> Result<Duration, Error> {
        let _ = by;
        Err(Error::at(Kind::LeaseUnsupported, lease))
    }

    /// Ends a lease now: what was lent is refused from the moment that this returns.
    ///
    /// # Errors
    /// `lease-unsupported`, or the store refuses or does not answer.
    async fn revoke(&self, lease: &LeaseId) -> Result<(), Error> {
        Err(Error::at(Kind::LeaseUnsupported, lease))
    }

    /// Gives a login back, where there is one: what it was lent ends with it. Who asks again logs in
    /// anew.
    ///
    /// # Errors
    /// The store does not answer; the login then ends by itself.
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}
