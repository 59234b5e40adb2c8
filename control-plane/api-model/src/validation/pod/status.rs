//! What may be written to a pod's status.

use super::annotations;
use crate::validation::ip::{is_dual_stack, parse_ip};
use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use serde_json::Value;
use std::collections::BTreeSet;

/// A changed status.
pub(in crate::validation) fn status(new: &Place, old: &Place, report: &mut Report) {
    let (metadata, had) = (new.field("metadata"), old.field("metadata"));
    annotations::fixed(&metadata.field("annotations"), &had.field("annotations"), report);
    let (at, before, spec) = (new.field("status"), old.field("status"), new.field("spec"));
    conditions(&at, &metadata, report);
    let nominated = at.field("nominatedNodeName");
    if !nominated.is_empty() && nominated.as_text() != before.text("nominatedNodeName") {
        report.problems(&nominated, names::dns1123_subdomain(nominated.as_text()));
    }
    if before.has("qosClass") {
        report.immutable(&at.field("qosClass"), &before.field("qosClass"));
    }
    for (field, policy) in [
        ("containerStatuses", spec.text("restartPolicy")),
        ("initContainerStatuses", spec.text("restartPolicy")),
        ("ephemeralContainerStatuses", "Never"),
    ] {
        restarts(&at.field(field), &before.field(field), policy, &spec.field("initContainers"), report);
    }
    claims(&at.field("resourceClaimStatuses"), &spec.field("resourceClaims"), report);
    addresses(&at.field("podIPs"), report);
    host_addresses(&at, report);
    for (field, list) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        allocated(&at.field(field), &spec.field(list), report);
    }
    for container in at.field("ephemeralContainerStatuses").items() {
        let allocated = container.field("allocatedResourcesStatus");
        if !allocated.is_empty() {
            report.forbidden(&allocated, "must not be specified in container status");
        }
    }
}

/// Conditions of others have names with a domain. Upstream's path says `metadata`.
fn conditions<'o>(status: &Place<'o, '_>, metadata: &Place<'o, '_>, report: &mut Report) {
    let at = metadata.named_field(status, "conditions");
    for condition in at.items() {
        let kind = condition.text("type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            report.problems(&condition.field_as("type", "Type"), names::qualified_name(kind));
        }
    }
}

/// A container that has ended for good does not run again.
fn restarts(at: &Place, old: &Place, policy: &str, initial: &Place, report: &mut Report) {
    if policy == "Always" {
        return;
    }
    for (index, had) in old.items().enumerate() {
        let state = had.field("state");
        let ended = state.field("terminated");
        if !ended.is_set() || (policy == "OnFailure" && ended.number("exitCode") != 0) {
            continue;
        }
        let name = had.text("name");
        let sidecar =
            initial.items().any(|one| one.text("name") == name && one.text("restartPolicy") == "Always");
        if sidecar {
            continue;
        }
        let now = at.items().find(|one| one.text("name") == name);
        if now.is_some_and(|now| !now.field("state").has("terminated")) {
            report.forbidden(
                &at.index(index).field("state"),
                "may not be transitioned to non-terminated state",
            );
        }
    }
}

fn claims(at: &Place, of_spec: &Place, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for status in at.items() {
        let name = status.field("name");
        if !of_spec.items().any(|claim| claim.text("name") == name.as_text()) {
            report.invalid_text(&name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.as_text()) {
            report.duplicate(&name);
        }
        let claim = status.text("resourceClaimName");
        if status.has("resourceClaimName") {
            report.problems_of(&name, claim, names::dns1123_subdomain(claim));
        }
    }
}

fn addresses(at: &Place, report: &mut Report) {
    for address in at.items() {
        let text = address.with(address.field("ip").value());
        report.ip(&text);
    }
    families(at, report);
}

/// Not more than one address of each family, none twice.
fn families(at: &Place, report: &mut Report) {
    if at.len() < 2 {
        return;
    }
    let ips = at.list().iter().filter_map(|one| parse_ip(one.get("ip").and_then(Value::as_str)?));
    if !is_dual_stack(ips) || at.len() > 2 {
        report.invalid(at, "may specify no more than one IP for each IP family");
    }
    let mut seen = BTreeSet::new();
    for address in at.items() {
        if !seen.insert(address.text("ip")) {
            report.duplicate(&address);
        }
    }
}

fn host_addresses(status: &Place, report: &mut Report) {
    let at = status.field("hostIPs");
    if at.is_empty() {
        return;
    }
    let first = at.index(0);
    if status.text("hostIP") != first.text("ip") {
        report.invalid_text(&first.field("ip"), "must be equal to `hostIP`");
    }
    addresses(&at, report);
}

fn allocated(at: &Place, containers: &Place, report: &mut Report) {
    for status in at.items() {
        let container =
            containers.list().iter().find(|one| one.get("name") == status.field("name").value().into());
        for resource in status.field("allocatedResourcesStatus").items() {
            let name = resource.field("name");
            if let Some(container) = container {
                is_asked_for(&name, container, report);
            }
            let mut seen = BTreeSet::new();
            for one in resource.field("resources").items() {
                let health = one.field("health");
                let known = ["Healthy", "Unhealthy", "Unknown"];
                if !known.contains(&health.as_text()) {
                    report.unsupported(&health, &known);
                }
                if !seen.insert(one.text("resourceID")) {
                    report.duplicate(&one.field("resourceID"));
                }
            }
        }
    }
}

fn is_asked_for(name: &Place, container: &Value, report: &mut Report) {
    let resources = container.get("resources").unwrap_or(&Value::Null);
    let resources = Place::root(resources);
    if let Some(claim) = name.as_text().strip_prefix("claim:") {
        let found = resources.field("claims").items().any(|one| match one.text("request") {
            "" => one.text("name") == claim,
            request => claim.split_once('/') == Some((one.text("name"), request)),
        });
        if !found {
            let detail = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
            report.invalid(name, detail);
        }
    } else if resources.field("requests").value().get(name.as_text()).is_none() {
        report.invalid_text(name, "must match one of the container's resource requests");
    }
}
