//! Rules of a pod's specification.

use super::container::Containers;
use super::{Owner, affinity, container, dns, security, spread, volumes, windows};
use crate::quantity::Quantity;
use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::{Report, internal};
use crate::validation::resources::{self, Asks};
use crate::validation::selectors;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The longest name a kernel takes for a host, in bytes.
const HOSTNAME_MAX: usize = 64;

pub(super) fn pod_spec(at: &Place, owner: Owner<'_>, report: &mut Report) {
    if !at.has("terminationGracePeriodSeconds") {
        report.required(&at.field("terminationGracePeriodSeconds"), "");
    }
    let volumes_at = at.field("volumes");
    let volumes = volumes::volumes(&volumes_at, owner, report);
    let claims_at = at.field("resourceClaims");
    let claims = resource_claims(&claims_at, report);
    container::all(at, &Containers { spec: at, volumes: &volumes, claims: &claims }, report);
    pod_resources(at, report);
    host_network(at, owner, report);
    report.one_of(&at.field("restartPolicy"), &["Always", "OnFailure", "Never"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    report.one_of(&at.field("dnsPolicy"), &policies);
    selectors::labels(&at.field("nodeSelector"), report);
    security::pod(at, report);
    affinity::affinity(&at.field("affinity"), report);
    dns::config(at, report);
    for gate in at.field("readinessGates").items() {
        let kind = gate.field("conditionType");
        report.problems(&kind, names::qualified_name(kind.as_text()));
    }
    scheduling_gates(&at.field("schedulingGates"), report);
    spread::constraints(&at.field("topologySpreadConstraints"), report);
    windows::host_process(at, report);
    host_users(at, report);
    references(at, report);
    if at.has("overhead") {
        overhead(&at.field("overhead"), report);
    }
    operating_system(at, report);
}

fn references(at: &Place, report: &mut Report) {
    for field in ["serviceAccountName", "nodeName"] {
        let name = at.field(field);
        if !name.is_empty() {
            report.problems(&name, names::dns1123_subdomain(name.as_text()));
        }
    }
    report.in_range(&at.field("activeDeadlineSeconds"), 1, i64::from(i32::MAX));
    for field in ["hostname", "subdomain"] {
        let label = at.field(field);
        if !label.is_empty() {
            report.problems(&label, names::dns1123_label(label.as_text()));
        }
    }
    hostname_override(at, report);
    toleration_list(&at.field("tolerations"), report);
    for alias in at.field("hostAliases").items() {
        report.ip(&alias.field("ip"));
        for host in alias.field("hostnames").items() {
            report.problems(&host, names::dns1123_subdomain(host.as_text()));
        }
    }
    let class = at.field("priorityClassName");
    if !class.is_empty() {
        report.problems(&class, names::dns1123_subdomain(class.as_text()));
    }
    let runtime = at.field("runtimeClassName");
    if runtime.is_set() {
        report.problems(&runtime, names::dns1123_subdomain(runtime.as_text()));
    }
    if at.has("preemptionPolicy") {
        preemption_policy(&at.field("preemptionPolicy"), report);
    }
}

fn hostname_override(at: &Place, report: &mut Report) {
    let name = at.field("hostnameOverride");
    if !name.is_set() {
        return;
    }
    report.problems(&name, names::dns1123_subdomain(name.as_text()));
    if name.len() > HOSTNAME_MAX {
        report.too_long(&name, HOSTNAME_MAX);
    }
    if at.flag("setHostnameAsFQDN") {
        report.forbidden(
            &at.field("setHostnameAsFQDN"),
            "cannot be set to true when `hostnameOverride` is set",
        );
    }
    if at.flag("hostNetwork") {
        report.forbidden(&at.field("hostNetwork"), "cannot be set to true when `hostnameOverride` is set");
    }
}

/// Whether and how a pod may push others away.
pub(in crate::validation) fn preemption_policy(at: &Place, report: &mut Report) {
    report.one_of(at, &["PreemptLowerPriority", "Never"]);
}

fn resource_claims<'o>(at: &Place<'o, '_>, report: &mut Report) -> BTreeSet<&'o str> {
    let mut seen = BTreeSet::new();
    for claim in at.items() {
        let name = claim.field("name");
        match name.as_text() {
            "" => report.required(&name, ""),
            text if seen.contains(text) => report.duplicate(&name),
            text => {
                report.problems(&name, names::dns1123_label(text));
                seen.insert(text);
            }
        }
        let (claimed, made) = (claim.field("resourceClaimName"), claim.field("resourceClaimTemplateName"));
        let shown = || {
            internal(&[
                ("Name", name.as_text().into()),
                ("ResourceClaimName", claimed.value().clone()),
                ("ResourceClaimTemplateName", made.value().clone()),
            ])
        };
        match (claimed.is_set(), made.is_set()) {
            (true, true) => {
                let detail =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                report.invalid_shown(&claim, &shown(), detail);
            }
            (false, false) => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                report.invalid_shown(&claim, &shown(), detail);
            }
            _ => {}
        }
        for reference in [claimed, made] {
            if reference.is_set() {
                report.problems(&reference, names::dns1123_subdomain(reference.as_text()));
            }
        }
    }
    seen
}

fn scheduling_gates(at: &Place, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for gate in at.items() {
        let name = gate.text("name");
        report.problems_of(&gate, name, names::qualified_name(name));
        if !seen.insert(name) {
            report.duplicate_as(&gate, name);
        }
    }
}

fn host_network(at: &Place, owner: Owner<'_>, report: &mut Report) {
    if !at.flag("hostNetwork") {
        return;
    }
    for container in at.field("containers").items() {
        for port in container.field("ports").items() {
            let (host, own) = (port.number("hostPort"), port.number("containerPort"));
            if (owner.is_pod || host != 0) && host != own {
                report.invalid_number(
                    &port.field("hostPort"),
                    "must match `containerPort` when `hostNetwork` is true",
                );
            }
        }
    }
}

fn host_users(at: &Place, report: &mut Report) {
    if at.field("hostUsers").value() != &json!(false) {
        return;
    }
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if at.flag(field) {
            report.forbidden(&at.field_as(field, shown), "when `hostUsers` is false");
        }
    }
}

