//! Rules of `metadata`.

use super::names;
use super::place::Place;
use super::report::Report;
use super::selectors;
use crate::cause::Cause;
use crate::resource::Resource;
use serde_json::{Value, json};

/// All annotations of an object together, in bytes.
const ANNOTATIONS_MAX: usize = 256 * 1024;
/// A field manager's name, in bytes.
const MANAGER_MAX: usize = 128;

pub(super) fn create(resource: &Resource, object: &Place, report: &mut Report) {
    let at = object.field("metadata");
    let name = at.field("name");
    let generate = at.field("generateName");
    if !generate.is_empty() {
        report.problems(&generate, name_problems(resource, object, &generated_sample(generate.as_text())));
    }
    match name.as_text() {
        "" => report.required(&name, "name or generateName is required"),
        text => report.problems(&name, name_problems(resource, object, text)),
    }
    let namespace = at.field("namespace");
    match (resource.namespaced, namespace.as_text()) {
        (true, "") => report.required(&namespace, ""),
        (true, text) => report.problems(&namespace, names::dns1123_label(text)),
        (false, "") => {}
        (false, _) => report.forbidden(&namespace, "not allowed on this type"),
    }
    report.not_negative(&at.field("generation"));
    common(&at, report);
    finalizers(resource, &at, report);
}

/// A prefix of a name may end in a dash: more follows.
fn generated_sample(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut rest = rest.to_owned();
            rest.pop();
            rest.push('a');
            rest
        }
        _ => prefix.to_owned(),
    }
}

pub(super) fn update(resource: &Resource, new: &Place, old: &Place, report: &mut Report) {
    let (new, old) = (new.field("metadata"), old.field("metadata"));
    if old.has("deletionTimestamp") {
        let had = old.field("finalizers").list();
        let mut added: Vec<&str> = new
            .field("finalizers")
            .list()
            .iter()
            .filter(|f| !had.contains(f))
            .filter_map(Value::as_str)
            .collect();
        if !added.is_empty() {
            added.sort_unstable();
            let shown: Vec<String> = added.iter().map(|f| crate::cause::quoted(f)).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            report.forbidden(&new.field("finalizers"), &detail);
        }
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        // What the client leaves out the registry fills in.
        if new.has(field) {
            report.immutable(&new.field(field), &old.field(field));
        }
    }
    common(&new, report);
    finalizers(resource, &new, report);
}

fn common(at: &Place, report: &mut Report) {
    selectors::labels(&at.field("labels"), report);
    annotations(&at.field("annotations"), report);
    owners(&at.field("ownerReferences"), report);
    managers(&at.field("managedFields"), report);
}

/// Keys of annotations, and their size.
pub(super) fn annotations(at: &Place, report: &mut Report) {
    let mut size = 0;
    for (key, value) in at.entries() {
        let problems = match names::qualified_name(key) {
            problems if problems.is_empty() => problems,
            // Capitals are well in annotations.
            _ => names::qualified_name(&key.to_lowercase()),
        };
        report.problems_of(at, key, problems);
        size += key.len() + value.as_text().len();
    }
    if size > ANNOTATIONS_MAX {
        report.too_long(at, ANNOTATIONS_MAX);
    }
}

fn owners(at: &Place, report: &mut Report) {
    let mut controller: Option<String> = None;
    for owner in at.items() {
        let (kind, name) = (owner.text("kind"), owner.text("name"));
        // Upstream reports them for the list.
        for (field, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "kind must not be empty"),
            ("name", "name must not be empty"),
            ("uid", "uid must not be empty"),
        ] {
            if owner.text(field).is_empty() {
                report.invalid_as(&at.field(field), "", detail);
            }
        }
        if owner.text("apiVersion") == "v1" && kind == "Event" {
            report.invalid_as(at, owner.value().clone(), "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.flag("controller") {
            let this = format!("{kind}/{name}");
            match &controller {
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    report.invalid(at, &detail);
                }
                None => controller = Some(this),
            }
        }
    }
}

