//! What Go shows of a field when nothing is said.
//!
//! Built-in kinds are Go structs upstream: a field that is neither a pointer nor left out when empty stands in their JSON always
//! (`resources: {}`, `containers: null`). Nothing of that is stored or served here, but who creates an object owns it. Structs held by
//! value cannot be told from pointers by the published schemas, hence the table (facts of the API's Go types).

use super::types::{Field, NodeKind, Scalar, Types};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// What stands for a field that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    /// Nothing.
    Absent,
    /// `{}`.
    Struct,
    /// `null`.
    Null,
    /// The empty text.
    Text,
    /// `0`.
    Number,
    /// `false`.
    False,
}

static STRUCT: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
static NUMBER: LazyLock<Value> = LazyLock::new(|| Value::from(0));
static TEXT: Value = Value::String(String::new());
static NULL: Value = Value::Null;
static FALSE: Value = Value::Bool(false);

impl Zero {
    /// The value; none when there is none.
    pub fn value(self) -> Option<&'static Value> {
        match self {
            Zero::Absent => None,
            Zero::Struct => Some(&STRUCT),
            Zero::Null => Some(&NULL),
            Zero::Text => Some(&TEXT),
            Zero::Number => Some(&NUMBER),
            Zero::False => Some(&FALSE),
        }
    }
}

/// Optional fields held by value: structs, besides `metadata` of all and `spec` and `status` of kinds.
const STRUCTS: &[(&str, &str)] = &[
    ("apps.v1.DaemonSetSpec", "updateStrategy"),
    ("apps.v1.DeploymentSpec", "strategy"),
    ("apps.v1.ReplicaSetSpec", "template"),
    ("apps.v1.StatefulSetSpec", "updateStrategy"),
    ("batch.v1.JobTemplateSpec", "spec"),
    ("core.v1.Container", "resources"),
    ("core.v1.ContainerStatus", "lastState"),
    ("core.v1.ContainerStatus", "state"),
    ("core.v1.EphemeralContainer", "resources"),
    ("core.v1.Event", "source"),
    ("core.v1.NodeDaemonEndpoints", "kubeletEndpoint"),
    ("core.v1.NodeStatus", "daemonEndpoints"),
    ("core.v1.NodeStatus", "nodeInfo"),
    ("core.v1.PersistentVolumeClaimSpec", "resources"),
    ("core.v1.PodTemplate", "template"),
    ("core.v1.PodTemplateSpec", "spec"),
    ("core.v1.ServiceStatus", "loadBalancer"),
    ("discovery.v1.Endpoint", "conditions"),
    ("networking.v1.IngressStatus", "loadBalancer"),
    ("networking.v1.NetworkPolicySpec", "podSelector"),
];

/// Optional times held by value: `null` when they are not set.
const TIMES: &[(&str, &str)] = &[
    ("apps.v1.DaemonSetCondition", "lastTransitionTime"),
    ("apps.v1.DeploymentCondition", "lastTransitionTime"),
    ("apps.v1.DeploymentCondition", "lastUpdateTime"),
    ("apps.v1.ReplicaSetCondition", "lastTransitionTime"),
    ("apps.v1.StatefulSetCondition", "lastTransitionTime"),
    ("autoscaling.v2.HorizontalPodAutoscalerCondition", "lastTransitionTime"),
    ("batch.v1.JobCondition", "lastProbeTime"),
    ("batch.v1.JobCondition", "lastTransitionTime"),
    ("certificates.v1.CertificateSigningRequestCondition", "lastTransitionTime"),
    ("certificates.v1.CertificateSigningRequestCondition", "lastUpdateTime"),
    ("core.v1.Event", "eventTime"),
    ("core.v1.Event", "firstTimestamp"),
    ("core.v1.Event", "lastTimestamp"),
    ("core.v1.NamespaceCondition", "lastTransitionTime"),
    ("core.v1.NodeCondition", "lastHeartbeatTime"),
    ("core.v1.NodeCondition", "lastTransitionTime"),
    ("core.v1.PersistentVolumeClaimCondition", "lastProbeTime"),
    ("core.v1.PersistentVolumeClaimCondition", "lastTransitionTime"),
    ("core.v1.PodCondition", "lastProbeTime"),
    ("core.v1.PodCondition", "lastTransitionTime"),
    ("core.v1.ReplicationControllerCondition", "lastTransitionTime"),
];

/// Marks the fields of a built-in struct.
pub(crate) fn mark(types: &Types, name: &str, fields: &mut [Field]) {
    let kind = ["apiVersion", "kind", "metadata"]
        .iter()
        .all(|standard| fields.iter().any(|field| &*field.name == *standard));
    let listed = |table: &[(&str, &str)], field: &str| {
        table.iter().any(|(of, known)| *known == field && name.strip_prefix("api.") == Some(*of))
    };
    for field in fields {
        let by_value = match &*field.name {
            "metadata" => true,
            "spec" | "status" => kind,
            other => listed(STRUCTS, other),
        };
        let is_struct = matches!(types.node(field.node).kind, NodeKind::Struct { .. });
        field.zero = match &types.node(field.node).kind {
            _ if is_struct && (by_value || listed(STRUCTS, &field.name)) => Zero::Struct,
            _ if listed(TIMES, &field.name) => Zero::Null,
            _ if !field.required => Zero::Absent,
            NodeKind::Struct { .. } => Zero::Struct,
            NodeKind::Map(_) | NodeKind::List { .. } | NodeKind::Any => Zero::Null,
            NodeKind::Scalar(scalar) => match scalar {
                Scalar::String | Scalar::Quantity => Zero::Text,
                Scalar::Bool => Zero::False,
                Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString => Zero::Number,
                Scalar::Byte | Scalar::Time | Scalar::MicroTime => Zero::Null,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_a_field() {
        let model = crate::Model::load("1.35").unwrap();
        for (name, field) in STRUCTS.iter().chain(TIMES) {
            let id = model.types().named(&format!("api.{name}")).unwrap_or_else(|| panic!("{name}"));
            let found = model.types().field(id, field).unwrap_or_else(|| panic!("{name}.{field}"));
            assert_ne!(found.zero, Zero::Absent, "{name}.{field}");
        }
    }
}
