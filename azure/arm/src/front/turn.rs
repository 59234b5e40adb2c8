//! Turns: two writes to one top-level resource never overlap.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::Held;
use crate::ResourceId;

/// Locks by key; a key nobody holds costs nothing for long.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

/// A turn; ends when dropped.
pub(crate) struct Turn {
    _guard: Option<Arc<OwnedMutexGuard<()>>>,
    /// What in-process requests made during this turn hold.
    pub held: Held,
}

impl Turns {
    /// Waits for the turn of the id's outermost resource. A request made by code that holds the turn already
    /// (a provider writing a child of what it is writing) does not wait for itself.
    pub(crate) async fn take(&self, id: &ResourceId, held: &Held) -> Turn {
        let key = id.top().key().to_owned();
        if held.0.iter().any(|(k, guard)| *k == key && guard.upgrade().is_some()) {
            return Turn { _guard: None, held: held.clone() };
        }
        let lock = {
            let mut map = self.0.lock();
            if map.len() > 1_000 {
                map.retain(|_, lock| lock.strong_count() > 0);
            }
            match map.get(&key).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    map.insert(key.clone(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        let guard = Arc::new(lock.lock_owned().await);
        let mut held = held.clone();
        held.0.push((key, Arc::downgrade(&guard)));
        Turn { _guard: Some(guard), held }
    }
}
