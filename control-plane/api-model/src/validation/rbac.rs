//! Rules of roles and bindings.

use super::names;
use super::place::Place;
use super::report::{Report, internal};
use super::same::same;
use super::selectors;

const GROUP: &str = "rbac.authorization.k8s.io";

/// A role of a namespace.
pub(super) fn role(object: &Place, report: &mut Report) {
    rules(object, true, report);
}

/// A role of the cluster.
pub(super) fn cluster_role(object: &Place, report: &mut Report) {
    rules(object, false, report);
    let aggregation = object.field("aggregationRule");
    if !aggregation.is_set() {
        return;
    }
    let chosen = aggregation.field("clusterRoleSelectors");
    if chosen.is_empty() {
        report.required(&chosen, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for selector in chosen.items() {
        // Upstream's path has the field once more.
        selectors::label_selector(&selector, report);
    }
}

fn rules(object: &Place, namespaced: bool, report: &mut Report) {
    for rule in object.field("rules").items() {
        if rule.field("verbs").is_empty() {
            report.required(&rule.field("verbs"), "verbs must contain at least one value");
        }
        let urls = rule.field("nonResourceURLs");
        let (groups, resources) = (rule.field("apiGroups"), rule.field("resources"));
        if !urls.is_empty() {
            if namespaced {
                report.invalid(&urls, "namespaced rules cannot apply to non-resource URLs");
            }
            if !groups.is_empty() || !resources.is_empty() || !rule.field("resourceNames").is_empty() {
                report.invalid(&urls, "rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if groups.is_empty() {
            report.required(&groups, "resource rules must supply at least one api group");
        }
        if resources.is_empty() {
            report.required(&resources, "resource rules must supply at least one resource");
        }
    }
}

/// A binding in a namespace.
pub(super) fn role_binding(object: &Place, report: &mut Report) {
    binding(object, &["Role", "ClusterRole"], report);
}

/// A binding of the whole cluster.
pub(super) fn cluster_role_binding(object: &Place, report: &mut Report) {
    binding(object, &["ClusterRole"], report);
}

fn binding(object: &Place, kinds: &[&str], report: &mut Report) {
    let role = object.field("roleRef");
    if role.text("apiGroup") != GROUP {
        report.unsupported(&role.field("apiGroup"), &[GROUP]);
    }
    if !kinds.contains(&role.text("kind")) {
        report.unsupported(&role.field("kind"), kinds);
    }
    let name = role.field("name");
    if name.is_empty() {
        report.required(&name, "");
    } else {
        report.problems(&name, names::path_segment(name.as_text()));
    }
    for subject in object.field("subjects").items() {
        subject_of(&subject, report);
    }
}

fn subject_of(at: &Place, report: &mut Report) {
    let (name, group) = (at.field("name"), at.field("apiGroup"));
    report.present(&name);
    match at.text("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                report.problems(&name, names::dns1123_subdomain(name.as_text()));
            }
            if !group.is_empty() {
                report.unsupported(&group, &[""]);
            }
            report.present(&at.field("namespace"));
        }
        "User" | "Group" => {
            if group.as_text() != GROUP {
                report.unsupported(&group, &[GROUP]);
            }
        }
        _ => report.unsupported(&at.field("kind"), &["ServiceAccount", "User", "Group"]),
    }
}

/// A changed binding: who has the role may change, the role may not.
pub(super) fn binding_changes(new: &Place, old: &Place, report: &mut Report) {
    let role = new.field("roleRef");
    if !same(role.value(), old.field("roleRef").value()) {
        let shown = internal(&[
            ("APIGroup", role.text("apiGroup").into()),
            ("Kind", role.text("kind").into()),
            ("Name", role.text("name").into()),
        ]);
        report.invalid_shown(&role, &shown, "cannot change roleRef");
    }
}
