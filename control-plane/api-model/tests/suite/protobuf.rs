//! The binary form: what is written reads back, for every kind and every field there is.

use super::model;
use api_model::protobuf::{ProtobufError, decode, encode, has, watch_event};
use api_model::schema::{NodeId, NodeKind, Scalar, Types};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A value of a type with every field set; what refers to itself stands in itself once.
fn sample(types: &Types, id: NodeId, inside: &mut Vec<NodeId>) -> Option<Value> {
    let node = types.node(id);
    match node.name.as_deref().and_then(|name| name.rsplit('.').next()) {
        Some("JSONSchemaPropsOrBool") => return Some(json!(false)),
        Some("JSONSchemaPropsOrArray") => return Some(json!([{"type": "string"}, {"maximum": 0.0}])),
        Some("JSONSchemaPropsOrStringArray") => return Some(json!(["a", "b"])),
        _ => {}
    }
    Some(match &node.kind {
        NodeKind::Any => json!({"a": [1, "b", null]}),
        NodeKind::Scalar(scalar) => match scalar {
            Scalar::String => json!("text"),
            Scalar::Bool => json!(true),
            Scalar::Int32 => json!(-7),
            Scalar::Int64 => json!(7_000_000_000_i64),
            Scalar::Double => json!(1.5),
            Scalar::Byte => json!("aGk="),
            Scalar::Time => json!("2026-01-02T03:04:05Z"),
            Scalar::MicroTime => json!("2026-01-02T03:04:05.123456Z"),
            Scalar::Quantity => json!("1500m"),
            Scalar::IntOrString => json!("25%"),
        },
        NodeKind::Struct { fields, .. } => {
            if inside.contains(&id) {
                return None;
            }
            inside.push(id);
            // An object within an object has no type of its own in this form.
            let object = ["apiVersion", "kind", "metadata"]
                .iter()
                .all(|name| fields.iter().any(|f| &*f.name == *name));
            let wanted = fields.iter().filter(|f| !object || !matches!(&*f.name, "apiVersion" | "kind"));
            let made: Map<String, Value> =
                wanted.filter_map(|f| Some((f.name.to_string(), sample(types, f.node, inside)?))).collect();
            inside.pop();
            if fields.is_empty() && made.is_empty() { json!({}) } else { Value::Object(made) }
        }
        NodeKind::Map(value) => {
            json!({"one": sample(types, *value, inside)?, "two": sample(types, *value, inside)?})
        }
        NodeKind::List { item, .. } => json!([sample(types, *item, inside)?, sample(types, *item, inside)?]),
    })
}

#[test]
fn every_field_of_every_kind_comes_back() {
    let mut failures = Vec::new();
    for resource in model().resources() {
        let api_version = format!("{}/{}", resource.group, resource.version);
        let api_version = api_version.trim_start_matches('/');
        let mut object = sample(resource.schema.types(), resource.schema.id(), &mut Vec::new()).unwrap();
        object["kind"] = json!(resource.kind);
        object["apiVersion"] = json!(api_version);
        let back = encode(model(), &object).and_then(|bytes| decode(model(), &bytes));
        if back.as_ref() != Ok(&object) {
            failures.push(format!("{api_version} {}: {}", resource.kind, difference(&object, &back, "")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Where two values differ first.
fn difference(was: &Value, back: &Result<Value, ProtobufError>, path: &str) -> String {
    match back {
        Err(error) => error.to_string(),
        Ok(back) => {
            let names: Vec<&String> =
                was.as_object().into_iter().chain(back.as_object()).flat_map(Map::keys).collect();
            for name in names {
                let (old, new) = (&was[name], &back[name]);
                if old != new {
                    return difference(old, &Ok(new.clone()), &format!("{path}.{name}"));
                }
            }
            format!("{path}: {was} became {back}")
        }
    }
}

#[test]
fn zeros_stay_where_they_are_values() {
    let deployment = json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web"}, "spec": {
        "replicas": 0, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"spec": {"automountServiceAccountToken": false, "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"name": "c", "securityContext": {"runAsUser": 0, "privileged": false}}]}}}});
    assert_eq!(decode(model(), &encode(model(), &deployment).unwrap()), Ok(deployment));
}

#[test]
fn zeros_go_where_go_clients_send_them_unasked() {
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "generateName": "", "generation": 0},
        "spec": {"hostNetwork": false, "nodeName": "", "containers": [{"name": "c", "stdin": false}]}});
    let expected = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c"}]}});
    assert_eq!(decode(model(), &encode(model(), &pod).unwrap()), Ok(expected));
}

#[test]
fn lists_and_events_are_written() {
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"},
        "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]});
    assert_eq!(decode(model(), &encode(model(), &list).unwrap()), Ok(list));
    let partial =
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}});
    assert_eq!(decode(model(), &encode(model(), &partial).unwrap()), Ok(partial));

    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}});
    let event = watch_event(model(), "ADDED", &pod).unwrap();
    let (length, message) = event.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, message.len());
    // Field 1 is the type, field 2 an extension whose field 1 is the object as it stands alone.
    assert_eq!(&message[..7], b"\x0a\x05ADDED");
    let object = encode(model(), &pod).unwrap();
    assert!(message.ends_with(&object));
    assert_eq!(message.len(), 7 + 2 + 2 + object.len());
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(!has(model(), "example.com/v1", "Pod"));
    assert!(has(model(), "apps/v1", "Deployment"));
    let unknown = json!({"kind": "Widget", "apiVersion": "example.com/v1"});
    assert!(matches!(encode(model(), &unknown), Err(ProtobufError::Unknown { .. })));
    let wrong = json!({"kind": "Pod", "apiVersion": "v1", "spec": {"hostNetwork": "yes"}});
    assert!(matches!(encode(model(), &wrong), Err(ProtobufError::Value(_))));
    assert!(matches!(decode(model(), b"{}"), Err(ProtobufError::Broken(_))));
    let bytes =
        encode(model(), &json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}})).unwrap();
    for end in 0..bytes.len() {
        let _ = decode(model(), &bytes[..end]);
    }
}

