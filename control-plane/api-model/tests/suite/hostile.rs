//! Whatever a client sends, nothing panics: objects of the right field names and wrong values everywhere.

use super::model;
use api_model::merge::{apply, json_patch, merge_patch, strategic};
use api_model::{table, validation};
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(1.5)),
        "[-./%:=a-z0-9é]{0,8}".prop_map(Value::from),
        Just(json!("1Gi")),
        Just(json!("delete")),
        Just(json!("")),
    ];
    let key = prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "name",
        "namespace",
        "labels",
        "annotations",
        "managedFields",
        "finalizers",
        "ownerReferences",
        "containers",
        "initContainers",
        "image",
        "ports",
        "env",
        "resources",
        "limits",
        "requests",
        "cpu",
        "template",
        "selector",
        "matchLabels",
        "replicas",
        "strategy",
        "type",
        "rollingUpdate",
        "maxSurge",
        "volumes",
        "data",
        "stringData",
        "rules",
        "roleRef",
        "subjects",
        "schedule",
        "conditions",
        "containerStatuses",
        "state",
        "terminated",
        "schema",
        "versions",
        "webhooks",
        "tolerations",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "op",
        "path",
        "value",
        "fieldsV1",
        "f:spec",
    ]);
    leaf.prop_recursive(6, 48, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_panics(a in any_value(), b in any_value()) {
        let who = apply::Manager { name: "m".into(), api_version: "v1".into(), subresource: None, time: jiff::Timestamp::UNIX_EPOCH };
        let _ = json_patch(&a, &b);
        let _ = merge_patch(&a, &b);
        for r in model().resources().iter().filter(|r| r.columns.len() > 1) {
            let (mut x, mut y) = (a.clone(), b.clone());
            let _ = strategic(&r.schema, &x, &y);
            let _ = apply::apply(&r.schema, Some(&x), &y, &who, true);
            apply::update_managed_fields(&r.schema, Some(&x), &mut y, &who);
            r.schema.prune(&mut x);
            r.schema.default(&mut x);
            let _ = r.schema.validate(&x);
            let _ = validation::validate_create(r, &x);
            let _ = validation::validate_update(r, &y, &x);
            table::table(r, &[x], table::IncludeObject::Object, jiff::Timestamp::UNIX_EPOCH);
        }
    }
}

/// What fuzzing has found, and what is like it.
#[test]
fn findings_stay_found() {
    let folder = format!("{}/tests/cases/findings", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match name.split('-').next() {
            Some("yaml") => {
                let _ = api_model::decode::yaml(&bytes);
                let _ = api_model::decode::repeated_yaml(&bytes);
            }
            Some("json") => drop(api_model::decode::json(&bytes)),
            Some("protobuf") => {
                if let Ok(read) = api_model::protobuf::decode(model(), &bytes)
                    && let Ok(written) = api_model::protobuf::encode(model(), &read)
                {
                    assert_eq!(api_model::protobuf::decode(model(), &written), Ok(read), "{name}");
                }
            }
            _ => panic!("{name}: of what?"),
        }
        count += 1;
    }
    assert!(count > 0);
}

/// Each of these once kept a parser busy for minutes.
#[test]
fn texts_of_brackets_are_refused_at_once() {
    let begun = std::time::Instant::now();
    for text in ["[", "{", "[{", "{a: [", "- ", "? ", "&a [", "!t {"] {
        let body = text.repeat((3 << 20) / text.len());
        assert!(api_model::decode::yaml(body.as_bytes()).is_err(), "{text}");
        let _ = api_model::decode::repeated_yaml(body.as_bytes());
        assert!(api_model::decode::json(body.as_bytes()).is_err(), "{text}");
    }
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn keys_that_are_no_scalars_identify_nothing() {
    let patch = json!({"conditions": [{"type": {"a": null}}]});
    let schema = &super::resource("", "componentstatuses").schema;
    let error = strategic(schema, &json!({}), &patch).unwrap_err().to_string();
    assert_eq!(error, "map: map[type:map[a:<nil>]] does not contain declared merge key: type");
}

#[test]
fn what_is_applied_empty_stays_said() {
    let resource = super::resource("storage.k8s.io", "csinodes");
    let who = |second| apply::Manager {
        name: "m".into(),
        api_version: "storage.k8s.io/v1".into(),
        subresource: None,
        time: jiff::Timestamp::from_second(second).unwrap(),
    };
    let config = |drivers: Value| json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "n"}, "spec": {"drivers": drivers}});
    let full = config(json!([{"name": "a", "nodeID": "x"}]));
    let first = apply::apply(&resource.schema, None, &full, &who(1), false).unwrap();
    let empty = apply::apply(&resource.schema, Some(&first), &config(json!([])), &who(2), false).unwrap();
    assert_eq!(empty["spec"], json!({"drivers": []}));
    assert_eq!(apply::apply(&resource.schema, Some(&empty), &config(json!([])), &who(3), false), Ok(empty));
}
