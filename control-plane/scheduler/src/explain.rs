//! Why no node fits, in upstream's words.

use crate::core::Cluster;
use crate::cycle::Failure;
use crate::preempt::{NoPreemption, Preemption};

/// The message of the event and of the condition.
pub(crate) fn message(
    failure: &Failure,
    cluster: &Cluster,
    preemption: &Result<Preemption, NoPreemption>,
) -> String {
    let nodes = cluster.size();
    if nodes == 0 {
        return "no nodes available to schedule pods".into();
    }
    let mut text = format!("0/{nodes} nodes are available");
    if let Some(general) = &failure.general {
        text += &format!(": {}.", general.text);
    }
    let mut reasons: Vec<String> =
        failure.reasons().into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if !reasons.is_empty() {
        reasons.sort();
        text += &format!(": {}.", reasons.join(", "));
    }
    match preemption {
        Ok(_) => {}
        Err(NoPreemption::Never) => text += " preemption: not eligible due to preemptionPolicy=Never.",
        Err(NoPreemption::Terminating) => {
            text += " preemption: not eligible due to a terminating pod on the nominated node.";
        }
        Err(NoPreemption::None { without_victims, not_helpful }) => {
            let mut parts = Vec::new();
            if *without_victims > 0 {
                parts.push(format!("{without_victims} No preemption victims found for incoming pod"));
            }
            let not_helpful = if failure.general.is_some() { nodes } else { *not_helpful };
            if not_helpful > 0 {
                parts.push(format!("{not_helpful} Preemption is not helpful for scheduling"));
            }
            parts.sort();
            text += &format!(" preemption: 0/{nodes} nodes are available: {}.", parts.join(", "));
        }
    }
    text
}
