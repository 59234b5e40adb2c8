//! ServiceAccount: every pod runs as one, with a token mounted unless it says otherwise.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use serde_json::{Value, json};

use super::{concerns, creates, each_container, forbid, push};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, Part, items, text};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Seven seconds more than an hour: tokens asked for by this plugin can be told apart, as upstream does.
const TOKEN_SECONDS: u64 = 3607;
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";
const ENFORCE: &str = "/metadata/annotations/kubernetes.io~1enforce-mountable-secrets";
/// Letters of generated names: none that form words or look alike.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const DEFAULT: &str = "default";
/// A new namespace has its default account a moment after it is there itself: how often, and how long apart, it is looked for.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Completes a new pod.
pub(super) async fn complete(
    request: &mut AdmissionRequest<'_>,
    objects: &dyn Objects,
) -> Result<(), ApiError> {
    if !creates(request, "", "pods") {
        return Ok(());
    }
    let Some(pod) = request.object.as_deref().filter(|pod| pod.part(MIRROR).is_none()) else {
        return Ok(());
    };
    let stated = [text(pod, "/spec/serviceAccountName"), text(pod, "/spec/serviceAccount"), DEFAULT];
    let name = stated.into_iter().find(|name| !name.is_empty()).unwrap_or(DEFAULT).to_owned();
    let account = match account(request, objects, &name) {
        Err(missing) if name == DEFAULT => wait(request, objects).await.ok_or(missing)?,
        found => found?,
    };
    let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
    pod["spec"]["serviceAccountName"] = json!(name);
    pod["spec"]["serviceAccount"] = json!(name);
    let wants = |value: &Value, pointer: &str| value.part(pointer).and_then(Value::as_bool);
    let mounts = wants(pod, "/spec/automountServiceAccountToken")
        .or_else(|| wants(&account, "/automountServiceAccountToken"))
        .unwrap_or(true);
    if mounts {
        mount(pod);
    }
    if items(pod, "/spec/imagePullSecrets").is_empty() && !items(&account, "/imagePullSecrets").is_empty() {
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    Ok(())
}

fn account(
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
    name: &str,
) -> Result<Arc<Value>, ApiError> {
    objects.get("", "serviceaccounts", request.namespace, name).ok_or_else(|| {
        let namespace = request.namespace;
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        );
        forbid(request, &why)
    })
}

async fn wait(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Option<Arc<Value>> {
    for _ in 0..LOOKS {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        if let Some(found) = objects.get("", "serviceaccounts", request.namespace, DEFAULT) {
            return Some(found);
        }
    }
    None
}

/// Judges what a pod, or its new ephemeral containers, refer to.
pub(super) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    let ephemeral =
        request.operation == Operation::Update && concerns(request, "", "pods", "ephemeralcontainers");
    let Some(pod) = request.object.as_deref().filter(|_| ephemeral || creates(request, "", "pods")) else {
        return Ok(());
    };
    if pod.part(MIRROR).is_some() {
        return mirror(pod).map_err(|why| forbid(request, why));
    }
    let name = text(pod, "/spec/serviceAccountName");
    if name.is_empty() {
        let why = format!(
            "no service account specified for pod {}/{}",
            request.namespace,
            text(pod, "/metadata/name")
        );
        return Err(forbid(request, &why));
    }
    let account = account(request, objects, name)?;
    let enforced = account.part(ENFORCE).and_then(Value::as_str);
    if !enforced.is_some_and(|text| matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")) {
        return Ok(());
    }
    limit(&account, pod, ephemeral).map_err(|why| forbid(request, &why))
}

/// What stands for a pod of a kubelet's own may not reach into the cluster.
fn mirror(pod: &Value) -> Result<(), &'static str> {
    if !text(pod, "/spec/serviceAccountName").is_empty() {
        return Err("a mirror pod may not reference service accounts");
    }
    if refers_to_secrets(pod) {
        return Err("a mirror pod may not reference secrets");
    }
    let projects = |volume: &Value| {
        items(volume, "/projected/sources").iter().any(|source| source.get("serviceAccountToken").is_some())
    };
    if items(pod, "/spec/volumes").iter().any(projects) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// Whether anything in a pod names a Secret.
pub(super) fn refers_to_secrets(pod: &Value) -> bool {
    names(pod, &["secretName", "secretRef", "secretKeyRef", "nodePublishSecretRef", "secret"])
        || !items(pod, "/spec/imagePullSecrets").is_empty()
}

/// Whether anything in a pod names a ConfigMap.
pub(super) fn refers_to_config_maps(pod: &Value) -> bool {
    names(pod, &["configMapRef", "configMapKeyRef", "configMap"])
}

fn names(pod: &Value, fields: &[&str]) -> bool {
    fn within(value: &Value, fields: &[&str]) -> bool {
        match value {
            Value::Object(map) => map.iter().any(|(key, value)| {
                (fields.contains(&key.as_str()) && !value.is_null()) || within(value, fields)
            }),
            Value::Array(list) => list.iter().any(|value| within(value, fields)),
            _ => false,
        }
    }
    ["volumes", "containers", "initContainers", "ephemeralContainers"]
        .iter()
        .filter_map(|list| pod["spec"].get(list))
        .any(|list| within(list, fields))
}

/// Only what the account lists may be referred to.
fn limit(account: &Value, pod: &Value, only_ephemeral: bool) -> Result<(), String> {
    fn listed<'a>(account: &'a Value, pointer: &str) -> BTreeSet<&'a str> {
        items(account, pointer).iter().map(|one| text(one, "/name")).collect()
    }
    let secrets = listed(account, "/secrets");
    let name = text(account, "/metadata/name");
    let beyond = |secret: &str| {
        format!(
            "referencing secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret"
        )
    };
    let lists: &[(&str, &str)] = if only_ephemeral {
        &[("ephemeral container", "/spec/ephemeralContainers")]
    } else {
        &[("init container", "/spec/initContainers"), ("container", "/spec/containers")]
    };
    if !only_ephemeral {
        for volume in items(pod, "/spec/volumes") {
            let secret = text(volume, "/secret/secretName");
            if !secret.is_empty() && !secrets.contains(secret) {
                return Err(format!(
                    "volume with secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret"
                ));
            }
        }
    }
    for (what, list) in lists {
        for container in items(pod, list) {
            let own = text(container, "/name");
            for variable in items(container, "/env") {
                let secret = text(variable, "/valueFrom/secretKeyRef/name");
                if !secret.is_empty() && !secrets.contains(secret) {
                    return Err(format!(
                        "{what} {own} with envVar {} {}",
                        text(variable, "/name"),
                        beyond(secret)
                    ));
                }
            }
            for source in items(container, "/envFrom") {
                let secret = text(source, "/secretRef/name");
                if !secret.is_empty() && !secrets.contains(secret) {
                    return Err(format!("{what} {own} with envFrom {}", beyond(secret)));
                }
            }
        }
    }
    let pull = listed(account, "/imagePullSecrets");
    let stated = items(pod, "/spec/imagePullSecrets").iter().map(|one| text(one, "/name")).enumerate();
    match stated.filter(|_| !only_ephemeral).find(|(_, secret)| !pull.contains(secret)) {
        Some((index, secret)) => Err(format!(
            "imagePullSecrets[{index}].name=\"{secret}\" is not allowed because service account {name} does not reference that imagePullSecret"
        )),
        None => Ok(()),
    }
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
