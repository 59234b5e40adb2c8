//! How long to wait before trying again what failed: 10 s, doubled each time, at most 5 min.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// The first wait.
pub const INITIAL: SignedDuration = SignedDuration::from_secs(10);
/// The longest wait. After twice this time without a failure all is forgotten.
pub const MAX: SignedDuration = SignedDuration::from_secs(300);

#[derive(Debug, Clone, Copy)]
struct Entry {
    wait: SignedDuration,
    at: Timestamp,
}

/// Waits by key.
#[derive(Debug, Default)]
pub struct Backoff(HashMap<String, Entry>);

impl Backoff {
    /// How long the key still has to wait after its failure at `failed`, and the whole wait.
    pub fn remaining(
        &self,
        key: &str,
        failed: Timestamp,
        now: Timestamp,
    ) -> Option<(SignedDuration, SignedDuration)> {
        let entry = self.0.get(key)?;
        if expired(entry, failed) {
            return None;
        }
        let left = entry.wait - now.duration_since(failed);
        (left > SignedDuration::ZERO).then_some((left, entry.wait))
    }

    /// Notes that the key is tried again now, after its failure at `failed`; the next wait is longer.
    pub fn next(&mut self, key: &str, failed: Timestamp, now: Timestamp) {
        let wait = match self.0.get(key) {
            Some(entry) if !expired(entry, failed) => (entry.wait * 2).min(MAX),
            _ => INITIAL,
        };
        self.0.insert(key.to_owned(), Entry { wait, at: now });
    }

    /// Forgets a key.
    pub fn forget(&mut self, key: &str) {
        self.0.remove(key);
    }
}

fn expired(entry: &Entry, failed: Timestamp) -> bool {
    failed.duration_since(entry.at) > MAX * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_are_forgotten_after_ten() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.remaining("a", at(0), at(0)), None);
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..7 {
            backoff.next("a", at(now), at(now));
            let (left, wait) = backoff.remaining("a", at(now), at(now)).unwrap();
            assert_eq!(left, wait);
            waits.push(wait.as_secs());
            now += wait.as_secs();
            assert_eq!(backoff.remaining("a", at(now - wait.as_secs()), at(now)), None);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.remaining("a", at(now + 601), at(now + 601)), None);
        backoff.next("a", at(now + 601), at(now + 601));
        assert_eq!(backoff.remaining("a", at(now + 601), at(now + 601)).unwrap().1, INITIAL);
    }
}
