//! The activity log: what was done to the cloud, by whom, and how it ended. Durable and bounded.
//!
//! A write that is refused or ends at once has one event, with its outcome. One that goes on has three: `Started` and
//! `Accepted` when it was asked for, `Succeeded` or `Failed` when it ended, tied together by correlation and operation id.
//! What was only read is not logged. An event can be read at once and is on disk soon after; nobody waits for the disk.

mod event;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::{Resources, StoreError, Table};
pub use event::{Cause, Event};

/// How many events are kept.
pub const EVENTS_MAX: usize = 10_000;

tokio::task_local! {
    /// What the request that is being answered does, for operations that it starts.
    pub(crate) static CAUSE: Arc<Mutex<Option<Cause>>>;
}

/// The log.
#[derive(Clone)]
pub struct Activity {
    table: Table,
    events: Arc<RwLock<BTreeMap<String, Event>>>,
    /// Noted, and not yet on disk.
    pending: Arc<Mutex<Vec<Event>>>,
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Activity {
    pub(crate) fn open(resources: &Resources) -> Result<Self, StoreError> {
        let table = resources.table("activity");
        let events = table.list::<Event>("")?.into_iter().collect();
        Ok(Self {
            table,
            events: Arc::new(RwLock::new(events)),
            pending: Arc::default(),
            writing: Arc::default(),
        })
    }

    /// Notes an event: it can be read at once, and is on disk after the next [`write`](Self::write).
    pub(crate) fn note(&self, event: Event) {
        self.events.write().insert(event.key.clone(), event.clone());
        self.pending.lock().push(event);
    }

    /// Writes down in one step what was noted, and forgets the oldest.
    pub(crate) async fn write(&self) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let noted = std::mem::take(&mut *self.pending.lock());
        if noted.is_empty() {
            return Ok(());
        }
        let rows: Vec<(String, Event)> = noted.into_iter().map(|event| (event.key.clone(), event)).collect();
        self.table.put_all(&rows).await?;
        let old: Vec<String> = {
            let events = self.events.read();
            let surplus =
                if events.len() > EVENTS_MAX + EVENTS_MAX / 10 { events.len() - EVENTS_MAX } else { 0 };
            events.keys().take(surplus).cloned().collect()
        };
        if !old.is_empty() {
            self.table.remove_all(&old).await?;
            let mut events = self.events.write();
            for key in &old {
                events.remove(key);
            }
        }
        Ok(())
    }

    /// Those that `pick` picks, the newest first.
    pub fn select(&self, pick: impl Fn(&Event) -> bool) -> Vec<Event> {
        self.events.read().values().rev().filter(|event| pick(event)).cloned().collect()
    }

    /// All, the newest first.
    pub fn events(&self) -> Vec<Event> {
        self.select(|_| true)
    }
}
