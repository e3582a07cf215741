//! The two clocks by which a copy grows old. Tests set them.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use canonry_policy::distributed::Moment;
use canonry_schemas::time::Time;

/// Tells the moment.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Clock {
    /// This machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        let begun = Instant::now();
        Self::new(move || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let wall = since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
            Moment { since: begun.elapsed(), wall: Time(wall) }
        })
    }

    /// Another one.
    #[must_use]
    pub fn new(tells: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(tells))
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}
