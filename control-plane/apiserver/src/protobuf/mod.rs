//! Reads objects in Kubernetes' binary form, which kubectl and Go clients send for built-in kinds.
//!
//! The form is an envelope (`k8s\0`, then `runtime.Unknown`) around a message. Field numbers are data
//! (`1.35.numbers`). Go writes fields that are no pointers even when they are empty, so an empty value does not
//! tell whether it was given: it is kept where the kind makes a difference ([`POINTERS`]) and dropped elsewhere,
//! as Go's JSON would.
//!
//! Does not write this form: answers are JSON, which all clients that send it accept.

mod decode;
mod scalars;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::ApiError;
use crate::registry::object;

/// The content type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";
const META: &str = "apimachinery.pkg.apis.meta.v1";

/// How a field stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Whole,
    Double,
    Bytes,
    Message(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    One,
    Many,
    Map,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    kind: Kind,
    count: Count,
}

type Numbers = HashMap<String, HashMap<u64, Field>>;

static NUMBERS: LazyLock<Numbers> = LazyLock::new(|| read_numbers(include_str!("1.35.numbers")));

fn read_numbers(text: &'static str) -> Numbers {
    let mut all = Numbers::new();
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(field) = line.strip_prefix('\t') else {
            current = line.to_lowercase();
            all.entry(current.clone()).or_default();
            continue;
        };
        let mut words = field.split(' ');
        let number = words.next().and_then(|word| word.parse().ok());
        let (Some(number), Some(name), Some(code)) = (number, words.next(), words.next()) else { continue };
        let (count, code) = match code.as_bytes().first() {
            Some(b'*') => (Count::Many, &code[1..]),
            Some(b'{') => (Count::Map, &code[1..]),
            _ => (Count::One, code),
        };
        let kind = match code {
            "s" => Kind::Text,
            "b" => Kind::Bool,
            "i" => Kind::Whole,
            "d" => Kind::Double,
            "y" => Kind::Bytes,
            _ => Kind::Message(words.next().unwrap_or_default()),
        };
        all.entry(current.clone()).or_default().insert(number, Field { name, kind, count });
    }
    all
}

/// The name of a kind's message; in lower case, as all names here.
fn message_of(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let package = match group {
        "" => "api.core".to_owned(),
        "apiextensions.k8s.io" => "apiextensions_apiserver.pkg.apis.apiextensions".to_owned(),
        "apiregistration.k8s.io" => "kube_aggregator.pkg.apis.apiregistration".to_owned(),
        group => format!("api.{}", group.split('.').next().unwrap_or_default()),
    };
    if matches!(kind, "DeleteOptions") {
        return format!("{META}.{kind}").to_lowercase();
    }
    format!("{package}.{version}.{kind}").to_lowercase()
}

/// The object of a body.
///
/// # Errors
/// When it is not in this form, or its kind is not known here.
pub fn decode(bytes: &[u8]) -> Result<Value, ApiError> {
    let wrong = |why: &str| ApiError::bad_request(format!("the body of the request is not readable protobuf: {why}"));
    let inner = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("the prefix is missing"))?;
    let envelope = decode::envelope(inner).ok_or_else(|| wrong("the envelope is broken"))?;
    let name = message_of(&envelope.api_version, &envelope.kind);
    if !NUMBERS.contains_key(&name) {
        let (kind, version) = (&envelope.kind, &envelope.api_version);
        return Err(ApiError::unsupported_media_type(
            &format!("{MEDIA_TYPE} of {kind} in {version}"),
            crate::handlers::body::ACCEPTED,
        ));
    }
    let mut value = decode::message(&name, envelope.raw, 0).ok_or_else(|| wrong("a field is broken"))?;
    if !value.is_object() {
        value = serde_json::json!({});
    }
    object::set(&mut value, "kind", envelope.kind.into());
    object::set(&mut value, "apiVersion", envelope.api_version.into());
    Ok(value)
}

/// Fields that are pointers in Go and for which empty is not the same as absent.
const POINTERS: &[&str] = &[
    "activeDeadlineSeconds", "allocateLoadBalancerNodePorts", "allowPrivilegeEscalation", "allowVolumeExpansion",
    "attachRequired", "automountServiceAccountToken", "averageUtilization", "backoffLimit", "backoffLimitPerIndex",
    "blockOwnerDeletion", "completions", "controller", "defaultMode", "enableServiceLinks", "expirationSeconds",
    "failedJobsHistoryLimit", "fsGroup", "gracePeriodSeconds", "hostUsers", "immutable", "manualSelector",
    "maxFailedIndexes", "minReplicas", "mode", "optional", "orphanDependents", "parallelism", "partition",
    "podInfoOnMount", "priority", "privileged", "progressDeadlineSeconds", "readOnlyRootFilesystem", "ready",
    "renewTime", "replicas", "requiresRepublish", "revisionHistoryLimit", "runAsGroup", "runAsNonRoot", "runAsUser",
    "serving", "setHostnameAsFQDN", "shareProcessNamespace", "startingDeadlineSeconds", "storageCapacity",
    "storageClassName", "successfulJobsHistoryLimit", "suspend", "terminating", "terminationGracePeriodSeconds",
    "tolerationSeconds", "ttlSecondsAfterFinished", "value", "weight",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, bytes.len() as u8];
        out.extend_from_slice(bytes);
        out
    }

    fn enveloped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let types = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &types), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let metadata = [field(1, b"web"), field(2, b""), field(3, b"default")].concat();
        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let bytes = enveloped("v1", "ConfigMap", &[field(1, &metadata), field(2, &entry)].concat());
        let expected = json!({"kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": "web", "namespace": "default"}, "data": {"k": "v"}});
        assert_eq!(decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(decode(b"{}").unwrap_err().code, 400);
        assert_eq!(decode(&enveloped("v1", "Nothing", b"")).unwrap_err().code, 415);
        assert_eq!(decode(&enveloped("v1", "ConfigMap", &[0x0a, 0x50, 1])).unwrap_err().code, 400);
    }

    #[test]
    fn every_message_that_is_named_is_there() {
        for fields in NUMBERS.values() {
            for field in fields.values() {
                if let Kind::Message(name) = field.kind {
                    assert!(NUMBERS.contains_key(&name.to_lowercase()), "{name}");
                }
            }
        }
    }
}
