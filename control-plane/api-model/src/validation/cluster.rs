//! Rules of namespaces, nodes, limit ranges, quotas and bindings.

use super::ip::{is_dual_stack, parse_cidr};
use super::metadata::standard_finalizer;
use super::names;
use super::place::Place;
use super::report::{IMMUTABLE, Report, internal};
use super::resources;
use super::selectors;
use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeSet;

/// A namespace.
pub(super) fn namespace(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let list = spec.field("finalizers");
    for finalizer in list.items() {
        let text = finalizer.as_text();
        report.problems_of(&list, text, names::qualified_name(text));
        standard_finalizer(&list.with(finalizer.value()), report);
    }
}

/// What may be written to a namespace's status.
pub(super) fn namespace_status(new: &Place, _old: &Place, report: &mut Report) {
    let status = new.field("status");
    let phase = status.field_as("phase", "Phase");
    let deleted = new.field("metadata").has("deletionTimestamp");
    if deleted && phase.as_text() != "Terminating" {
        report.invalid_text(&phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
    } else if !deleted && phase.as_text() != "Active" {
        report.invalid_text(&phase, "may only be 'Active' if `deletionTimestamp` is empty");
    }
}

/// A node.
pub(super) fn node(object: &Place, report: &mut Report) {
    taints(object, report);
    node_resources(object, report);
    let spec = object.field("spec");
    let ranges = spec.field("podCIDRs");
    for range in ranges.items() {
        report.cidr(&range, range.as_text());
    }
    if ranges.len() > 1 {
        let ips = ranges.list().iter().filter_map(Value::as_str).filter_map(parse_cidr).map(|(ip, _)| ip);
        if !is_dual_stack(ips) || ranges.len() > 2 {
            report.invalid(&ranges, "may specify no more than one CIDR for each IP family");
        }
        let mut seen = BTreeSet::new();
        for range in ranges.items() {
            if !seen.insert(range.as_text()) {
                report.duplicate(&range);
            }
        }
    }
}

/// Upstream's path says `metadata`.
fn taints(object: &Place, report: &mut Report) {
    let (metadata, spec) = (object.field("metadata"), object.field("spec"));
    let mut seen = BTreeSet::new();
    for taint in metadata.named_field(&spec, "taints").items() {
        selectors::label_name(&taint.field("key"), report);
        let value = taint.field("value");
        let problems = names::label_value(value.as_text());
        if !problems.is_empty() {
            report.invalid(&value, &problems.join(";"));
        }
        let effect = taint.field("effect");
        report.one_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        if !seen.insert((effect.as_text(), taint.text("key"))) {
            let shown = internal(&[
                ("Key", taint.text("key").into()),
                ("Value", taint.text("value").into()),
                ("Effect", taint.text("effect").into()),
                ("TimeAdded", taint.field("timeAdded").value().clone()),
            ]);
            report.duplicate_shown(&taint, &shown, "taints must be unique by key and effect pair");
        }
    }
}

fn node_resources(object: &Place, report: &mut Report) {
    let status = object.field("status");
    for field in ["capacity", "allocatable"] {
        let list = status.field(field);
        for (name, entry) in list.entries() {
            if resources::is_extended(name) || entry.as_quantity().is_some_and(|quantity| quantity.sign() < 0)
            {
                resources::amount(&entry, name, report);
            }
        }
    }
}

/// A changed node.
pub(super) fn node_changes(new: &Place, old: &Place, report: &mut Report) {
    node_resources(new, report);
    let status = new.field("status");
    let mut seen = BTreeSet::new();
    for address in status.field("addresses").items() {
        if !seen.insert((address.text("type"), address.text("address"))) {
            let shown = internal(&[
                ("Type", address.text("type").into()),
                ("Address", address.text("address").into()),
            ]);
            report.duplicate_shown(&address, &shown, "");
        }
    }
    let (spec, had) = (new.field("spec"), old.field("spec"));
    let ranges = spec.field("podCIDRs");
    if !had.field("podCIDRs").is_empty() && ranges.value() != had.field("podCIDRs").value() {
        report.forbidden(&ranges, "node updates may not change podCIDR except from \"\" to valid");
    }
    let provider = spec.field("providerID");
    if !had.text("providerID").is_empty() && provider.as_text() != had.text("providerID") {
        report.forbidden(&provider, "node updates may not change providerID except from \"\" to valid");
    }
    taints(new, report);
    if spec.text("externalID") != had.text("externalID") {
        report.forbidden(&spec.field("externalID"), "may not be updated");
    }
}

/// A range of limits.
pub(super) fn limit_range(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let mut kinds = BTreeSet::new();
    for limit in spec.field("limits").items() {
        let kind = limit.field("type");
        let problems = names::qualified_name(kind.as_text());
        if problems.is_empty()
            && !kind.as_text().contains('/')
            && !matches!(kind.as_text(), "Pod" | "Container" | "PersistentVolumeClaim")
        {
            report.invalid(&kind, "must be a standard limit type or fully qualified");
        }
        report.problems(&kind, problems);
        if !kinds.insert(kind.as_text()) {
            report.duplicate(&kind);
        }
        one_limit(&limit, kind.as_text(), report);
    }
}

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

fn one_limit(at: &Place, kind: &str, report: &mut Report) {
    let mut keys: BTreeSet<&str> = BTreeSet::new();
    for list in LISTS {
        let amounts = at.field(list);
        if kind == "Pod" && list.starts_with("default") {
            if !amounts.is_empty() {
                report.forbidden(&amounts, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (name, entry) in amounts.entries() {
            if matches!(kind, "Pod" | "Container") {
                resources::container_resource_name(&entry, name, report);
            } else {
                resources::resource_name(&entry, name, report);
            }
            keys.insert(name);
        }
        if list == "defaultRequest" && kind == "PersistentVolumeClaim" {
            claim_limits(at, report);
        }
    }
    for key in keys {
        consistent(at, key, kind, report);
    }
}

fn claim_limits(at: &Place, report: &mut Report) {
    let has = |list: &'static str| at.field(list).value().get("storage").is_some();
    if !has("min") && !has("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        report.required(&at.field("limits"), detail);
    }
}

/// The amounts of one resource fit together.
fn consistent<'o>(at: &Place<'o, '_>, key: &'o str, kind: &str, report: &mut Report) {
    let list = |name: &'static str| at.field(name);
    let amount = |name: &'static str| {
        let ignored = kind == "Pod" && name.starts_with("default");
        list(name).key(key).as_quantity().filter(|_| !ignored)
    };
    let (max, min, ratio) = (amount("max"), amount("min"), amount("maxLimitRequestRatio"));
    let (default, request) = (amount("default"), amount("defaultRequest"));
    let mut refuse = |field: &'static str, shown: &Quantity, detail: String| {
        let list = at.field(field);
        report.invalid_as(&list.key(key), shown.canonical(), &detail);
    };
    // What must not be above what, the field that is blamed, and whether the larger amount is shown.
    let ordered = [
        (("min", min), ("max", max), "min", true),
        (("min", min), ("default request", request), "defaultRequest", false),
        (("default request", request), ("max", max), "defaultRequest", true),
        (("default request", request), ("default limit", default), "defaultRequest", true),
        (("min", min), ("default", default), "default", false),
        (("default", default), ("max", max), "default", false),
    ];
    for ((low_name, low), (high_name, high), field, shows_low) in ordered {
        let (Some(low), Some(high)) = (low, high) else { continue };
        if low.cmp(&high).is_gt() {
            let (a, b) = (low.canonical(), high.canonical());
            let detail = format!("{low_name} value {a} is greater than {high_name} value {b}");
            refuse(field, if shows_low { &low } else { &high }, detail);
        }
    }
    if let Some(ratio) = ratio {
        if ratio.cmp(&Quantity::from_int(1)).is_lt() {
            refuse("maxLimitRequestRatio", &ratio, format!("ratio {} is less than 1", ratio.canonical()));
        }
        if let (Some(min), Some(max)) = (min, max) {
            let limit = max.as_f64() / min.as_f64();
            if ratio.as_f64() > limit {
                refuse(
                    "maxLimitRequestRatio",
                    &ratio,
                    format!("ratio {} is greater than max/min = {limit:.6}", ratio.canonical()),
                );
            }
        }
    }
    if let (Some(default), Some(request)) = (default, request)
        && !resources::may_overcommit(key)
        && default.cmp(&request).is_ne()
    {
        let detail = format!(
            "default value {} must equal to defaultRequest value {} in {key}",
            default.canonical(),
            request.canonical()
        );
        refuse("defaultRequest", &request, detail);
    }
}

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// A quota.
pub(super) fn quota(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    amounts(&spec.field("hard"), report);
    let scopes = spec.field("scopes");
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for scope in scopes.list() {
        let scope = scope.as_str().unwrap_or_default();
        scope_rules(&spec, scope, &scopes, &scopes, report);
        seen.insert(scope);
    }
    conflicts(&scopes, &scopes, &seen, report);
    let selector = spec.field("scopeSelector");
    let expressions = selector.field("matchExpressions");
    let at = spec.field("scopeSelector");
    let at = at.field("matchExpressions");
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for expression in expressions.items() {
        selector_rules(&spec, &expression, &at, report);
        seen.insert(expression.text("scopeName"));
    }
    conflicts(&at, &scopes, &seen, report);
}

fn amounts(at: &Place, report: &mut Report) {
    for (name, entry) in at.entries() {
        resources::quota_resource_name(&entry, name, report);
        resources::amount(&entry, name, report);
    }
}

/// Whether a scope can be asked of a resource.
fn scope_fits(scope: &str, resource: &str) -> bool {
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => {
            matches!(
                resource,
                "cpu"
                    | "memory"
                    | "ephemeral-storage"
                    | "requests.cpu"
                    | "requests.memory"
                    | "requests.ephemeral-storage"
                    | "limits.cpu"
                    | "limits.memory"
                    | "limits.ephemeral-storage"
                    | "pods"
            )
        }
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn misapplied(spec: &Place, scope: &str) -> bool {
    spec.field("hard")
        .entries()
        .any(|(name, _)| resources::is_quota_resource(name) && !scope_fits(scope, name))
}

fn scope_rules(spec: &Place, scope: &str, at: &Place, shown: &Place, report: &mut Report) {
    if !SCOPES.contains(&scope) {
        report.invalid_as(at, shown.value().clone(), "unsupported scope");
    }
    if misapplied(spec, scope) {
        report.invalid_as(at, shown.value().clone(), "unsupported scope applied to resource");
    }
}

fn conflicts(at: &Place, shown: &Place, seen: &BTreeSet<&str>, report: &mut Report) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| seen.contains(scope)) {
            report.invalid_collection(&at.with(shown.value()), "conflicting scopes");
        }
    }
}

