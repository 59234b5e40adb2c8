//! Holds a history against one order of all writes.
//!
//! Revisions are that order, so the check is linear: what is known to have happened at each revision must agree, whoever tells it; each
//! read must find exactly what was last before its revision; and who began after another had ended must not be before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::record::{Did, History, Outcome, Put, Seen};

/// All that is known to have happened, by key and revision: a value, or a deletion.
#[derive(Default)]
struct Truth {
    keys: HashMap<String, BTreeMap<u64, Option<String>>>,
    /// Keys that somebody may have deleted without knowing.
    maybe_deleted: BTreeSet<String>,
}

impl Truth {
    fn tell(&mut self, key: &str, at: u64, value: Option<&str>) {
        let told = self
            .keys
            .entry(key.to_owned())
            .or_default()
            .entry(at)
            .or_insert_with(|| value.map(str::to_owned));
        assert_eq!(told.as_deref(), value, "two accounts of `{key}` at {at}");
    }

    fn tell_put(&mut self, key: &str, (at, value): &Put) {
        self.tell(key, *at, Some(value));
    }

    /// What was last at or before a revision.
    fn at(&self, key: &str, revision: u64) -> Option<Put> {
        let (at, value) = self.keys.get(key)?.range(..=revision).next_back()?;
        value.clone().map(|value| (*at, value))
    }

    fn must_be(&self, key: &str, revision: u64, found: Option<&Put>, who: &str) {
        let expected = self.at(key, revision);
        if found.is_none() && self.maybe_deleted.contains(key) {
            return;
        }
        assert_eq!(expected.as_ref(), found, "{who}: `{key}` as of {revision}");
    }
}

fn gather(history: &History) -> Truth {
    let mut truth = Truth::default();
    for call in &history.calls {
        match &call.did {
            Did::Write { changes, outcome: Outcome::At(at), .. } => {
                for (key, value) in changes {
                    truth.tell(key, *at, value.as_deref());
                }
            }
            Did::Write { expected, outcome: Outcome::Conflict(current), .. } => {
                for ((key, _), put) in expected.iter().zip(current) {
                    put.iter().for_each(|put| truth.tell_put(key, put));
                }
            }
            Did::Write { changes, outcome: Outcome::Unknown, .. } => {
                let deleted = changes.iter().filter(|(_, value)| value.is_none());
                truth.maybe_deleted.extend(deleted.map(|(key, _)| key.clone()));
            }
            Did::Read { found, .. } => found.iter().for_each(|(key, put)| truth.tell_put(key, put)),
        }
    }
    for seen in history.watchers.iter().flatten() {
        if let Seen::Batch(revision, events) = seen {
            for (key, value, previous) in events {
                truth.tell(key, *revision, value.as_deref());
                previous.iter().for_each(|put| truth.tell_put(key, put));
            }
        }
    }
    truth
}

/// Each value is of one write that was not refused, happened once, and all of its transaction with it.
fn values(history: &History, truth: &Truth) {
    let mut writes = HashMap::new();
    for call in &history.calls {
        if let Did::Write { changes, outcome, .. } = &call.did {
            for value in changes.iter().filter_map(|(_, value)| value.as_ref()) {
                assert!(writes.insert(value.clone(), (changes, outcome)).is_none(), "values are unique");
            }
        }
    }
    let mut happened = BTreeSet::new();
    for (key, line) in &truth.keys {
        for (at, value) in line.iter().filter_map(|(at, value)| Some((at, value.as_ref()?))) {
            assert!(happened.insert(value.clone()), "`{value}` was written twice");
            let (changes, outcome) = writes.get(value).unwrap_or_else(|| panic!("nobody wrote `{value}`"));
            assert!(changes.iter().any(|(of, _)| of == key), "`{value}` is of another key than `{key}`");
            match outcome {
                Outcome::At(told) => {
                    assert_eq!(told, at, "`{value}` happened at another revision than was told")
                }
                Outcome::Conflict(_) => panic!("`{value}` was refused and happened"),
                Outcome::Unknown => {}
            }
        }
    }
    for seen in history.watchers.iter().flatten() {
        let Seen::Batch(revision, events) = seen else { continue };
        let Some((changes, _)) = events.iter().find_map(|(_, value, _)| writes.get(value.as_ref()?)) else {
            continue;
        };
        let (told, wanted): (BTreeSet<_>, BTreeSet<_>) =
            (events.iter().map(|(key, ..)| key).collect(), changes.iter().map(|(key, _)| key).collect());
        assert_eq!(told, wanted, "a watcher saw half of the transaction at {revision}");
    }
}

