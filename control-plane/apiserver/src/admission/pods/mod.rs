//! What a new pod is completed with: priority, tolerations, what its runtime class adds, its node's place.

mod priority;
mod runtime_class;
mod topology;

use serde_json::json;

use super::{concerns, push};
use crate::attributes::{AdmissionRequest, Operation, items, text};

pub(super) use priority::Priorities;
pub(super) use runtime_class::{check as check_overhead, complete as runtime_class};
pub(super) use topology::label as topology_labels;

/// How long a pod stays on a node that went away, unless it says otherwise.
const TOLERATION_SECONDS: u64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// DefaultTolerationSeconds.
pub(super) fn tolerate(request: &mut AdmissionRequest<'_>) {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if !writes || !concerns(request, "", "pods", "") {
        return;
    }
    let Some(pod) = request.object.as_deref_mut() else { return };
    for taint in TAINTS {
        let tolerated = items(pod, "/spec/tolerations").iter().any(|one| {
            let key = text(one, "/key");
            (key == taint || key.is_empty()) && matches!(text(one, "/effect"), "" | "NoExecute")
        });
        if !tolerated {
            let toleration = json!({
                "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
            });
            push(&mut pod["spec"], "tolerations", toleration);
        }
    }
}
