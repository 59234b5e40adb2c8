//! Rules of webhook configurations and custom resource definitions.

use super::names;
use super::report::{Report, at, list, spec, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn webhooks(o: &Value, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (index, hook) in list(o, "webhooks").iter().enumerate() {
        let at_hook = FieldPath::new("webhooks").index(index);
        let name = text(hook, "name");
        let problems = names::dns1123_subdomain(name);
        if name.is_empty() {
            report.required(&at_hook.child("name"), "");
        } else if problems.is_empty() && name.split('.').count() < 3 {
            let detail = "should be a domain with at least three segments separated by dots";
            report.push(Cause::invalid_str(&at_hook.child("name"), name, detail));
        }
        report.problems(&at_hook.child("name"), name, problems);
        if !seen.insert(name) {
            report.push(Cause::duplicate(&at_hook.child("name"), &name.into()));
        }
        report.one_of(
            &at_hook.child("sideEffects"),
            hook.get("sideEffects"),
            &["None", "NoneOnDryRun"],
            true,
        );
        report.one_of(&at_hook.child("failurePolicy"), hook.get("failurePolicy"), &["Fail", "Ignore"], false);
        report.one_of(
            &at_hook.child("matchPolicy"),
            hook.get("matchPolicy"),
            &["Equivalent", "Exact"],
            false,
        );
        if list(hook, "admissionReviewVersions").is_empty() {
            let detail = "must specify one of v1, v1beta1";
            report.required(&at_hook.child("admissionReviewVersions"), detail);
        }
        let client = at(hook, "/clientConfig");
        let has = |field: &str| client.get(field).is_some_and(|v| !v.is_null());
        if has("url") == has("service") {
            report.required(&at_hook.child("clientConfig"), "exactly one of url or service is required");
        }
        if let Some(seconds) =
            hook.get("timeoutSeconds").and_then(Value::as_i64).filter(|s| !(1..=30).contains(s))
        {
            let detail = "the timeout value must be between 1 and 30 seconds";
            report.invalid(&at_hook.child("timeoutSeconds"), &seconds.into(), detail);
        }
    }
}

pub(super) fn definition(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    let (group, plural) = (text(spec, "group"), text(at(spec, "/names"), "plural"));
    for (field, value) in
        [("group", group), ("names.plural", plural), ("names.kind", text(at(spec, "/names"), "kind"))]
    {
        if value.is_empty() {
            report.required(&path.child(field), "");
        }
    }
    if !group.is_empty() && group.split('.').count() < 2 {
        report.push(Cause::invalid_str(
            &path.child("group"),
            group,
            "should be a domain with at least one dot",
        ));
    }
    let name = o.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        report.push(Cause::invalid_str(&FieldPath::new("metadata.name"), name, detail));
    }
    report.one_of(&path.child("scope"), spec.get("scope"), &["Cluster", "Namespaced"], true);
    let versions = list(spec, "versions");
    let stored = versions.iter().filter(|v| v["storage"] == Value::Bool(true)).count();
    if stored != 1 {
        let value = spec.get("versions").unwrap_or(&Value::Null);
        report.invalid(
            &path.child("versions"),
            value,
            "must have exactly one version marked as storage version",
        );
    }
    for (index, version) in versions.iter().enumerate() {
        if at(version, "/schema/openAPIV3Schema").is_null() {
            let at = path.child("versions").index(index).child("schema").child("openAPIV3Schema");
            report.required(&at, "schemas are required");
        }
    }
}
