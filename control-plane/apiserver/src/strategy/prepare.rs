//! The fields that the server sets before an object is stored.

use base64::Engine;
use serde_json::{Map, Value, json};

use super::{certificates, namespaces, pods};
use crate::attributes::UserInfo;
use crate::registry::kinds::Served;
use crate::registry::object;

/// Prepares a new object: its metadata is complete but for the resource version.
pub fn prepare_create(served: &Served, new: &mut Value, user: &UserInfo) {
    let (group, plural) = (served.resource.group.as_str(), served.resource.plural.as_str());
    if served.rules.generation {
        object::set_meta(new, "generation", json!(1));
    } else {
        object::set_meta(new, "generation", Value::Null);
    }
    // A kubelet registers its node with a status.
    if served.rules.status && (group, plural) != ("", "nodes") {
        object::set(new, "status", if served.custom.is_some() { Value::Null } else { first_status(plural) });
    }
    match (group, plural) {
        ("", "pods") => pods::prepare_create(new),
        ("", "namespaces") => namespaces::prepare(new, true),
        ("", "persistentvolumes") => {
            let since = object::at(new, &["metadata", "creationTimestamp"]).clone();
            object::set(new, "status", json!({"phase": "Pending", "lastPhaseTransitionTime": since}));
        }
        ("", "secrets") => take_string_data(new),
        ("", "serviceaccounts") => name_secrets_alone(new),
        ("certificates.k8s.io", "certificatesigningrequests") => certificates::prepare_create(new, user),
        ("batch", "jobs") => select_own_pods(new),
        ("apps", "daemonsets") => set_template_generation(new, 1),
        _ => {}
    }
}

/// The status of a new object: nothing, but for claims. What is always there comes with the form in which objects are stored.
fn first_status(plural: &str) -> Value {
    match plural {
        "persistentvolumeclaims" => json!({"phase": "Pending"}),
        _ => json!({}),
    }
}

/// Prepares a changed object for storage: what this kind of write may not change is as in `old`.
pub fn prepare_update(served: &Served, subresource: &str, new: &mut Value, old: &Value) {
    let (group, plural) = (served.resource.group.as_str(), served.resource.plural.as_str());
    match subresource {
        "status" => keep_all_but_status(served, new, old),
        "finalize" => {
            let finalizers = object::at(new, &["spec", "finalizers"]).clone();
            let mut kept = old.clone();
            object::map_mut(&mut kept, "spec").insert("finalizers".to_owned(), finalizers);
            *new = kept;
        }
        "approval" => certificates::keep_all_but_approval(new, old),
        "ephemeralcontainers" => pods::keep_all_but_ephemeral_containers(new, old),
        "resize" => pods::keep_all_but_resources(new, old),
        _ => {
            if served.rules.status {
                object::set(new, "status", object::at(old, &["status"]).clone());
            }
        }
    }
    match (group, plural) {
        ("", "namespaces") => {
            if subresource.is_empty() {
                // Only `/finalize` lets a namespace go.
                object::set(new, "spec", object::at(old, &["spec"]).clone());
            }
            namespaces::prepare(new, false);
        }
        ("", "secrets") => take_string_data(new),
        ("", "serviceaccounts") => name_secrets_alone(new),
        ("apps", "daemonsets") => count_template_generation(new, old),
        ("certificates.k8s.io", "certificatesigningrequests") => {
            certificates::prepare_update(subresource, new, old);
        }
        _ => {}
    }
    keep_system_metadata(new, old);
    count_generation(served, new, old);
}

fn keep_system_metadata(new: &mut Value, old: &Value) {
    for key in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "generation",
    ] {
        object::set_meta(new, key, object::at(old, &["metadata", key]).clone());
    }
}

