//! Laws of apply, over random objects of the real kinds and over schemas made at random.

use super::made::{Choices, bytes, object, schema};
use super::model;
use api_model::merge::apply::{ApplyError, Manager, Set, apply, update_managed_fields};
use api_model::{Resource, Schema};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;

/// A kind, real or made up.
struct Kind {
    schema: Arc<Schema>,
    api_version: String,
    kind: String,
}

impl Kind {
    /// Half of the kinds are made up.
    fn of(choice: &[u8]) -> Self {
        let mut choices = Choices(choice);
        if choices.byte() % 2 == 0 {
            return Self { schema: schema(&mut choices), api_version: "x.io/v1".into(), kind: "Made".into() };
        }
        let common = ["pods", "services", "configmaps", "nodes"]
            .map(|plural| model().resource("", "v1", plural).unwrap());
        let deployments = model().resource("apps", "v1", "deployments").unwrap();
        let resource: &Resource = match choices.byte() % 8 {
            at @ 0..=3 => common[usize::from(at)],
            4 | 5 => deployments,
            _ => choices.of(model().resources()),
        };
        Self {
            schema: resource.schema.clone(),
            api_version: resource.api_version(),
            kind: resource.kind.clone(),
        }
    }

    fn object(&self, bytes: &[u8]) -> Value {
        object(&self.schema, &self.api_version, &self.kind, &mut Choices(bytes))
    }

    fn who(&self, name: &str, second: i64) -> Manager {
        let time = jiff::Timestamp::from_second(second).unwrap();
        Manager { name: name.into(), api_version: self.api_version.clone(), subresource: None, time }
    }

    fn try_apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        name: &str,
        force: bool,
    ) -> Result<Value, ApplyError> {
        apply(&self.schema, live, config, &self.who(name, 7), force)
    }

    fn apply(&self, live: Option<&Value>, config: &Value, name: &str) -> Value {
        self.try_apply(live, config, name, true).unwrap_or_else(|error| panic!("{error}\n{config}"))
    }
}

fn owned(object: &Value, name: &str) -> Set {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let sets = list.iter().filter(|e| e["manager"] == name).filter_map(|e| Set::decode(&e["fieldsV1"]));
    sets.fold(Set::default(), |all, set| all.union(&set))
}

fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    bare["metadata"].as_object_mut().unwrap().remove("managedFields");
    bare
}

/// The same, whatever order lists are in.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), unordered(value))).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(unordered).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        scalar => scalar.clone(),
    }
}

