//! Rules of containers.

use super::{env, mounts, probe, security};
use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use crate::validation::resources::{self, Asks};
use crate::validation::same::same;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Rules for restarting a container, at most.
const RESTART_RULES_MAX: usize = 20;
/// Exit codes of one such rule, at most.
const EXIT_CODES_MAX: usize = 255;

/// What containers of a pod are judged against.
pub(super) struct Containers<'a, 'o, 'p> {
    pub spec: &'a Place<'o, 'p>,
    pub volumes: &'a BTreeMap<&'o str, &'o Value>,
    pub claims: &'a BTreeSet<&'o str>,
}

/// All containers of a pod.
pub(super) fn all<'o>(spec: &Place<'o, '_>, within: &Containers<'_, 'o, '_>, report: &mut Report) {
    let mut names_seen: BTreeSet<&str> = BTreeSet::new();
    let list = spec.field("containers");
    if list.is_empty() {
        report.required(&list, "");
    }
    let mut ports = BTreeSet::new();
    for container in list.items() {
        common(&container, within, report);
        let name = container.text("name");
        if !names_seen.insert(name) {
            report.duplicate(&container.field("name"));
        }
        running(&container, within, report);
    }
    for container in list.items() {
        host_ports(&container, &mut ports, report);
    }
    initial(spec, within, &mut names_seen, report);
    ephemeral(spec, within, names_seen, report);
}

/// What containers have that run until the pod ends.
fn running(container: &Place, within: &Containers<'_, '_, '_>, report: &mut Report) {
    let grace_s = within.spec.some_number("terminationGracePeriodSeconds");
    probe::lifecycle(&container.field("lifecycle"), grace_s, report);
    probe::probes(container, grace_s, report);
}

fn initial<'o>(
    spec: &Place<'o, '_>,
    within: &Containers<'_, 'o, '_>,
    names_seen: &mut BTreeSet<&'o str>,
    report: &mut Report,
) {
    let list = spec.field("initContainers");
    for container in list.items() {
        common(&container, within, report);
        let name = container.text("name");
        if !name.is_empty() && !names_seen.insert(name) {
            report.duplicate(&container.field("name"));
        }
        // Each runs alone, so each is looked at alone, and upstream's path says the first.
        host_ports(&list.index(0).with(container.value()), &mut BTreeSet::new(), report);
        if container.text("restartPolicy") == "Always" {
            running(&container, within, report);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.has(field) {
                report.forbidden(
                    &container.field(field),
                    "may not be set for init containers without restartPolicy=Always",
                );
            }
        }
        if !container.field("resizePolicy").is_empty() {
            report.invalid(&container.field("resizePolicy"), "must not be set for init containers");
        }
    }
}

fn ephemeral<'o>(
    spec: &Place<'o, '_>,
    within: &Containers<'_, 'o, '_>,
    mut names_seen: BTreeSet<&'o str>,
    report: &mut Report,
) {
    const NOT_ALLOWED: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    const DETAIL: &str = "cannot be set for an Ephemeral Container";
    let list = spec.field("ephemeralContainers");
    if list.is_empty() {
        return;
    }
    let others = names_seen.clone();
    for container in list.items() {
        common(&container, within, report);
        untrimmed_image(&container, report);
        if !names_seen.insert(container.text("name")) {
            report.duplicate(&container.field("name"));
        }
        let target = container.field("targetContainerName");
        if !target.is_empty() && !others.contains(target.as_text()) {
            report.not_found(&target, "");
        }
        for field in NOT_ALLOWED {
            if !same(container.field(field).value(), &Value::Null) {
                report.forbidden(&container.field(field), DETAIL);
            }
        }
        for mount in container.field("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.field(field).is_empty() {
                    report.forbidden(&mount.field(field), DETAIL);
                }
            }
        }
    }
}

