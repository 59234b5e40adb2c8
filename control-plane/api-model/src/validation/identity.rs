//! Rules of RBAC objects and certificate signing requests.

use super::names;
use super::report::{Report, list, number, spec, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::Value;

pub(super) fn role(o: &Value, namespaced: bool, report: &mut Report) {
    let path = FieldPath::new("rules");
    for (index, rule) in list(o, "rules").iter().enumerate() {
        let at = path.index(index);
        let empty = |field: &str| list(rule, field).is_empty();
        if empty("verbs") {
            report.required(&at.child("verbs"), "verbs must contain at least one value");
        }
        if !empty("nonResourceURLs") {
            let urls = rule.get("nonResourceURLs").unwrap_or(&Value::Null);
            if namespaced {
                report.invalid(
                    &at.child("nonResourceURLs"),
                    urls,
                    "namespaced rules cannot apply to non-resource URLs",
                );
            }
            if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
                report.invalid(
                    &at.child("nonResourceURLs"),
                    urls,
                    "rules cannot apply to both regular resources and non-resource URLs",
                );
            }
            continue;
        }
        if empty("apiGroups") {
            report.required(&at.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if empty("resources") {
            report.required(&at.child("resources"), "resource rules must supply at least one resource");
        }
    }
}

pub(super) fn binding(o: &Value, namespaced: bool, report: &mut Report) {
    let path = FieldPath::new("roleRef");
    let role = o.get("roleRef").unwrap_or(&Value::Null);
    if text(role, "apiGroup") != "rbac.authorization.k8s.io" {
        let group = role.get("apiGroup").unwrap_or(&Value::Null);
        report.push(Cause::unsupported(&path.child("apiGroup"), group, &["rbac.authorization.k8s.io"]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text(role, "kind")) {
        report.push(Cause::unsupported(&path.child("kind"), role.get("kind").unwrap_or(&Value::Null), kinds));
    }
    match text(role, "name") {
        "" => report.required(&path.child("name"), ""),
        name => report.problems(&path.child("name"), name, names::path_segment(name)),
    }
    for (index, subject) in list(o, "subjects").iter().enumerate() {
        let at = FieldPath::new("subjects").index(index);
        if text(subject, "name").is_empty() {
            report.required(&at.child("name"), "");
        }
        match text(subject, "kind") {
            "ServiceAccount" => {
                let name = text(subject, "name");
                if !name.is_empty() {
                    report.problems(&at.child("name"), name, names::dns1123_subdomain(name));
                }
                if !text(subject, "apiGroup").is_empty() {
                    let group = subject.get("apiGroup").unwrap_or(&Value::Null);
                    report.push(Cause::unsupported(&at.child("apiGroup"), group, &[""]));
                }
                if text(subject, "namespace").is_empty() {
                    report.required(&at.child("namespace"), "");
                }
            }
            "User" | "Group" => {
                if text(subject, "apiGroup") != "rbac.authorization.k8s.io" {
                    let group = subject.get("apiGroup").unwrap_or(&Value::Null);
                    report.push(Cause::unsupported(
                        &at.child("apiGroup"),
                        group,
                        &["rbac.authorization.k8s.io"],
                    ));
                }
            }
            other => {
                report.push(Cause::unsupported(
                    &at.child("kind"),
                    &other.into(),
                    &["Group", "ServiceAccount", "User"],
                ));
            }
        }
    }
}

pub(super) fn binding_changes(new: &Value, old: &Value, report: &mut Report) {
    if new.get("roleRef") != old.get("roleRef") {
        let now = new.get("roleRef").unwrap_or(&Value::Null);
        report.invalid(&FieldPath::new("roleRef"), now, "cannot change roleRef");
    }
}

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub(super) fn signing_request(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    if text(spec, "request").is_empty() {
        report.required(&path.child("request"), "");
    }
    if list(spec, "usages").is_empty() {
        report.required(&path.child("usages"), "usages must be provided");
    }
    for (index, usage) in list(spec, "usages").iter().enumerate() {
        report.one_of(&path.child("usages").index(index), Some(usage), &USAGES, true);
    }
    let (signer, at) = (text(spec, "signerName"), path.child("signerName"));
    match signer.split_once('/') {
        _ if signer.is_empty() => report.required(&at, "signerName must be provided"),
        Some((domain, rest)) if domain.contains('.') && !rest.is_empty() => {
            report.problems(&at, signer, names::dns1123_subdomain(domain));
        }
        _ => report.push(Cause::invalid_str(
            &at,
            signer,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        )),
    }
    if let Some(seconds) = number(spec, "expirationSeconds").filter(|s| *s < 600) {
        report.invalid(
            &path.child("expirationSeconds"),
            &seconds.into(),
            "may not specify a duration less than 600 seconds (10 minutes)",
        );
    }
}

pub(super) fn signing_request_changes(new: &Value, old: &Value, report: &mut Report) {
    report.immutable(new, old, &["spec"]);
}
