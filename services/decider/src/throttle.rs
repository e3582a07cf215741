//! A token bucket per actor of a tenant, and the sum of what was throttled.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use canonry_schemas::ids::ActorId;
use canonry_schemas::limits::{ACTOR_BURST, ACTOR_RATE, INTENT_AGAIN, THROTTLE_SUMMARY};

struct Bucket {
    tokens: f64,
    filled: Instant,
    throttled: u64,
}

/// How much is let through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Commands a second that one actor may send for long.
    pub rate: u32,
    /// Commands that one actor may send at once.
    pub burst: u32,
    /// How often what was throttled is summed into a record.
    pub summary_every: Duration,
    /// After which a durable intent that was not let in is delivered again.
    pub intent_again: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate: ACTOR_RATE,
            burst: ACTOR_BURST,
            summary_every: THROTTLE_SUMMARY,
            intent_again: INTENT_AGAIN,
        }
    }
}

/// All buckets of one tenant. Bounded: an actor who is not enrolled gets none.
pub struct Throttle {
    settings: Settings,
    buckets: HashMap<ActorId, Bucket>,
}

impl Throttle {
    /// Full buckets.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, buckets: HashMap::new() }
    }

    /// Takes one token; false means throttled, and is counted.
    pub fn pass(&mut self, actor: &ActorId, now: Instant) -> bool {
        if !self.buckets.contains_key(actor) {
            let full = Bucket { tokens: f64::from(self.settings.burst), filled: now, throttled: 0 };
            self.buckets.insert(actor.clone(), full);
        }
        let Some(bucket) = self.buckets.get_mut(actor) else { return true };
        let since = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.filled = now;
        bucket.tokens = since
            .mul_add(f64::from(self.settings.rate), bucket.tokens)
            .min(f64::from(self.settings.burst));
        if bucket.tokens < 1.0 {
            bucket.throttled += 1;
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Takes more from an actor whose command was refused.
    pub fn charge(&mut self, actor: &ActorId, cost: u32) {
        if let Some(bucket) = self.buckets.get_mut(actor) {
            bucket.tokens = (bucket.tokens - f64::from(cost)).max(0.0);
        }
    }

    /// What was throttled since the last call, by actor.
    pub fn take_sums(&mut self) -> Vec<(ActorId, u64)> {
        let mut sums = Vec::new();
        for (actor, bucket) in &mut self.buckets {
            if bucket.throttled > 0 {
                sums.push((actor.clone(), std::mem::take(&mut bucket.throttled)));
            }
        }
        sums.sort();
        sums
    }
}

#[cfg(test)]
mod tests {
    use canonry_schemas::limits::REFUSAL_COST;

    use super::*;

    #[test]
    fn a_flood_ends_and_is_summed() {
        let mut throttle = Throttle::new(Settings::default());
        let actor: ActorId = "mallory".parse().unwrap();
        let start = Instant::now();
        let mut passed = 0;
        for _ in 0..1_000 {
            if throttle.pass(&actor, start) {
                passed += 1;
                throttle.charge(&actor, REFUSAL_COST);
            }
        }
        assert_eq!(passed, ACTOR_BURST.div_ceil(REFUSAL_COST + 1));
        assert_eq!(throttle.take_sums(), vec![(actor.clone(), 1_000 - u64::from(passed))]);
        assert!(throttle.take_sums().is_empty());
        assert!(throttle.pass(&actor, start + Duration::from_secs(1)));
    }
}
