//! Taints keep pods away that do not tolerate them.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::{Plugin, Refusal};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    if toleration.effect.as_ref().is_some_and(|e| !e.is_empty() && *e != taint.effect) {
        return false;
    }
    let key = toleration.key.as_deref().unwrap_or_default();
    if !key.is_empty() && key != taint.key {
        return false;
    }
    let value = taint.value.as_deref().unwrap_or_default();
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().ok();
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Lt" => number(value).zip(number(wanted)).is_some_and(|(v, w)| v < w),
        "Gt" => number(value).zip(number(wanted)).is_some_and(|(v, w)| v > w),
        _ => !key.is_empty() && value == wanted,
    }
}

fn is_tolerated(pod: &PodInfo, taint: &Taint) -> bool {
    pod.tolerations.iter().any(|t| tolerates(t, taint))
}

/// The first taint that keeps the pod away.
pub(crate) fn untolerated<'a>(pod: &PodInfo, node: &'a NodeInfo) -> Option<&'a Taint> {
    node.taints.iter().find(|t| t.effect != "PreferNoSchedule" && !is_tolerated(pod, t))
}

pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Refusal> {
    if node.unschedulable {
        let taint = Taint { key: UNSCHEDULABLE.into(), effect: "NoSchedule".into(), ..Default::default() };
        if !is_tolerated(pod, &taint) {
            return Err(Refusal::hard(Plugin::NodeUnschedulable, "node(s) were unschedulable"));
        }
    }
    match untolerated(pod, node) {
        None => Ok(()),
        Some(taint) => {
            let value = taint.value.as_deref().unwrap_or_default();
            let text = format!("node(s) had untolerated taint {{{}: {value}}}", taint.key);
            Err(Refusal::hard(Plugin::TaintToleration, text))
        }
    }
}

/// How many `PreferNoSchedule` taints the pod does not tolerate; fewer is better.
pub(crate) fn dislike(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let count =
        node.taints.iter().filter(|t| t.effect == "PreferNoSchedule" && !is_tolerated(pod, t)).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}
