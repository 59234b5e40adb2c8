//! How the kubelet speaks to its API: under which name it writes, and how long its watches wait before they try
//! again (a node follows its control plane within seconds of its return).

use std::time::Duration;

use kube::api::{PatchParams, PostParams};
use kube::runtime::utils::{Backoff, ResetTimerBackoff};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Doubling waits, each longer by up to a half so that nodes do not come back all at once.
struct Doubling(Duration);

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST);
        let chance = uuid::Uuid::new_v4().as_fields().0 % 500;
        Some(wait + wait * chance / 1000)
    }
}

impl Backoff for Doubling {
    fn reset(&mut self) {
        self.0 = FIRST;
    }
}

/// The owner of the fields a kubelet writes.
const MANAGER: &str = "kubelet";

/// How it patches.
pub fn patch() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() }
}

/// How it creates.
pub fn post() -> PostParams {
    PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() }
}

/// Doubling waits up to three seconds and a half as much.
pub fn watches() -> impl Backoff {
    ResetTimerBackoff::new(Doubling(FIRST), FORGOTTEN_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit() {
        let mut waits = Doubling(FIRST);
        for expected_ms in [100, 200, 400, 800, 1600, 3000, 3000] {
            let expected = Duration::from_millis(expected_ms);
            let wait = waits.next().unwrap();
            assert!(wait >= expected && wait <= expected * 3 / 2, "{wait:?}");
        }
        waits.reset();
        assert!(waits.next().unwrap() < LONGEST);
    }
}
