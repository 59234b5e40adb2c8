//! Which pod next. Ready ones by priority, then by age; those that failed wait for time or for an event that
//! could change the answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::plugins::Plugin;
use crate::pod::PodInfo;

const BACKOFF_FIRST_MS: u64 = 1000;
const BACKOFF_MAX_MS: u64 = 10_000;
/// After so long without any event a pod is tried again all the same.
const STALE_MS: u64 = 5 * 60_000;

/// Something happened that may help pods that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    Node,
    PodAdded,
    PodRemoved,
    Volume,
}

impl Wake {
    fn helps(self, refused_by: &[Plugin]) -> bool {
        let any = |plugins: &[Plugin]| refused_by.iter().any(|p| plugins.contains(p));
        refused_by.is_empty()
            || match self {
                Self::Node => true,
                Self::PodAdded => any(&[Plugin::InterPod, Plugin::Spread]),
                Self::PodRemoved => any(&[Plugin::Fit, Plugin::NodePorts, Plugin::InterPod, Plugin::Spread]),
                Self::Volume => any(&[Plugin::Volumes]),
            }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Position in the ready set.
    Ready(i32, u64),
    /// Until when.
    Backoff(u64),
    /// Since when.
    Waiting(u64),
    Gated,
    /// Being decided on or bound.
    Out,
}

struct Entry {
    pod: Arc<PodInfo>,
    place: Place,
    attempts: u32,
    refused_by: Vec<Plugin>,
    tried_ms: u64,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    entries: HashMap<String, Entry>,
    ready: BTreeMap<(i64, u64), String>,
    backoff: BTreeSet<(u64, String)>,
    waiting: BTreeSet<(u64, String)>,
    gated: usize,
    serial: u64,
}

fn order(priority: i32, serial: u64) -> (i64, u64) {
    (-i64::from(priority), serial)
}

impl Queue {
    fn lift(&mut self, uid: &str) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match entry.place {
            Place::Ready(priority, serial) => drop(self.ready.remove(&order(priority, serial))),
            Place::Backoff(at) => drop(self.backoff.remove(&(at, uid.to_owned()))),
            Place::Waiting(since) => drop(self.waiting.remove(&(since, uid.to_owned()))),
            Place::Gated => self.gated -= 1,
            Place::Out => {}
        }
        entry.place = Place::Out;
    }

    fn make_ready(&mut self, uid: &str) {
        self.lift(uid);
        self.serial += 1;
        if let Some(entry) = self.entries.get_mut(uid) {
            let priority = entry.pod.priority;
            entry.place = Place::Ready(priority, self.serial);
            self.ready.insert(order(priority, self.serial), uid.to_owned());
        }
    }

    /// A pod without a node: new, or as it is now.
    pub fn upsert(&mut self, pod: Arc<PodInfo>, now_ms: u64) {
        let uid = pod.uid.clone();
        let Some(entry) = self.entries.get_mut(&uid) else {
            let entry = Entry { pod, place: Place::Out, attempts: 0, refused_by: Vec::new(), tried_ms: 0 };
            self.entries.insert(uid.clone(), entry);
            return self.make_ready(&uid);
        };
        let changed = entry.pod.pod.spec != pod.pod.spec
            || entry.pod.labels != pod.labels
            || entry.place == Place::Gated;
        entry.pod = pod;
        match entry.place {
            Place::Waiting(_) if changed => self.revive(&uid, now_ms),
            Place::Gated => self.make_ready(&uid),
            Place::Ready(..) if changed => self.make_ready(&uid),
            _ => {}
        }
    }

    /// A pod that must not be scheduled yet. Returns whether that is news.
    pub fn gate(&mut self, pod: Arc<PodInfo>) -> bool {
        let uid = pod.uid.clone();
        if let Some(entry) = self.entries.get_mut(&uid)
            && entry.place == Place::Gated
        {
            entry.pod = pod;
            return false;
        }
        self.lift(&uid);
        let entry = Entry { pod, place: Place::Gated, attempts: 0, refused_by: Vec::new(), tried_ms: 0 };
        self.entries.insert(uid, entry);
        self.gated += 1;
        true
    }

    /// The pod needs no scheduling any more.
    pub fn remove(&mut self, uid: &str) {
        self.lift(uid);
        self.entries.remove(uid);
    }

    /// As [`remove`](Self::remove), after a success.
    pub fn succeeded(&mut self, uid: &str) {
        self.remove(uid);
    }

    /// The pod with the highest priority that is ready; of equals the one that has waited longest.
    pub fn pop(&mut self, now_ms: u64) -> Option<Arc<PodInfo>> {
        while let Some((at, uid)) = self.backoff.first().cloned()
            && at <= now_ms
        {
            self.make_ready(&uid);
        }
        while let Some((since, uid)) = self.waiting.first().cloned()
            && since + STALE_MS <= now_ms
        {
            self.make_ready(&uid);
        }
        let (_, uid) = self.ready.pop_first()?;
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::Out;
        entry.attempts += 1;
        entry.tried_ms = now_ms;
        Some(entry.pod.clone())
    }

    /// No node fits, or `retry`: something went wrong that time may mend.
    pub fn failed(&mut self, pod: Arc<PodInfo>, refused_by: Vec<Plugin>, now_ms: u64, retry: bool) {
        let uid = pod.uid.clone();
        let entry = self.entries.entry(uid.clone()).or_insert_with(|| Entry {
            pod: pod.clone(),
            place: Place::Out,
            attempts: 1,
            refused_by: Vec::new(),
            tried_ms: now_ms,
        });
        entry.refused_by = refused_by;
        if retry {
            return self.revive(&uid, now_ms);
        }
        entry.place = Place::Waiting(now_ms);
        self.waiting.insert((now_ms, uid));
    }

    /// Back to the ready ones, after the rest of its backoff.
    fn revive(&mut self, uid: &str, now_ms: u64) {
        let Some(entry) = self.entries.get(uid) else { return };
        let doublings = entry.attempts.saturating_sub(1).min(10);
        let backoff =
            if entry.attempts == 0 { 0 } else { (BACKOFF_FIRST_MS << doublings).min(BACKOFF_MAX_MS) };
        let at = entry.tried_ms + backoff;
        if at <= now_ms {
            return self.make_ready(uid);
        }
        self.lift(uid);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.place = Place::Backoff(at);
        }
        self.backoff.insert((at, uid.to_owned()));
    }

    /// Something happened: those it may help become ready.
    pub fn wake(&mut self, wake: Wake, now_ms: u64) {
        if self.waiting.is_empty() {
            return;
        }
        let helped: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, uid)| self.entries.get(uid).is_some_and(|e| wake.helps(&e.refused_by)))
            .map(|(_, uid)| uid.clone())
            .collect();
        for uid in helped {
            self.revive(&uid, now_ms);
        }
    }

    /// When something becomes ready by time alone.
    pub fn due(&self) -> Option<u64> {
        let backoff = self.backoff.first().map(|(at, _)| *at);
        let stale = self.waiting.first().map(|(since, _)| since + STALE_MS);
        backoff.into_iter().chain(stale).min()
    }

    /// Ready, backing off, without a node that fits (gated ones included).
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.ready.len(), self.backoff.len(), self.waiting.len() + self.gated)
    }
}