fn finalizers(resource: &Resource, at: &Place, report: &mut Report) {
    let at = at.field("finalizers");
    for finalizer in at.items() {
        report.problems_of(&at, finalizer.as_text(), names::qualified_name(finalizer.as_text()));
    }
    let has = |name: &str| at.list().iter().any(|f| f == name);
    if has("orphan") && has("foregroundDeletion") {
        report.invalid(&at, "finalizer orphan and foregroundDeletion cannot be both set");
    }
    // Kinds of the machinery itself are asked less.
    let machinery = ["apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io"];
    if !resource.custom && !machinery.contains(&resource.group.as_str()) {
        for finalizer in at.items() {
            standard_finalizer(&finalizer, report);
        }
    }
}

/// A finalizer without a domain is one of Kubernetes' own.
pub(super) fn standard_finalizer(at: &Place, report: &mut Report) {
    let text = at.as_text();
    if !text.contains('/') && !matches!(text, "kubernetes" | "orphan" | "foregroundDeletion") {
        report.invalid_text(at, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

fn managers(at: &Place, report: &mut Report) {
    for entry in at.items() {
        if !matches!(entry.text("operation"), "Apply" | "Update") {
            report.invalid_text(&entry.field("operation"), "must be `Apply` or `Update`");
        }
        if !matches!(entry.text("fieldsType"), "" | "FieldsV1") {
            report.invalid_text(&entry.field("fieldsType"), "must be `FieldsV1`");
        }
        if entry.text("manager").len() > MANAGER_MAX {
            report.too_long(&entry.field_as("manager", "fieldManager"), MANAGER_MAX);
        }
    }
}

/// What a template may say of its objects: labels and annotations.
pub(super) fn template(at: &Place, report: &mut Report) {
    annotations(&at.field("annotations"), report);
    selectors::labels(&at.field("labels"), report);
    const OTHERS: [&str; 11] = [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "ownerReferences",
        "finalizers",
    ];
    for field in OTHERS {
        if !super::same::same(at.field(field).value(), &Value::Null) {
            report.forbidden(&at.field(field), "cannot be set");
        }
    }
}

fn name_problems(resource: &Resource, object: &Place, name: &str) -> Vec<String> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        _ if resource.custom => names::dns1123_subdomain(name),
        ("", "Namespace") | ("apps", "StatefulSet") => names::dns1123_label(name),
        ("", "Service") => names::dns1035_label(name),
        ("", "Event")
        | ("events.k8s.io" | "policy" | "certificates.k8s.io" | "rbac.authorization.k8s.io", _)
        | ("authentication.k8s.io" | "authorization.k8s.io", _) => names::path_segment(name),
        ("networking.k8s.io", "IPAddress") => match name.parse::<std::net::IpAddr>() {
            Ok(ip) if ip.to_string() == name => Vec::new(),
            Ok(_) => vec!["must be a canonical format IP address".to_owned()],
            Err(_) => vec![format!("ParseAddr({}): unable to parse IP", crate::cause::quoted(name))],
        },
        ("apiregistration.k8s.io", _) => {
            let spec = object.field("spec");
            let wanted = format!("{}.{}", spec.text("version"), spec.text("group"));
            match names::path_segment(name) {
                problems if problems.is_empty() && name != wanted => {
                    vec![format!(
                        "must be `spec.version+\".\"+spec.group`: {}",
                        crate::cause::quoted(&wanted)
                    )]
                }
                problems => problems,
            }
        }
        _ => names::dns1123_subdomain(name),
    }
}

/// Objects that are created and never stored carry no metadata but what the server fills in.
pub(super) fn none(object: &Place, report: &mut Report) {
    let at = object.field("metadata");
    let mut left = at.value().clone();
    if let Some(map) = left.as_object_mut() {
        for field in ["managedFields", "namespace"] {
            map.remove(field);
        }
    }
    if !super::same::same(&left, &json!({})) {
        report.push(Cause::invalid(&at.path(), at.value(), "must be empty"));
    }
}
