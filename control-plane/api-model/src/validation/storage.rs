//! Rules of claims to persistent volumes.

use super::metadata;
use super::names;
use super::place::Place;
use super::report::Report;
use super::resources;
use super::same::same;
use super::selectors;
use crate::quantity::Quantity;
use serde_json::{Map, Value};

pub(super) const ACCESS_MODES: [&str; 4] =
    ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
/// The annotation that once was `spec.storageClassName`.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// A claim.
pub(super) fn claim(object: &Place, report: &mut Report) {
    claim_spec(&object.field("spec"), report);
}

/// The claim that an ephemeral volume makes.
pub(super) fn claim_template(at: &Place, report: &mut Report) {
    metadata::template(&at.field("metadata"), report);
    claim_spec(&at.field("spec"), report);
}

/// How a volume may be mounted; each mode known, and one writer alone.
pub(super) fn access_modes(at: &Place, report: &mut Report) {
    let (mut alone, mut shared) = (false, false);
    for mode in at.list() {
        let text = mode.as_str().unwrap_or_default();
        if !ACCESS_MODES.contains(&text) {
            report.unsupported_as(at, text, &ACCESS_MODES);
        } else if text == "ReadWriteOncePod" {
            alone = true;
        } else {
            shared = true;
        }
    }
    if alone && shared {
        report.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn claim_spec(at: &Place, report: &mut Report) {
    let modes = at.field("accessModes");
    if modes.is_empty() {
        report.required(&modes, "at least 1 access mode is required");
    }
    selectors::label_selector(&at.field("selector"), report);
    access_modes(&modes, report);
    let resources = at.field("resources");
    let requests = resources.field("requests");
    // Upstream's path leaves `requests` out.
    let storage = resources.key("storage").with(requests.key("storage").value());
    if !storage.is_set() {
        report.required(&storage, "");
    } else if resources::positive(&storage, report) {
        resources::amount(&storage, "storage", report);
    }
    for field in ["storageClassName", "volumeAttributesClassName"] {
        let class = at.field(field);
        if field == "volumeAttributesClassName" {
            report.optional_of(&at.field("volumeMode"), &VOLUME_MODES);
            data_sources(at, report);
        }
        if !class.is_empty() {
            report.problems(&class, names::dns1123_subdomain(class.as_text()));
        }
    }
}

fn data_sources(at: &Place, report: &mut Report) {
    let (source, reference) = (at.field("dataSource"), at.field("dataSourceRef"));
    for one in [source, reference].iter().filter(|one| one.is_set()) {
        data_source(one, report);
    }
    let namespace = reference.field("namespace");
    if !namespace.is_empty() {
        report.problems(&namespace, names::dns1123_label(namespace.as_text()));
        if source.is_set() {
            let shown = source.path().to_string();
            report.invalid_as(at, shown, "may not be specified when dataSourceRef.namespace is specified");
        }
    } else if source.is_set() && reference.is_set() {
        let alike = ["apiGroup", "kind", "name"]
            .iter()
            .all(|f| same(source.field(f).value(), reference.field(f).value()));
        if !alike {
            report.invalid_as(at, source.path().to_string(), "must match dataSourceRef");
        }
    }
}

fn data_source(at: &Place, report: &mut Report) {
    report.present(&at.field("name"));
    report.present(&at.field("kind"));
    let group = at.field("apiGroup");
    if group.is_empty() && at.text("kind") != "PersistentVolumeClaim" {
        report.invalid_as(
            at,
            at.text("kind"),
            "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        );
    }
    if !group.is_empty() {
        report.problems(&group, names::dns1123_subdomain(group.as_text()));
    }
}

/// A changed claim: what it asks for is fixed, but a bound one may ask for more, and for other attributes.
pub(super) fn claim_changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    if same(at.value(), had.value()) {
        return;
    }
    let notes =
        |object: &Place| object.field("metadata").field("annotations").value().get(BETA_CLASS).cloned();
    let (note, old_note) = (notes(new), notes(old));
    let upgraded = old_note.is_some()
        && !had.has("storageClassName")
        && at.value().get("storageClassName") == old_note.as_ref()
        && (note.is_none() || note == old_note);
    if !upgraded && note != old_note {
        let (metadata, shown) = (new.field("metadata"), note.clone().unwrap_or_else(|| "".into()));
        let annotations = metadata.field("annotations");
        report.invalid_as(&annotations.field(BETA_CLASS), shown, super::report::IMMUTABLE);
    }
    let class_from_nothing = at.has("storageClassName")
        && !had.has("storageClassName")
        && old_note.as_ref().is_none_or(|old| at.value().get("storageClassName") == Some(old));
    let bound = new.field("status").text("phase") == "Bound";
    let changed = changed_fields(at.map(), had.map(), |key| match key {
        "volumeName" => had.field("volumeName").is_empty(),
        "storageClassName" => upgraded || class_from_nothing,
        "volumeAttributesClassName" => bound && at.has("volumeAttributesClassName"),
        "resources" => bound && only_storage_differs(&at.field("resources"), &had.field("resources")),
        _ => false,
    });
    if let Some(changed) = changed {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        report.forbidden(&at, &format!("{detail}\n{changed}"));
    }
    sizes(&at, &had, &old.field("status"), report);
    if !same(at.field("volumeMode").value(), had.field("volumeMode").value()) {
        report.invalid(&Place::root(at.value()).field("volumeMode"), super::report::IMMUTABLE);
    }
    let class = at.field("volumeAttributesClassName");
    if had.has("volumeAttributesClassName") {
        if !class.is_set() {
            report.forbidden(&class, "update from non-nil value to nil is forbidden");
        } else if class.is_empty() {
            report.forbidden(&class, "update from non-nil value to an empty string is forbidden");
        }
    }
}

fn sizes(at: &Place, had: &Place, status: &Place, report: &mut Report) {
    let size = |spec: &Place| spec.field("resources").field("requests").key("storage").as_quantity();
    let (Some(now), Some(before)) = (size(at), size(had)) else { return };
    let actual = status.field("capacity").key("storage").as_quantity().unwrap_or(Quantity::ZERO);
    if now.cmp(&before).is_lt() && now.cmp(&actual).is_le() {
        let resources = at.field("resources");
        let requests = resources.field("requests");
        report.forbidden(&requests.field("storage"), "field can not be less than status.capacity");
    }
}

fn only_storage_differs(now: &Place, had: &Place) -> bool {
    let without = |resources: &Place| {
        let mut left = resources.value().clone();
        if let Some(Value::Object(requests)) = left.get_mut("requests") {
            requests.remove("storage");
        }
        left
    };
    same(&without(now), &without(had))
}

/// The fields that differ and may not, one a line as `-` and `+`; `None` when there are none.
pub(super) fn changed_fields(
    now: Option<&Map<String, Value>>,
    had: Option<&Map<String, Value>>,
    free: impl Fn(&str) -> bool,
) -> Option<String> {
    let empty = Map::new();
    let (now, had) = (now.unwrap_or(&empty), had.unwrap_or(&empty));
    let mut keys: Vec<&String> = now.keys().chain(had.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let null = Value::Null;
    let mut lines = String::new();
    for key in keys {
        let (before, after) = (had.get(key).unwrap_or(&null), now.get(key).unwrap_or(&null));
        let alone = |value: &Value| Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        if !free(key) && !same(&alone(before), &alone(after)) {
            lines.push_str(&format!("- \t{key}: {before},\n+ \t{key}: {after},\n"));
        }
    }
    (!lines.is_empty()).then_some(lines)
}

/// What a claim's status may say.
pub(super) fn claim_status(new: &Place, _old: &Place, report: &mut Report) {
    const RESIZING: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let status = new.field("status");
    for (_, amount) in status.field("capacity").entries() {
        resources::basic(&amount, report);
    }
    let resizing = status.field_as("allocatedResourceStatuses", "allocatedResourceStatus");
    for (name, state) in resizing.entries() {
        claim_resource(&resizing, name, report);
        if !RESIZING.contains(&state.as_text()) {
            report.unsupported_as(&resizing, name, &RESIZING);
        }
    }
    let allocated = status.field("allocatedResources");
    for (name, amount) in allocated.entries() {
        if claim_resource(&allocated, name, report) {
            resources::basic(&amount, report);
            resources::amount(&amount, "storage", report);
        }
    }
}

fn claim_resource(at: &Place, name: &str, report: &mut Report) -> bool {
    let problems = names::qualified_name(name);
    let fits = problems.is_empty();
    report.problems_of(at, name, problems);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if fits && native && name != "storage" {
        report.unsupported_as(at, name, &["storage"]);
        return false;
    }
    fits
}