/// Reads found what was there, and comparisons were true.
fn answers(history: &History, truth: &Truth) -> (usize, usize, usize) {
    let (mut reads, mut writes, mut unknown) = (0, 0, 0);
    for call in &history.calls {
        match &call.did {
            Did::Read { keys, found, revision } => {
                reads += 1;
                for key in keys {
                    truth.must_be(key, *revision, found.get(key), "a read");
                }
            }
            Did::Write { expected, outcome: Outcome::At(at), .. } => {
                writes += 1;
                for (key, compared) in expected {
                    let was = truth.at(key, at - 1).map_or(0, |(at, _)| at);
                    let fine = was == *compared || (*compared == 0 && truth.maybe_deleted.contains(key));
                    assert!(fine, "`{key}` was compared with {compared} at {at}, and was {was}");
                }
            }
            Did::Write { expected, outcome: Outcome::Conflict(current), .. } => {
                let is = |put: &Option<Put>| put.as_ref().map_or(0, |(at, _)| *at);
                let differs = expected.iter().zip(current).any(|((_, compared), put)| is(put) != *compared);
                assert!(differs, "a conflict that is none: {expected:?}");
            }
            Did::Write { outcome: Outcome::Unknown, .. } => unknown += 1,
        }
    }
    (reads, writes, unknown)
}

/// What began after something had ended is not before it in the order.
fn real_time(history: &History) {
    let mut calls: Vec<_> = history
        .calls
        .iter()
        .filter_map(|call| match &call.did {
            Did::Read { revision, .. } => Some((call.start, call.end, *revision, 0)),
            Did::Write { outcome: Outcome::At(at), .. } => Some((call.start, call.end, *at, 1)),
            Did::Write { .. } => None,
        })
        .collect();
    let mut ended = calls.clone();
    calls.sort();
    ended.sort_by_key(|(_, end, ..)| *end);
    let (mut done, mut newest) = (ended.into_iter().peekable(), 0);
    for (start, _, revision, least) in calls {
        while let Some((_, _, was, _)) = done.next_if(|(_, end, ..)| *end < start) {
            newest = newest.max(was);
        }
        assert!(
            revision >= newest + least,
            "at {start:?} somebody got {revision} when {newest} had been told"
        );
    }
}

/// Ordered, each once, none missing, and true about what was before.
fn watchers(history: &History, truth: &Truth) -> usize {
    let mut seen_all = 0;
    for watcher in &history.watchers {
        let (mut next, mut from, mut told) = (0, 0, BTreeSet::new());
        let complete = |from: u64, next: u64, told: &BTreeSet<(String, u64)>| {
            for (key, line) in &truth.keys {
                for at in line.range(from..next).map(|(at, _)| at) {
                    assert!(told.contains(&(key.clone(), *at)), "a watcher missed `{key}` at {at}");
                }
            }
        };
        for seen in watcher {
            match seen {
                Seen::From(at) => {
                    complete(from, next, &told);
                    assert!(*at >= next, "a watcher went back to {at}");
                    (from, next) = (*at, *at);
                }
                Seen::Batch(revision, events) => {
                    assert!(*revision >= next, "{revision} came again, or late: {next} was next");
                    next = revision + 1;
                    seen_all += events.len();
                    for (key, _, previous) in events {
                        assert!(told.insert((key.clone(), *revision)), "`{key}` at {revision} came twice");
                        truth.must_be(key, revision - 1, previous.as_ref(), "a watcher's previous value");
                    }
                }
            }
        }
        complete(from, next, &told);
        assert!(next > history.last || from > history.last, "a watcher ended at {next} of {}", history.last);
    }
    seen_all
}