fn disjoint(kind: &Kind, a: &Value, b: &Value) -> bool {
    let (a, b) = (owned(&kind.apply(None, a, "x"), "x"), owned(&kind.apply(None, b, "x"), "x"));
    // Neither lists an item of which the other lists a part.
    a.intersection(&b).is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn applying_twice_is_applying_once(k in bytes(64), a in bytes(120), b in bytes(120)) {
        let kind = Kind::of(&k);
        let live = kind.apply(Some(&kind.apply(None, &kind.object(&a), "one")), &kind.object(&b), "two");
        let later = apply(&kind.schema, Some(&live), &kind.object(&b), &kind.who("two", 999), false);
        prop_assert_eq!(later.as_ref(), Ok(&live));
    }

    #[test]
    fn what_is_applied_is_owned_whatever_was_there(k in bytes(64), a in bytes(120), b in bytes(120)) {
        let kind = Kind::of(&k);
        let config = kind.object(&b);
        let live = kind.apply(Some(&kind.apply(None, &kind.object(&a), "one")), &config, "two");
        prop_assert_eq!(owned(&live, "two"), owned(&kind.apply(None, &config, "two"), "two"));
        // All of it is there: to apply it once more in another's name changes nothing, and meets no conflict.
        let shared = kind.try_apply(Some(&live), &config, "three", false).unwrap();
        prop_assert_eq!(bare(&shared), bare(&live));
        prop_assert_eq!(owned(&shared, "three"), owned(&live, "two"), "ownership is shared");
    }

    #[test]
    fn nothing_another_applier_owns_is_lost(k in bytes(64), a in bytes(120), b in bytes(120), c in bytes(120)) {
        let kind = Kind::of(&k);
        let (a, b, c) = (kind.object(&a), kind.object(&b), kind.object(&c));
        let before = kind.apply(Some(&kind.apply(None, &a, "one")), &b, "two");
        let after = kind.apply(Some(&before), &c, "two");
        let kept = owned(&before, "one").difference(&owned(&after, "two"));
        // What is there no more is nobody's.
        let there = owned(&kind.apply(None, &bare(&after), "any"), "any");
        prop_assert!(kept.difference(&owned(&after, "one")).intersection(&there).is_empty());
        // What the first one still owns is as it was: it can apply it again without force and nothing changes.
        if kept == owned(&kind.apply(None, &a, "one"), "one") {
            let again = kind.try_apply(Some(&after), &a, "one", false);
            if let Ok(again) = again {
                // Lists take the order of whoever applied them last.
                prop_assert_eq!(unordered(&bare(&again)), unordered(&bare(&after)));
            }
        }
    }

    #[test]
    fn an_apply_without_force_takes_nothing(k in bytes(64), a in bytes(120), b in bytes(120)) {
        let kind = Kind::of(&k);
        let live = kind.apply(None, &kind.object(&a), "one");
        match kind.try_apply(Some(&live), &kind.object(&b), "two", false) {
            Ok(after) => prop_assert!(owned(&live, "one").difference(&owned(&after, "one")).is_empty()),
            Err(ApplyError::Conflicts(conflicts)) => {
                let forced = kind.apply(Some(&live), &kind.object(&b), "two");
                let lost = owned(&live, "one").difference(&owned(&forced, "one"));
                let named: Vec<String> = conflicts.into_iter().map(|conflict| conflict.field).collect();
                for path in lost.paths() {
                    prop_assert!(named.contains(&path), "{path} is lost, but not said: {named:?}");
                }
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn to_apply_and_to_apply_nothing_is_to_leave_all_as_it_was(k in bytes(64), a in bytes(120), b in bytes(120)) {
        let kind = Kind::of(&k);
        let (a, b) = (kind.object(&a), kind.object(&b));
        prop_assume!(disjoint(&kind, &a, &b));
        let live = kind.apply(None, &a, "one");
        let nothing = kind.object(&[]);
        let with = kind.apply(Some(&live), &b, "two");
        let without = kind.apply(Some(&with), &nothing, "two");
        prop_assert_eq!(unordered(&bare(&without)), unordered(&bare(&live)));
        prop_assert!(owned(&without, "two").is_empty());
        prop_assert_eq!(owned(&without, "one"), owned(&live, "one"));
    }

    #[test]
    fn disjoint_appliers_may_come_in_any_order(k in bytes(64), a in bytes(120), b in bytes(120)) {
        let kind = Kind::of(&k);
        let (a, b) = (kind.object(&a), kind.object(&b));
        prop_assume!(disjoint(&kind, &a, &b));
        let one = kind.apply(Some(&kind.apply(None, &a, "one")), &b, "two");
        let two = kind.apply(Some(&kind.apply(None, &b, "two")), &a, "one");
        prop_assert_eq!(unordered(&one), unordered(&two));
    }

    #[test]
    fn a_write_owns_what_it_changes_and_others_keep_the_rest(k in bytes(64), a in bytes(120), b in bytes(120)) {
        let kind = Kind::of(&k);
        let live = kind.apply(None, &kind.object(&a), "one");
        let mut new = kind.object(&b);
        update_managed_fields(&kind.schema, Some(&live), &mut new, &kind.who("writer", 9));
        let shared = owned(&new, "one").intersection(&owned(&new, "writer"));
        prop_assert!(shared.is_empty(), "both own {:?}", shared.paths());
        prop_assert!(owned(&new, "one").difference(&owned(&live, "one")).is_empty(), "nobody gains by another's write");
        // The same again is no write.
        let mut same = new.clone();
        update_managed_fields(&kind.schema, Some(&new), &mut same, &kind.who("other", 99));
        prop_assert_eq!(same, new);
    }

    #[test]
    fn sets_are_a_boolean_algebra(k in bytes(64), a in bytes(120), b in bytes(120)) {
        let kind = Kind::of(&k);
        let (a, b) = (owned(&kind.apply(None, &kind.object(&a), "x"), "x"), owned(&kind.apply(None, &kind.object(&b), "x"), "x"));
        prop_assert_eq!(a.clone().union(&b), b.clone().union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(Set::decode(&a.encode()), Some(a.clone()));
        prop_assert_eq!(a.paths().len(), a.difference(&b).paths().len() + a.intersection(&b).paths().len());
    }
}

/// A free-form map of which only itself is one's, since the other took all that was in it: it goes with what was in it, and then nobody owns
/// it. (Found at random.)
#[test]
fn what_is_gone_is_nobodys() {
    let kind = Kind::of(&[32, 0, 0, 157, 0, 6, 0, 9]);
    let (a, b) = (kind.object(&[1, 213, 124, 0, 0, 0, 50]), kind.object(&[26, 39, 33, 0, 108, 96, 15, 19]));
    let before = kind.apply(Some(&kind.apply(None, &a, "one")), &b, "two");
    let after = kind.apply(Some(&before), &kind.object(&[]), "two");
    assert!(!owned(&before, "one").is_empty());
    assert_eq!((&after["spec"], owned(&after, "one").is_empty()), (&Value::Null, true), "{after}");
}