fn common(at: &Place, within: &Containers<'_, '_, '_>, report: &mut Report) {
    report.named(&at.field("name"), names::dns1123_label);
    report.present(&at.field("image"));
    report.one_of(&at.field("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
    ports(&at.field("ports"), report);
    env::variables(&at.field("env"), within.volumes, report);
    env::sources(&at.field("envFrom"), report);
    mounts::mounts(at, within.volumes, report);
    mounts::devices(at, within.volumes, report);
    report.one_of(&at.field("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    let own = at.field("resources");
    resources::requirements(&own, Asks::Container, report);
    claims(&own.field("claims"), within.claims, report);
    resize_policy(&at.field("resizePolicy"), within.spec.text("restartPolicy"), report);
    let host_users = within.spec.field("hostUsers").value() != &Value::Bool(false);
    security::container(&at.field("securityContext"), host_users, report);
    restart_policy(at, report);
}

/// Spaces around the name of an image: kept in templates, which some tools fill in later, and refused in pods.
pub(super) fn untrimmed_image(at: &Place, report: &mut Report) {
    let image = at.text("image");
    if image.trim() != image {
        report.invalid_text(&at.field("image"), "must not have leading or trailing whitespace");
    }
}

fn ports(at: &Place, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for port in at.items() {
        let name = port.field("name");
        if !name.is_empty() {
            let problems = names::port_name(name.as_text());
            if problems.is_empty() && !seen.insert(name.as_text()) {
                report.duplicate(&name);
            }
            report.problems(&name, problems);
        }
        if port.number("containerPort") == 0 {
            report.required(&port.field("containerPort"), "");
        } else {
            report.port_number(&port.field("containerPort"));
        }
        if port.number("hostPort") != 0 {
            report.port_number(&port.field("hostPort"));
        }
        report.one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

fn host_ports<'o>(
    container: &Place<'o, '_>,
    taken: &mut BTreeSet<(&'o str, &'o str, i64)>,
    report: &mut Report,
) {
    for port in container.field("ports").items() {
        let number = port.number("hostPort");
        let key = (port.text("protocol"), port.text("hostIP"), number);
        if number != 0 && !taken.insert(key) {
            report.duplicate_as(&port.field("hostPort"), format!("{}/{}/{}", key.0, key.1, key.2));
        }
    }
}

/// Each resource claim that a container uses is one of its pod's.
fn claims(at: &Place, of_pod: &BTreeSet<&str>, report: &mut Report) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for claim in at.items() {
        let (name, request) = (claim.text("name"), claim.text("request"));
        if name.is_empty() {
            report.required(&claim, "");
            continue;
        }
        if seen.contains(name) {
            report.duplicate_as(&claim, name);
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                report.problems(&claim.field("request"), names::dns1123_label(request));
                key = format!("{name}/{request}");
            }
            let overlaps = request.is_empty() && seen.iter().any(|have| have.split('/').next() == Some(name));
            if seen.contains(&key) || overlaps {
                report.duplicate_as(&claim, key.as_str());
            }
            seen.insert(key);
        }
        if !of_pod.contains(name) {
            let known: Vec<&str> = of_pod.iter().copied().collect();
            let detail = if known.is_empty() {
                "must be one of the names in pod.spec.resourceClaims which is empty".to_owned()
            } else {
                format!("must be one of the names in pod.spec.resourceClaims: {}", known.join(", "))
            };
            report.not_found(&claim.with(claim.field("name").value()), &detail);
        }
    }
}

fn resize_policy(at: &Place, restart_policy: &str, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for policy in at.items() {
        let resource = policy.text("resourceName");
        if !seen.insert(resource) {
            report.duplicate_as(&policy, resource);
        }
        match resource {
            "cpu" | "memory" => {}
            "" => report.required(at, ""),
            other => report.unsupported_as(at, other, &["cpu", "memory"]),
        }
        let how = policy.text("restartPolicy");
        match how {
            "NotRequired" | "RestartContainer" => {}
            "" => report.required(at, ""),
            other => report.unsupported_as(at, other, &["NotRequired", "RestartContainer"]),
        }
        if restart_policy == "Never" && how != "NotRequired" {
            report.invalid_as(at, how, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

/// When a container is started again whatever its pod's policy says.
fn restart_policy(at: &Place, report: &mut Report) {
    let (policy, rules) = (at.field("restartPolicy"), at.field("restartPolicyRules"));
    if policy.is_set() {
        report.optional_of(&policy, &["Always", "Never", "OnFailure"]);
    } else if !rules.is_empty() {
        report.required(&policy, "must specify restartPolicy when restart rules are used");
    }
    if rules.len() > RESTART_RULES_MAX {
        report.too_many(&rules, RESTART_RULES_MAX);
    }
    for rule in rules.items() {
        report.one_of(&rule.field("action"), &["Restart"]);
        let codes = rule.field("exitCodes");
        if !codes.is_set() {
            report.required(&codes, "must be specified");
            continue;
        }
        report.one_of(&codes.field("operator"), &["In", "NotIn"]);
        let values = codes.field("values");
        if values.is_empty() {
            report.required(&values, "");
        } else if values.len() > EXIT_CODES_MAX {
            report.too_many(&values, EXIT_CODES_MAX);
        }
        let mut seen = BTreeSet::new();
        for value in values.items() {
            report.in_range(&value, 0, 255);
            if !seen.insert(value.as_number()) {
                report.duplicate(&value);
            }
        }
    }
}
