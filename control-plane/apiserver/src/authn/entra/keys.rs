//! The tenant's keys, fetched when needed and kept for a day.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use parking_lot::Mutex;

use super::{KeySource, Unavailable};

/// How long keys are used without asking again.
const FRESH: SignedDuration = SignedDuration::from_hours(24);
/// A key that is not known makes the set be fetched again, but not more often than this: anybody can invent key ids.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// Keys of a set at most.
const KEYS_MAX: usize = 64;

#[derive(Default)]
struct Known {
    fetched: Option<Timestamp>,
    keys: HashMap<String, DecodingKey>,
}

/// Keys by id.
pub(super) struct Keys {
    source: Arc<dyn KeySource>,
    known: Mutex<Known>,
    /// One fetch at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Keys {
    pub(super) fn new(source: Arc<dyn KeySource>) -> Self {
        Self { source, known: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }

    /// The key of this id; none when the tenant has none such. A known key outlives a source that does not answer.
    pub(super) async fn find(&self, id: &str, now: Timestamp) -> Result<Option<DecodingKey>, Unavailable> {
        if let Some(key) = self.usable(id, now) {
            return Ok(Some(key));
        }
        let _turn = self.turn.lock().await;
        // Somebody else may just have fetched.
        if let Some(key) = self.usable(id, now) {
            return Ok(Some(key));
        }
        let recent = self.known.lock().fetched.is_some_and(|at| now.duration_since(at).abs() < AGAIN);
        if !recent {
            match self.source.keys().await.and_then(parse) {
                Ok(keys) => *self.known.lock() = Known { fetched: Some(now), keys },
                Err(error) => {
                    let stale = self.known.lock().keys.get(id).cloned();
                    return stale.map(Some).ok_or(error);
                }
            }
        }
        Ok(self.known.lock().keys.get(id).cloned())
    }

    fn usable(&self, id: &str, now: Timestamp) -> Option<DecodingKey> {
        let known = self.known.lock();
        let fresh = known.fetched.is_some_and(|at| now.duration_since(at) < FRESH);
        if fresh { known.keys.get(id).cloned() } else { None }
    }
}

fn parse(set: serde_json::Value) -> Result<HashMap<String, DecodingKey>, Unavailable> {
    let set: JwkSet =
        serde_json::from_value(set).map_err(|_| Unavailable("the key set cannot be read".to_owned()))?;
    let keys = set.keys.iter().take(KEYS_MAX).filter_map(|jwk| {
        let id = jwk.common.key_id.clone()?;
        Some((id, DecodingKey::from_jwk(jwk).ok()?))
    });
    Ok(keys.collect())
}