/// Objects of all kinds that have a binary form here, with the bytes that the crate `k8s-pb` (the messages of 1.35, by prost) wrote for them.
#[test]
fn the_bytes_are_those_of_the_published_messages() {
    let text = include_str!("../cases/protobuf.jsonl");
    let mut kinds = std::collections::BTreeSet::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let hex = case["bytes"].as_str().unwrap();
        let raw: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let object = &case["object"];
        let written = encode(model(), object).unwrap();
        // The envelope's last fields are empty.
        assert!(written.ends_with(&[&raw[..], &[0x1a, 0, 0x22, 0]].concat()), "{object}");
        let mut read = decode(model(), &written).unwrap();
        let again = encode(model(), &read).unwrap();
        read["kind"] = object["kind"].clone();
        assert_eq!(decode(model(), &again), Ok(read));
        kinds.insert((object["apiVersion"].to_string(), object["kind"].to_string()));
    }
    assert_eq!(kinds.len(), 66);
}

/// Whether what was read is what was written, but for zeros that Go's JSON would not show and for types of objects in objects, which the
/// form does not have.
fn lacks_only_zeros(written: &Value, read: &Value) -> bool {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            read.keys().all(|key| written.contains_key(key))
                && written.iter().all(|(key, value)| match read.get(key) {
                    Some(read) => lacks_only_zeros(value, read),
                    None => {
                        matches!(key.as_str(), "apiVersion" | "kind")
                            || [json!(false), json!(0), json!("")].contains(value)
                    }
                })
        }
        (Value::Array(written), Value::Array(read)) => {
            written.len() == read.len()
                && written.iter().zip(read).all(|(written, read)| lacks_only_zeros(written, read))
        }
        (written, read) => written == read,
    }
}

proptest! {
    /// Random objects of every kind are read as they were written.
    #[test]
    fn random_objects_come_back(which in any::<prop::sample::Index>(), bytes in super::made::bytes(200)) {
        let resource = which.get(model().resources());
        let mut choices = super::made::Choices(&bytes);
        let object = super::made::object(&resource.schema, &resource.api_version(), &resource.kind, &mut choices);
        // A definition's schemas hold values of several forms, which have their own tests.
        prop_assume!(resource.kind != "CustomResourceDefinition");
        let written = encode(model(), &object).unwrap();
        let read = decode(model(), &written).unwrap();
        prop_assert!(lacks_only_zeros(&object, &read), "{} became {}", object, read);
        prop_assert_eq!(decode(model(), &encode(model(), &read).unwrap()), Ok(read));
    }

    /// Any kind, any byte of it changed, any end: it is read or refused, and what is read can be written.
    #[test]
    fn damaged_objects_do_no_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let resource = which.get(model().resources());
        let mut object = sample(resource.schema.types(), resource.schema.id(), &mut Vec::new()).unwrap();
        object["kind"] = json!(resource.kind);
        object["apiVersion"] = json!(format!("{}/{}", resource.group, resource.version).trim_start_matches('/'));
        let mut bytes = encode(model(), &object).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(end.index(bytes.len() * 4).max(4));
        if let Ok(read) = decode(model(), &bytes) {
            let _ = encode(model(), &read);
        }
    }
}

/// Field numbers of what 1.36 has beside 1.35 are not known here: nothing is lost by guessing or leaving out.
#[test]
fn what_has_no_known_number_has_no_binary_form() {
    let [older, base, newer] = super::models() else { panic!("three minor versions") };
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
    let plain = encode(newer, &pod).unwrap();
    assert_eq!(decode(newer, &plain).unwrap(), pod);
    pod["spec"]["schedulingGroup"] = json!({"podGroupName": "g"});
    let refused = encode(newer, &pod).unwrap_err();
    assert_eq!(refused, ProtobufError::Unnumbered("api.core.v1.PodSpec.schedulingGroup".to_owned()));
    // A number that only 1.35 has: it may be one of those that are not known.
    pod["spec"] = json!({"containers": [{"name": "c"}], "workloadRef": {"name": "w", "podGroup": "g"}});
    let sent = encode(base, &pod).unwrap();
    assert_eq!(decode(base, &sent).unwrap(), pod);
    assert!(matches!(decode(newer, &sent), Err(ProtobufError::Broken(_))));
    // 1.34 knows all numbers of what it has: what comes from later is dropped, as Go does.
    assert_eq!(decode(older, &sent).unwrap()["spec"].get("workloadRef"), None);
    let group = "admissionregistration.k8s.io/v1";
    assert!(has(newer, group, "ValidatingAdmissionPolicy") && !has(newer, group, "MutatingAdmissionPolicy"));
}