fn count_generation(served: &Served, new: &mut Value, old: &Value) {
    // A driver has no generation until it changes.
    if !served.rules.generation && served.storage != "storage.k8s.io/csidrivers" {
        return;
    }
    let old_generation = object::number(old, &["metadata", "generation"]).unwrap_or(0);
    let ignored: &[&str] = if served.rules.status || served.custom.is_none() {
        &["metadata", "status", "apiVersion", "kind"]
    } else {
        &["metadata", "apiVersion", "kind"]
    };
    let differs = |a: &Map<String, Value>, b: &Map<String, Value>| {
        a.iter().any(|(key, value)| !ignored.contains(&key.as_str()) && b.get(key) != Some(value))
    };
    let changed = match (new.as_object(), old.as_object()) {
        (Some(new), Some(old)) => differs(new, old) || differs(old, new),
        _ => true,
    };
    if changed {
        object::set_meta(new, "generation", json!(old_generation + 1));
    }
}

/// Groups whose status writers may also write labels, annotations, finalizers and owners.
const STATUS_WITH_METADATA: &[&str] = &["", "apps", "batch", "autoscaling", "policy", "networking.k8s.io"];

fn keep_all_but_status(served: &Served, new: &mut Value, old: &Value) {
    let mut kept = old.clone();
    object::set(&mut kept, "status", object::at(new, &["status"]).clone());
    let with_metadata = STATUS_WITH_METADATA.contains(&served.resource.group.as_str());
    let written: &[&str] = match served.resource.plural.as_str() {
        _ if !with_metadata => &["managedFields"],
        // Old kubelets damaged the owners.
        "pods" => &["labels", "annotations", "finalizers", "managedFields"],
        "deployments" => &["annotations", "finalizers", "ownerReferences", "managedFields"],
        _ => &["labels", "annotations", "finalizers", "ownerReferences", "managedFields"],
    };
    for key in written {
        object::set_meta(&mut kept, key, object::at(new, &["metadata", key]).clone());
    }
    *new = kept;
}

/// `stringData` is for writers: it becomes `data`.
fn take_string_data(secret: &mut Value) {
    let Some(Value::Object(plain)) = secret.as_object_mut().and_then(|map| map.remove("stringData")) else {
        return;
    };
    let data = object::map_mut(secret, "data");
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        data.insert(key, json!(base64::engine::general_purpose::STANDARD.encode(text)));
    }
}

/// Of the secrets of an account the names count, and nothing else.
fn name_secrets_alone(account: &mut Value) {
    let Some(Value::Array(secrets)) = account.get_mut("secrets") else { return };
    for secret in secrets {
        *secret = json!({"name": object::text(secret, &["name"])});
    }
}

/// The annotation that was once a field: how often the template of a daemon set changed.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn set_template_generation(daemons: &mut Value, generation: i64) {
    let annotations = object::meta_mut(daemons).entry("annotations").or_insert_with(|| json!({}));
    if let Value::Object(annotations) = annotations {
        annotations.insert(TEMPLATE_GENERATION.to_owned(), json!(generation.to_string()));
    }
}

fn count_template_generation(new: &mut Value, old: &Value) {
    let had =
        object::text(old, &["metadata", "annotations", TEMPLATE_GENERATION]).parse::<i64>().unwrap_or(0);
    let template = ["spec", "template"];
    let changed = object::at(new, &template) != object::at(old, &template);
    set_template_generation(new, had + i64::from(changed));
}

/// A job selects its pods by its own uid, unless its author does it by hand.
fn select_own_pods(job: &mut Value) {
    if object::at(job, &["spec", "manualSelector"]).as_bool() == Some(true) {
        return;
    }
    let (uid, name) = (object::uid(job).to_owned(), object::name(job).to_owned());
    let spec = object::map_mut(job, "spec");
    let selector = spec.entry("selector").or_insert_with(|| json!({}));
    object::map_mut(selector, "matchLabels")
        .insert("batch.kubernetes.io/controller-uid".to_owned(), json!(uid));
    let template = spec.entry("template").or_insert_with(|| json!({}));
    let labels = object::meta_mut(template).entry("labels").or_insert_with(|| json!({}));
    let Some(labels) = labels.as_object_mut() else { return };
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
    ] {
        labels.insert(key.to_owned(), json!(value));
    }
}