/// Tolerations of pods and of runtime classes.
pub(in crate::validation) fn toleration_list(at: &Place, report: &mut Report) {
    for toleration in at.items() {
        let (key, value) = (toleration.text("key"), toleration.text("value"));
        let operator = toleration.field("operator");
        let effect = toleration.field("effect");
        if !key.is_empty() {
            selectors::label_name(&toleration.field("key"), report);
        } else if operator.as_text() != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            report.invalid_text(&operator, detail);
        }
        if toleration.has("tolerationSeconds") && effect.as_text() != "NoExecute" {
            report.invalid_text(&effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator.as_text() {
            "" | "Equal" => {
                let problems = names::label_value(value);
                if !problems.is_empty() {
                    report.invalid_as(&operator, value, &problems.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                report.invalid_as(&operator, value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            _ => report.unsupported(&operator, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            report.optional_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
    }
}

fn overhead(at: &Place, report: &mut Report) {
    let limits = at.named("limits");
    for (name, entry) in limits.entries() {
        resources::container_resource_name(&entry, name, report);
        resources::amount(&entry, name, report);
    }
}

/// Resources of the pod as a whole, beside those of its containers.
fn pod_resources(spec: &Place, report: &mut Report) {
    let at = spec.field("resources");
    if !at.is_set() {
        return;
    }
    if at.has("claims") {
        report.forbidden(&at.field("claims"), "claims cannot be set for Resources at pod-level");
    }
    resources::requirements(&at, Asks::Pod, report);
    let requests = at.field("requests");
    for (name, sum) in container_requests(spec) {
        let own =
            requests.value().get(name).and_then(|v| requests.with(v).as_quantity()).unwrap_or(Quantity::ZERO);
        if sum.cmp(&own).is_gt() {
            let detail = format!(
                "must be greater than or equal to aggregate container requests of {}",
                sum.canonical()
            );
            report.invalid_as(&requests.key(name), own.canonical(), &detail);
        }
    }
    let limits = at.field("limits");
    for container in spec.field("containers").items() {
        let own = container.field("resources");
        for (name, limit) in own.field("limits").entries() {
            let whole = limits.value().get(name).and_then(|v| limits.with(v).as_quantity());
            if let (Some(limit), Some(whole)) = (limit.as_quantity(), whole)
                && limit.cmp(&whole).is_gt()
            {
                let detail = format!("must be less than or equal to pod limits of {}", whole.canonical());
                report.invalid_as(
                    &container.field("resources").field("limits").key(name),
                    limit.canonical(),
                    &detail,
                );
            }
        }
    }
}

/// What all containers ask for together: those that run side by side, or the largest that runs before them.
fn container_requests<'o>(spec: &Place<'o, '_>) -> BTreeMap<&'o str, Quantity> {
    let mut sum: BTreeMap<&str, Quantity> = BTreeMap::new();
    let add = |container: &Place<'o, '_>, sum: &mut BTreeMap<&'o str, Quantity>| {
        let resources = container.field("resources");
        for (name, entry) in resources.field("requests").entries() {
            if let Some(quantity) = entry.as_quantity() {
                let total = sum.get(name).map_or(quantity, |had| had.add(&quantity));
                sum.insert(name, total);
            }
        }
    };
    let list = spec.field("containers");
    list.items().for_each(|container| add(&container, &mut sum));
    let mut beside: BTreeMap<&str, Quantity> = BTreeMap::new();
    let mut peak: BTreeMap<&str, Quantity> = BTreeMap::new();
    let list = spec.field("initContainers");
    for container in list.items() {
        let mut now = beside.clone();
        add(&container, &mut now);
        if container.text("restartPolicy") == "Always" {
            beside = now.clone();
            add(&container, &mut sum);
        }
        for (name, quantity) in now {
            let larger = peak.get(name).is_none_or(|had| quantity.cmp(had).is_gt());
            if larger {
                peak.insert(name, quantity);
            }
        }
    }
    for (name, quantity) in peak {
        let larger = sum.get(name).is_none_or(|had| quantity.cmp(had).is_gt());
        if larger {
            sum.insert(name, quantity);
        }
    }
    sum
}

fn operating_system(at: &Place, report: &mut Report) {
    let os = at.field("os");
    if !os.is_set() {
        return;
    }
    match os.text("name") {
        "" => report.required(&os.field("name"), "cannot be empty"),
        "linux" => windows::not_on_linux(at, report),
        "windows" => windows::on_windows(at, report),
        name => report.unsupported_as(&os, name, &["linux", "windows"]),
    }
}
