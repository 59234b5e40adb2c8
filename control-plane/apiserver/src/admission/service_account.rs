//! ServiceAccount: every pod runs as one, with a token mounted unless it says otherwise.

use rand::Rng as _;
use serde_json::{Value, json};

use super::{each_container, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, items, text};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Seven seconds more than an hour: tokens asked for by this plugin can be told apart, as upstream does.
const TOKEN_SECONDS: u64 = 3607;
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";
/// Letters of generated names: none that form words or look alike.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub(super) fn complete(request: &mut AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    let Some(pod) = request.object.as_deref() else { return Ok(()) };
    if pod.pointer(MIRROR).is_some() {
        if !text(pod, "/spec/serviceAccountName").is_empty() {
            return Err(forbid(request, "a mirror pod may not reference service accounts"));
        }
        return Ok(());
    }
    let mut name = text(pod, "/spec/serviceAccountName").to_owned();
    if name.is_empty() {
        name = text(pod, "/spec/serviceAccount").to_owned();
    }
    if name.is_empty() {
        name = "default".to_owned();
    }
    let Some(account) = objects.get("", "serviceaccounts", request.namespace, &name) else {
        let why = format!(
            "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
            request.namespace
        );
        return Err(forbid(request, &why));
    };
    let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
    pod["spec"]["serviceAccountName"] = json!(name);
    pod["spec"]["serviceAccount"] = json!(name);
    if items(pod, "/spec/imagePullSecrets").is_empty() && !items(&account, "/imagePullSecrets").is_empty() {
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    let wants = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_bool);
    let mounts = wants(pod, "/spec/automountServiceAccountToken")
        .or_else(|| wants(&account, "/automountServiceAccountToken"))
        .unwrap_or(true);
    if mounts {
        mount(pod);
    }
    Ok(())
}

fn mount(pod: &mut Value) {
    let existing = items(pod, "/spec/volumes")
        .iter()
        .map(|volume| text(volume, "/name"))
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_owned);
    let made = existing.is_none();
    let name = existing.unwrap_or_else(|| {
        let mut random = rand::rng();
        let suffix = (0..5).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]));
        format!("{VOLUME_PREFIX}{}", suffix.collect::<String>())
    });
    let mut used = false;
    each_container(pod, |container| {
        if items(container, "/volumeMounts").iter().any(|one| text(one, "/mountPath") == MOUNT_PATH) {
            return;
        }
        used = true;
        push(container, "volumeMounts", json!({"name": name, "mountPath": MOUNT_PATH, "readOnly": true}));
    });
    if used && made {
        push(&mut pod["spec"], "volumes", volume(&name));
    }
}

fn push(object: &mut Value, field: &str, value: Value) {
    match object.get_mut(field).and_then(Value::as_array_mut) {
        Some(list) => list.push(value),
        None => object[field] = json!([value]),
    }
}

fn volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                ]}},
            ],
        },
    })
}