/// Panics when the history has no order that explains it; else tells what was checked.
pub fn check(history: &History) -> String {
    let truth = gather(history);
    values(history, &truth);
    let (reads, writes, unknown) = answers(history, &truth);
    real_time(history);
    let events = watchers(history, &truth);
    assert!(reads > 0 && writes > 0 && events > 0, "there was something to check");
    format!(
        "{} kills: {writes} writes, {reads} reads, {unknown} writes without an answer, {events} events: one order",
        history.kills
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Call;

    fn call(start: u64, end: u64, did: Did) -> Call {
        Call { start: Duration::from_millis(start), end: Duration::from_millis(end), did }
    }

    fn put(value: &str, compared: u64, outcome: Outcome) -> Did {
        let (key, value) = ("/k/0".to_owned(), Some(value.to_owned()));
        Did::Write { changes: vec![(key.clone(), value)], expected: vec![(key, compared)], outcome }
    }

    fn read(found: Option<(u64, &str)>, revision: u64) -> Did {
        let found =
            found.map(|(at, value)| ("/k/0".to_owned(), (at, value.to_owned()))).into_iter().collect();
        Did::Read { keys: vec!["/k/0".to_owned()], found, revision }
    }

    fn batch(at: u64, value: &str, previous: Option<(u64, &str)>) -> Seen {
        let previous = previous.map(|(at, value)| (at, value.to_owned()));
        Seen::Batch(at, vec![("/k/0".into(), Some(value.into()), previous)])
    }

    fn history(calls: Vec<Call>, watcher: Vec<Seen>) -> History {
        History { calls, watchers: vec![watcher], last: 3, kills: 0 }
    }

    fn good() -> (Vec<Call>, Vec<Seen>) {
        let calls = vec![
            call(0, 2, put("a", 0, Outcome::At(2))),
            call(3, 5, put("b", 2, Outcome::At(3))),
            call(6, 7, read(Some((3, "b")), 3)),
        ];
        (calls, vec![Seen::From(2), batch(2, "a", None), batch(3, "b", Some((2, "a")))])
    }

    /// The checker finds each kind of lie.
    #[test]
    fn lies_are_found() {
        let (calls, watcher) = good();
        check(&history(calls, watcher));
        let found = |change: fn(&mut Vec<Call>, &mut Vec<Seen>)| {
            let (mut calls, mut watcher) = good();
            change(&mut calls, &mut watcher);
            let history = std::panic::AssertUnwindSafe(history(calls, watcher));
            std::panic::catch_unwind(|| check(&history)).is_err()
        };
        assert!(found(|calls, _| calls[2].did = read(Some((2, "a")), 3)), "an old value");
        assert!(found(|calls, _| calls[2].did = read(Some((2, "a")), 2)), "an old revision");
        assert!(found(|calls, _| calls[2].did = read(None, 3)), "a lost key");
        assert!(found(|calls, _| calls[2].did = read(Some((3, "c")), 3)), "a value nobody wrote");
        assert!(found(|calls, _| calls[1].did = put("b", 0, Outcome::At(3))), "a comparison that was wrong");
        assert!(
            found(|calls, _| calls[1].did = put("b", 2, Outcome::Conflict(vec![None]))),
            "refused and done"
        );
        assert!(found(|_, watcher| drop(watcher.remove(1))), "a missed event");
        assert!(found(|_, watcher| watcher.push(batch(3, "b", Some((2, "a"))))), "an event twice");
        assert!(found(|_, watcher| watcher.swap(1, 2)), "events out of order");
        assert!(found(|_, watcher| watcher[2] = batch(3, "b", None)), "a wrong previous value");
        assert!(found(|_, watcher| drop(watcher.pop())), "the end is missing");
    }
}
