//! Who follows a cache, found by what a change touches, and the queue between cache and follower.
//!
//! A change is put into the queues of those who see it; they are woken together, after the last change of a
//! group ([`Subscribers::wake`]): so a follower takes what one group commit brought in one go.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::change::{Change, Kind};
use super::filter::Filter;
use super::header::Paths;

/// How far a follower may fall behind before it is cut off, in changes.
pub const BACKLOG_CHANGES_MAX: usize = 4096;
/// Room that an idle queue keeps, in changes.
const IDLE_CHANGES: usize = 16;

/// The one thing a change must have for a follower to look at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Nothing: every change is looked at.
    Any,
    /// The key.
    Key(Arc<str>),
    /// The namespace.
    Namespace(Box<str>),
    /// The value of the selectable field in a slot, before or after the change.
    Field(usize, Box<str>),
}

/// Changes on their way to a follower.
#[derive(Default)]
pub struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    changes: VecDeque<(Kind, Arc<Change>)>,
    ended: bool,
    waker: Option<Waker>,
}

enum Put {
    First,
    More,
    Full,
}

impl Queue {
    fn put(&self, change: (Kind, Arc<Change>)) -> Put {
        let mut waiting = self.0.lock();
        if waiting.changes.len() >= BACKLOG_CHANGES_MAX {
            return Put::Full;
        }
        waiting.changes.push_back(change);
        if waiting.changes.len() == 1 { Put::First } else { Put::More }
    }

    fn wake(&self) {
        if let Some(waker) = self.0.lock().waker.take() {
            waker.wake();
        }
    }

    /// No more changes will come.
    fn end(&self) {
        let mut waiting = self.0.lock();
        waiting.ended = true;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// The next change if it is there.
    pub fn ready(&self) -> Option<(Kind, Arc<Change>)> {
        self.0.lock().changes.pop_front()
    }

    /// Whether nothing more will come.
    pub fn has_ended(&self) -> bool {
        let waiting = self.0.lock();
        waiting.ended && waiting.changes.is_empty()
    }

    /// The next change; none when the queue has ended and is empty.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Option<(Kind, Arc<Change>)>> {
        let mut waiting = self.0.lock();
        if let Some(change) = waiting.changes.pop_front() {
            return Poll::Ready(Some(change));
        }
        if waiting.ended {
            return Poll::Ready(None);
        }
        waiting.changes.shrink_to(IDLE_CHANGES);
        match &mut waiting.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

struct Subscriber {
    id: u64,
    filter: Filter,
    queue: Arc<Queue>,
}

/// All who follow one cache.
#[derive(Default)]
pub struct Subscribers {
    by_trigger: HashMap<Trigger, Vec<Subscriber>>,
    /// Slots of fields that triggers name, each with the number of its triggers.
    slots: Vec<(usize, usize)>,
    /// Queues that got something since the last waking.
    dirty: Vec<Arc<Queue>>,
    count: usize,
    next_id: u64,
}

impl Subscribers {
    /// Adds one; what changes from now on is put into `queue`. Gives the id to remove it by.
    pub fn add(&mut self, trigger: Trigger, filter: Filter, queue: Arc<Queue>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.count += 1;
        let known = self.by_trigger.contains_key(&trigger);
        if let (Trigger::Field(slot, _), false) = (&trigger, known) {
            match self.slots.iter_mut().find(|(at, _)| at == slot) {
                Some((_, triggers)) => *triggers += 1,
                None => self.slots.push((*slot, 1)),
            }
        }
        self.by_trigger.entry(trigger).or_default().push(Subscriber { id, filter, queue });
        id
    }

    /// Removes one; nothing happens when it is gone already.
    pub fn remove(&mut self, trigger: &Trigger, id: u64) {
        let Some(group) = self.by_trigger.get_mut(trigger) else { return };
        let before = group.len();
        group.retain(|subscriber| subscriber.id != id);
        self.count -= before - group.len();
        self.tidy(trigger);
    }

    /// Ends all.
    pub fn end(&mut self) {
        for subscriber in self.by_trigger.drain().flat_map(|(_, group)| group) {
            subscriber.queue.end();
        }
        self.slots.clear();
        self.dirty.clear();
        self.count = 0;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many have this trigger.
    pub fn followers(&self, trigger: &Trigger) -> usize {
        self.by_trigger.get(trigger).map_or(0, Vec::len)
    }

    /// Gives a change to those who see it. They are not woken yet.
    pub fn offer(&mut self, change: &Arc<Change>, paths: &Paths) {
        if self.count == 0 {
            return;
        }
        for trigger in self.touched(change) {
            let Some(group) = self.by_trigger.get_mut(&trigger) else { continue };
            let before = group.len();
            group.retain(|subscriber| {
                let Some(kind) = subscriber.filter.sees(change, paths) else { return true };
                match subscriber.queue.put((kind, change.clone())) {
                    Put::First => self.dirty.push(subscriber.queue.clone()),
                    Put::More => {}
                    Put::Full => {
                        subscriber.queue.end();
                        return false;
                    }
                }
                true
            });
            let cut_off = before - group.len();
            if cut_off > 0 {
                self.count -= cut_off;
                self.tidy(&trigger);
            }
        }
    }

    /// Wakes those who were given something.
    pub fn wake(&mut self) {
        for queue in self.dirty.drain(..) {
            queue.wake();
        }
        self.dirty.shrink_to(IDLE_CHANGES);
    }

    /// The triggers that a change pulls.
    fn touched(&self, change: &Change) -> Vec<Trigger> {
        let mut touched = vec![Trigger::Any];
        let Some(entry) = change.now.as_ref().or(change.before.as_ref()) else { return touched };
        touched.push(Trigger::Key(entry.key.clone()));
        if !entry.namespace().is_empty() {
            touched.push(Trigger::Namespace(entry.namespace().into()));
        }
        for (slot, _) in &self.slots {
            let value = |entry: &Arc<super::Entry>| entry.header.fields.get(*slot).cloned();
            let (now, before) = (change.now.as_ref().and_then(value), change.before.as_ref().and_then(value));
            if now != before {
                touched.extend(before.map(|value| Trigger::Field(*slot, value)));
            }
            touched.extend(now.map(|value| Trigger::Field(*slot, value)));
        }
        touched
    }

    /// Forgets a trigger nobody has any more.
    fn tidy(&mut self, trigger: &Trigger) {
        if self.by_trigger.get(trigger).is_some_and(|group| !group.is_empty()) {
            return;
        }
        if self.by_trigger.remove(trigger).is_some()
            && let Trigger::Field(slot, _) = trigger
            && let Some(at) = self.slots.iter().position(|(known, _)| known == slot)
        {
            self.slots[at].1 -= 1;
            if self.slots[at].1 == 0 {
                self.slots.swap_remove(at);
            }
        }
    }
}
