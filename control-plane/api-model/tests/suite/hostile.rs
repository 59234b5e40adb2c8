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
