//! How many keys lie between two, without looking at each: what a page of a long list says of the pages that follow.
//!
//! The keys are cut into runs, each known by its first key and its length. A count adds up whole runs and looks at the keys
//! of two at most, so it costs the square root of a walk. Does not hold the keys: whoever asks brings the map they are in.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// A run longer than this is cut in half.
const RUN_MAX: usize = 512;

/// The runs of one map's keys.
#[derive(Debug, Default)]
pub struct Counts(BTreeMap<Arc<str>, usize>);

impl Counts {
    /// The runs of a map as it is.
    pub fn of<V>(map: &BTreeMap<Arc<str>, V>) -> Self {
        let mut runs = BTreeMap::new();
        let mut keys = map.keys();
        while let Some(first) = keys.next() {
            let more = keys.by_ref().take(RUN_MAX / 2 - 1).count();
            runs.insert(first.clone(), more + 1);
        }
        Self(runs)
    }

    /// A key has come into `map`, and was not there before.
    pub fn added<V>(&mut self, key: &Arc<str>, map: &BTreeMap<Arc<str>, V>) {
        let at = Bound::Included(key.as_ref());
        let Some((first, length)) = self.0.range_mut::<str, _>((Bound::Unbounded, at)).next_back() else {
            // Before all others: the first run begins with it from now on.
            let first = self.0.pop_first().map_or(0, |(_, length)| length);
            self.0.insert(key.clone(), first + 1);
            return;
        };
        *length += 1;
        if *length <= RUN_MAX {
            return;
        }
        let (half, rest) = (*length / 2, *length - *length / 2);
        let from = Bound::Included(first.as_ref());
        if let Some((middle, _)) = map.range::<str, _>((from, Bound::Unbounded)).nth(half) {
            *length = half;
            self.0.insert(middle.clone(), rest);
        }
    }

    /// A key is gone from the map.
    pub fn removed(&mut self, key: &str) {
        let at = Bound::Included(key);
        let Some((first, length)) = self.0.range_mut::<str, _>((Bound::Unbounded, at)).next_back() else {
            return;
        };
        *length -= 1;
        if *length == 0 {
            let first = first.clone();
            self.0.remove(&first);
        }
    }

    /// How many keys of `map` come after `after` and begin with `prefix`, with which `after` begins too.
    pub fn after<V>(&self, after: &str, prefix: &str, map: &BTreeMap<Arc<str>, V>) -> usize {
        let mut count = 0;
        let mut begin = Bound::Excluded(after);
        // Whole runs lie between the first run that begins behind `after` and the last that does so with the prefix.
        let mut runs = self
            .0
            .range::<str, _>((begin, Bound::Unbounded))
            .take_while(|(first, _)| first.starts_with(prefix))
            .peekable();
        if let Some((first, _)) = runs.peek() {
            count += map.range::<str, _>((begin, Bound::Excluded(first.as_ref()))).count();
        }
        while let Some((first, length)) = runs.next() {
            // Of the last one only the beginning may have the prefix.
            if runs.peek().is_some() {
                count += length;
            }
            begin = Bound::Included(first.as_ref());
        }
        let rest = map.range::<str, _>((begin, Bound::Unbounded));
        count + rest.take_while(|(key, _)| key.starts_with(prefix)).count()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn counts_are_those_of_a_walk() {
        let mut random = StdRng::seed_from_u64(7);
        let mut map: BTreeMap<Arc<str>, ()> = BTreeMap::new();
        let mut counts = Counts::of(&map);
        for round in 0..40_000 {
            let (space, number) = (random.random_range(0..5), random.random_range(0..9_000));
            let key: Arc<str> = format!("/r/{space}/{number:05}").into();
            // Grows at first, shrinks later.
            if random.random_range(0..40_000) > round {
                if map.insert(key.clone(), ()).is_none() {
                    counts.added(&key, &map);
                }
            } else if map.remove(&key).is_some() {
                counts.removed(&key);
            }
            if round % 97 == 0 {
                for prefix in [format!("/r/{space}/"), "/r/".to_owned()] {
                    let walk = map.keys().filter(|other| **other > key && other.starts_with(&prefix)).count();
                    assert_eq!(counts.after(&key, &prefix, &map), walk, "round {round}, {key}, {prefix}");
                }
            }
        }
        assert_eq!(Counts::of(&map).after("/r/", "/r/", &map), map.len());
    }
}
