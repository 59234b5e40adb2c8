//! Laws of apply, over random configurations of a deployment.

use super::resource;
use api_model::merge::apply::{Manager, Set, apply, update_managed_fields};
use proptest::prelude::*;
use serde_json::{Value, json};

fn who(name: &str) -> Manager {
    Manager {
        name: name.into(),
        api_version: "apps/v1".into(),
        subresource: None,
        time: jiff::Timestamp::from_second(7).unwrap(),
    }
}

prop_compose! {
    fn container()(name in "[abc]", image in "[xy]", env in prop::collection::btree_map("[EF]", "[12]", 0..3), args in prop::option::of(prop::collection::vec("[pq]", 1..3))) -> Value {
        let mut c = json!({"name": name, "image": image});
        if !env.is_empty() {
            c["env"] = env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        }
        if let Some(args) = args { c["args"] = json!(args); }
        c
    }
}

prop_compose! {
    fn config()(
        replicas in prop::option::of(1..3),
        labels in prop::collection::btree_map("[kl]", "[12]", 0..3),
        finalizers in prop::collection::btree_set("[f-h]", 0..3),
        containers in prop::collection::vec(container(), 0..4),
    ) -> Value {
        let mut o = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
        if let Some(n) = replicas { o["spec"]["replicas"] = json!(n); }
        if !labels.is_empty() { o["metadata"]["labels"] = json!(labels); }
        if !finalizers.is_empty() { o["metadata"]["finalizers"] = json!(finalizers); }
        let mut seen = std::collections::BTreeSet::new();
        let containers: Vec<Value> = containers.into_iter().filter(|c| seen.insert(c["name"].to_string())).collect();
        if !containers.is_empty() { o["spec"]["template"]["spec"]["containers"] = json!(containers); }
        o
    }
}

fn run(live: Option<&Value>, config: &Value, name: &str) -> Value {
    apply(&resource("apps", "deployments").schema, live, config, &who(name), true).unwrap()
}

fn owned(object: &Value, name: &str) -> Set {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let sets = list.iter().filter(|e| e["manager"] == name).filter_map(|e| Set::decode(&e["fieldsV1"]));
    sets.fold(Set::default(), |all, set| all.union(&set))
}

/// Everything in `part` is in `whole`, list items found by name.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(w), Value::Object(p)) => {
            p.iter().all(|(k, v)| w.get(k).is_some_and(|w| contains(w, v)))
        }
        (Value::Array(w), Value::Array(p)) if p.iter().all(|i| i.get("name").is_some()) => {
            p.iter().all(|i| w.iter().any(|w| w["name"] == i["name"] && contains(w, i)))
        }
        (Value::Array(w), Value::Array(p)) => p.iter().all(|i| w.contains(i)),
        (w, p) => w == p,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn applying_twice_is_applying_once(a in config(), b in config()) {
        let live = run(Some(&run(None, &a, "one")), &b, "two");
        prop_assert_eq!(run(Some(&live), &b, "two"), live);
    }

    #[test]
    fn what_is_applied_is_there_and_owned(a in config(), b in config()) {
        let live = run(Some(&run(None, &a, "one")), &b, "two");
        prop_assert!(contains(&live, &b), "{live:#}");
        let alone = run(None, &b, "two");
        prop_assert_eq!(owned(&live, "two"), owned(&alone, "two"));
    }

    #[test]
    fn nothing_another_applier_owns_is_lost(a in config(), b in config(), c in config()) {
        let before = run(Some(&run(None, &a, "one")), &b, "two");
        let kept = owned(&before, "one").difference(&owned(&run(Some(&before), &c, "two"), "two"));
        let after = run(Some(&before), &c, "two");
        prop_assert!(kept.difference(&owned(&after, "one")).is_empty());
        // Where the two never overlap, the first one's configuration is still there in full.
        let overlap = !owned(&run(None, &a, "x"), "x").intersection(&owned(&run(None, &c, "x"), "x")).is_empty()
            || !owned(&run(None, &a, "x"), "x").intersection(&owned(&run(None, &b, "x"), "x")).is_empty();
        if !overlap { prop_assert!(contains(&after, &a), "{after:#}"); }
    }

    #[test]
    fn letting_go_of_everything_leaves_what_others_own(a in config(), b in config()) {
        let empty = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
        let both = run(Some(&run(None, &a, "one")), &b, "two");
        let left = run(Some(&run(Some(&both), &empty, "two")), &empty, "one");
        prop_assert_eq!(left, empty);
    }

    #[test]
    fn an_update_owns_exactly_what_changed(a in config(), b in config()) {
        let schema = &resource("apps", "deployments").schema;
        let mut old = a.clone();
        update_managed_fields(schema, None, &mut old, &who("creator"));
        let mut new = b.clone();
        update_managed_fields(schema, Some(&old), &mut new, &who("updater"));
        let mut again = new.clone();
        update_managed_fields(schema, Some(&new), &mut again, &who("third"));
        prop_assert_eq!(&again, &new);
        prop_assert!(owned(&new, "creator").intersection(&owned(&new, "updater")).is_empty());
        prop_assert!(owned(&new, "creator").difference(&owned(&old, "creator")).is_empty());
    }

    #[test]
    fn field_sets_survive_their_notation(a in config()) {
        let set = owned(&run(None, &a, "x"), "x");
        prop_assert_eq!(Set::decode(&set.encode()), Some(set));
    }
}
