//! Who follows a cache, found by what a change touches, and the queue between cache and follower.
//!
//! A change is put into the queues of those who see it; they are woken together, after the last change of a
//! group ([`Subscribers::wake`]): so a follower takes what one group commit brought in one go. Where many follow the same, they
//! are woken in rounds: a change after a pause at once, those that follow it closely together. One timer serves them all.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::change::{Change, Kind};
use super::filter::Filter;
use super::header::Paths;

/// How far a follower may fall behind before it is cut off, in changes.
pub const BACKLOG_CHANGES_MAX: usize = 4096;
/// Room that an idle queue keeps, in changes.
const IDLE_CHANGES: usize = 16;
/// What a round may take for each of those who follow the same. A piece costs about 20 µs (a task, a frame, a TLS record, a
/// system call) however many events are in it: so a crowd costs less than half a core, whatever the rate of changes.
const ROUND_FOR_EACH: Duration = Duration::from_micros(50);
/// Rounds shorter than this are none: timers are no finer.
const ROUND_MIN: Duration = Duration::from_millis(1);
/// The longest that a change waits for company.
const ROUND_MAX: Duration = Duration::from_millis(50);

/// How long the round of so many followers is; none for a few.
fn round(followers: usize) -> Option<Duration> {
    let round = ROUND_FOR_EACH.saturating_mul(u32::try_from(followers).unwrap_or(u32::MAX)).min(ROUND_MAX);
    (round >= ROUND_MIN).then_some(round)
}

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
    /// The same, of those who are many.
    crowd: Vec<Arc<Queue>>,
    /// When the crowd may be woken again.
    round_end: Option<Instant>,
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
        self.crowd.clear();
        self.count = 0;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Gives a change to those who see it. They are not woken yet.
    pub fn offer(&mut self, change: &Arc<Change>, paths: &Paths) {
        if self.count == 0 {
            return;
        }
        for trigger in self.touched(change) {
            let Some(group) = self.by_trigger.get_mut(&trigger) else { continue };
            let before = group.len();
            let dirty = if round(before).is_some() { &mut self.crowd } else { &mut self.dirty };
            group.retain(|subscriber| {
                let Some(kind) = subscriber.filter.sees(change, paths) else { return true };
                match subscriber.queue.put((kind, change.clone())) {
                    Put::First => dirty.push(subscriber.queue.clone()),
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

    /// Wakes those who were given something; a crowd only when its last round is over. Tells when that is, if some are still to be woken.
    pub fn wake(&mut self, now: Instant) -> Option<Instant> {
        wake_all(&mut self.dirty);
        if self.crowd.is_empty() {
            return None;
        }
        if let Some(end) = self.round_end.filter(|end| now < *end) {
            return Some(end);
        }
        self.round_end = round(self.crowd.len()).map(|round| now + round);
        wake_all(&mut self.crowd);
        None
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

fn wake_all(queues: &mut Vec<Arc<Queue>>) {
    for queue in queues.drain(..) {
        queue.wake();
    }
    queues.shrink_to(IDLE_CHANGES);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::watch::Entry;

    fn followers(count: usize) -> (Subscribers, Vec<Arc<Queue>>) {
        let (mut subscribers, mut queues) = (Subscribers::default(), Vec::new());
        for _ in 0..count {
            let queue = Arc::<Queue>::default();
            subscribers.add(Trigger::Any, Filter::default(), queue.clone());
            queues.push(queue);
        }
        (subscribers, queues)
    }

    /// Whether all followers sleep; they do so when they have taken what there is.
    fn all_sleep(queues: &[Arc<Queue>]) -> bool {
        let context = Context::from_waker(Waker::noop());
        queues.iter().for_each(|queue| while let Poll::Ready(Some(_)) = queue.poll(&context) {});
        queues.iter().all(|queue| queue.0.lock().waker.is_some())
    }

    fn offer(subscribers: &mut Subscribers, revision: u64) {
        let value = Bytes::from_static(br#"{"metadata":{"name":"x"}}"#);
        let entry = Entry::new("/registry/core/as/x".into(), 18, value, revision, &Paths::default());
        let change = Change::new(Some(Arc::new(entry)), None, revision);
        subscribers.offer(&Arc::new(change), &Paths::default());
    }

    #[test]
    fn a_crowd_is_woken_in_rounds_and_a_few_at_once() {
        let asleep =
            |queues: &[Arc<Queue>]| queues.iter().filter(|queue| queue.0.lock().waker.is_some()).count();
        for (count, round) in [(3, None), (100, Some(5)), (5000, Some(50))] {
            let (mut subscribers, queues) = followers(count);
            assert!(all_sleep(&queues));
            let start = Instant::now();
            offer(&mut subscribers, 1);
            assert_eq!(subscribers.wake(start), None);
            assert_eq!(asleep(&queues), 0, "the first change is told at once");
            assert!(all_sleep(&queues));
            offer(&mut subscribers, 2);
            let end = round.map(|round_ms| start + Duration::from_millis(round_ms));
            let soon = start + Duration::from_micros(500);
            assert_eq!(subscribers.wake(soon), end);
            assert_eq!(asleep(&queues), if round.is_some() { count } else { 0 });
            offer(&mut subscribers, 3);
            let Some(end) = end else { continue };
            assert_eq!(subscribers.wake(end), None);
            assert_eq!(asleep(&queues), 0);
            let waiting = queues.iter().map(|queue| queue.0.lock().changes.len());
            assert!(waiting.into_iter().all(|changes| changes == 2), "what came meanwhile is told together");
        }
    }
}
