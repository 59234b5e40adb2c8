//! Throttling: a bucket of tokens for each principal and kind of request, as the public cloud has them per subscription.
//!
//! A token comes back at a steady rate; whoever finds the bucket empty hears when to come again. Requests from inside the
//! process take none.

use std::collections::HashMap;

use http::{Method, StatusCode};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{Front, Incoming};
use crate::{ArmError, Caller};

/// How much one bucket holds, and how quickly it fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Tokens of a full bucket: how many requests may come at once.
    pub burst: u32,
    /// Tokens that come back in a second.
    pub per_second: u32,
}

/// The limits of each principal in a subscription.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// GET and HEAD.
    pub reads: Limit,
    /// PUT, PATCH and POST.
    pub writes: Limit,
    /// DELETE.
    pub deletes: Limit,
}

impl Limits {
    /// Those of the public cloud: 250 reads at once and 25 a second, 200 writes and deletes at once and 10 a second.
    pub fn public() -> Self {
        let change = Limit { burst: 200, per_second: 10 };
        Self { reads: Limit { burst: 250, per_second: 25 }, writes: change, deletes: change }
    }
}

impl Default for Limits {
    /// Room for tests and pipelines of one's own; only a client that runs wild meets them.
    fn default() -> Self {
        let change = Limit { burst: 12_000, per_second: 1_000 };
        Self { reads: Limit { burst: 12_000, per_second: 2_000 }, writes: change, deletes: change }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Reads,
    Writes,
    Deletes,
}

impl Kind {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Reads,
            Method::DELETE => Self::Deletes,
            _ => Self::Writes,
        }
    }

    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Reads => (
                "read",
                "x-ms-ratelimit-remaining-subscription-reads",
                "x-ms-ratelimit-remaining-tenant-reads",
            ),
            Self::Writes => (
                "write",
                "x-ms-ratelimit-remaining-subscription-writes",
                "x-ms-ratelimit-remaining-tenant-writes",
            ),
            Self::Deletes => (
                "delete",
                "x-ms-ratelimit-remaining-subscription-deletes",
                "x-ms-ratelimit-remaining-tenant-deletes",
            ),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

/// Buckets that nobody has used for longer are full again, and forgotten when there are more than this.
const BUCKETS_MAX: usize = 10_000;

/// All buckets.
pub(crate) struct Buckets {
    limits: Limits,
    all: Mutex<HashMap<(String, bool, Kind), Bucket>>,
}

impl Buckets {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, all: Mutex::default() }
    }

    fn limit(&self, kind: Kind) -> Limit {
        match kind {
            Kind::Reads => self.limits.reads,
            Kind::Writes => self.limits.writes,
            Kind::Deletes => self.limits.deletes,
        }
    }

    /// Takes a token: how many are left, or in how many seconds there is one.
    fn take(&self, who: &str, subscription: bool, kind: Kind, now: Timestamp) -> Result<u32, u64> {
        let limit = self.limit(kind);
        let (burst, rate) = (f64::from(limit.burst), f64::from(limit.per_second.max(1)));
        let filled = |bucket: &Bucket, limit: Limit| {
            let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
            (bucket.tokens + passed * f64::from(limit.per_second.max(1))).min(f64::from(limit.burst))
        };
        let mut all = self.all.lock();
        if all.len() > BUCKETS_MAX {
            all.retain(|(_, _, kind), bucket| {
                let limit = self.limit(*kind);
                filled(bucket, limit) < f64::from(limit.burst)
            });
        }
        let bucket =
            all.entry((who.to_owned(), subscription, kind)).or_insert(Bucket { tokens: burst, at: now });
        let tokens = filled(bucket, limit);
        if tokens < 1.0 {
            *bucket = Bucket { tokens, at: now };
            // At most a whole bucket away, so the number fits.
            return Err(((1.0 - tokens) / rate).ceil().max(1.0) as u64);
        }
        *bucket = Bucket { tokens: tokens - 1.0, at: now };
        Ok((tokens - 1.0) as u32)
    }
}

impl Front {
    /// 429 for a caller who asks too much; notes what is left for the answer's header.
    pub(super) fn throttle(&self, incoming: &Incoming, caller: &Caller) -> Result<(), ArmError> {
        if incoming.in_process.is_some() {
            return Ok(());
        }
        let kind = Kind::of(&incoming.method);
        let in_subscription =
            incoming.segments.len() > 1 && incoming.segments[0].eq_ignore_ascii_case("subscriptions");
        let (word, subscription, tenant) = kind.words();
        let header = if in_subscription { subscription } else { tenant };
        let now = self.config.clock.now();
        match self.buckets.take(&caller.object_id, in_subscription, kind, now) {
            Ok(left) => {
                incoming.note_left(header, left);
                Ok(())
            }
            Err(seconds) => {
                incoming.note_left(header, 0);
                incoming.note_wait(seconds);
                Err(ArmError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "SubscriptionRequestsThrottled",
                    format!(
                        "Number of '{word}' requests for subscription '{}' actor '{}' exceeded. Please try again after '{seconds}' seconds after additional tokens are available. Refer to https://aka.ms/arm-throttling for additional information.",
                        self.config.subscription_id, caller.object_id
                    ),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{Buckets, Kind, Limits};

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let buckets = Buckets::new(Limits::public());
        let start = Timestamp::UNIX_EPOCH;
        for left in (0..250).rev() {
            assert_eq!(buckets.take("a", true, Kind::Reads, start), Ok(left));
        }
        assert_eq!(buckets.take("a", true, Kind::Reads, start), Err(1));
        assert_eq!(buckets.take("b", true, Kind::Reads, start), Ok(249), "each has its own");
        assert_eq!(buckets.take("a", true, Kind::Writes, start), Ok(199));
        let later = start + SignedDuration::from_secs(2);
        assert_eq!(buckets.take("a", true, Kind::Reads, later), Ok(49));
        let much_later = start + SignedDuration::from_hours(1);
        assert_eq!(buckets.take("a", true, Kind::Reads, much_later), Ok(249), "no more than full");
        assert_eq!(
            buckets.take("a", true, Kind::Reads, start),
            Ok(248),
            "a clock that goes back takes nothing"
        );
    }
}