fn selector_rules<'o>(spec: &Place<'o, '_>, one: &Place<'o, '_>, at: &Place<'o, '_>, report: &mut Report) {
    let (scope, operator) = (one.text("scopeName"), one.text("operator"));
    let shown = |name: &'static str| at.named_field(one, name);
    if !SCOPES.contains(&scope) {
        report.invalid_text(&shown("scopeName"), "unsupported scope");
    }
    if misapplied(spec, scope) {
        report
            .invalid(&at.with(spec.field("scopeSelector").value()), "unsupported scope applied to resource");
    }
    if !matches!(scope, "PriorityClass" | "VolumeAttributesClass")
        && SCOPES.contains(&scope)
        && operator != "Exists"
    {
        let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        report.invalid_text(&shown("operator"), detail);
    }
    let values = shown("values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            report.required(
                &values,
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            );
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            report.invalid(
                &values,
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            );
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => report.invalid_text(&shown("operator"), "not a valid selector operator"),
    }
}

pub(super) fn quota_changes(new: &Place, old: &Place, report: &mut Report) {
    let (spec, had) = (new.field("spec"), old.field("spec"));
    let set = |spec: &Place| -> BTreeSet<String> {
        spec.field("scopes").list().iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if set(&spec) != set(&had) {
        report.invalid_collection(&spec.field("scopes"), IMMUTABLE);
    }
}

pub(super) fn quota_status(new: &Place, _old: &Place, report: &mut Report) {
    let status = new.field("status");
    amounts(&status.field("hard"), report);
    amounts(&status.field("used"), report);
}

/// A pod's node.
pub(super) fn binding(object: &Place, report: &mut Report) {
    let target = object.field("target");
    if !matches!(target.text("kind"), "" | "Node") {
        report.unsupported(&target.field("kind"), &["Node", "<empty>"]);
    }
    report.present(&target.field("name"));
}
