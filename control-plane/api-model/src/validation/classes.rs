//! Rules of storage classes, drivers, attachments and capacities.

use super::names;
use super::persistent_volume;
use super::place::Place;
use super::pod::volume_sources::csi_driver_name;
use super::report::Report;
use super::same::same;
use super::selectors;
use serde_json::Value;
use std::collections::BTreeSet;

/// Parameters of a class: how many, and their bytes together.
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;
/// Attributes of an attachment, and the text of an error, in bytes.
const ATTACHED_MAX: usize = 256 * 1024;
const MESSAGE_MAX: usize = 1024;
/// A node's name inside its driver, and a topology's keys, in bytes.
const NODE_ID_MAX: usize = 192;

/// A storage class.
pub(super) fn storage_class(object: &Place, report: &mut Report) {
    let provisioner = object.field("provisioner");
    if provisioner.is_empty() {
        report.required(&provisioner, "");
    } else {
        let problems = names::qualified_name(&provisioner.as_text().to_lowercase());
        report.problems(&provisioner, problems);
    }
    parameters(&object.field("parameters"), true, report);
    let policy = object.field("reclaimPolicy");
    if !policy.is_empty() {
        report.optional_of(&policy, &["Delete", "Retain"]);
    }
    let mode = object.field("volumeBindingMode");
    if mode.is_set() {
        report.optional_of(&mode, &["Immediate", "WaitForFirstConsumer"]);
    } else {
        report.required(&mode, "");
    }
    topologies(&object.field("allowedTopologies"), report);
}

fn parameters(at: &Place, may_be_empty: bool, report: &mut Report) {
    if at.len() > PARAMETERS_MAX {
        return report.too_long(at, PARAMETERS_MAX);
    }
    if at.is_empty() && !may_be_empty {
        report.required(at, "must contain at least one key/value pair");
    }
    let mut size = 0;
    for (key, value) in at.entries() {
        if key.is_empty() {
            report.invalid_as(at, key, "field can not be empty.");
        }
        size += key.len() + value.as_text().len();
    }
    if size > PARAMETERS_BYTES_MAX {
        report.too_long(at, PARAMETERS_BYTES_MAX);
    }
}

fn topologies(at: &Place, report: &mut Report) {
    let mut seen: Vec<Value> = Vec::new();
    for term in at.items() {
        let mut keys = BTreeSet::new();
        let mut shape = serde_json::Map::new();
        for expression in term.field("matchLabelExpressions").items() {
            let values = expression.field("values");
            if values.is_empty() {
                report.required(&values, "");
            }
            let mut distinct = BTreeSet::new();
            for value in values.items() {
                if !distinct.insert(value.as_text()) {
                    report.duplicate(&value);
                }
            }
            let key = expression.field("key");
            selectors::label_name(&key, report);
            if !keys.insert(key.as_text()) {
                report.duplicate(&key);
            }
            shape.insert(key.as_text().to_owned(), distinct.into_iter().collect());
        }
        let shape = Value::Object(shape);
        if seen.contains(&shape) {
            report.duplicate_as(&term.field("matchLabelExpressions"), "");
        }
        seen.push(shape);
    }
}

/// A changed storage class: what it stands for is fixed.
pub(super) fn storage_class_changes(new: &Place, old: &Place, report: &mut Report) {
    for (field, what) in
        [("parameters", "parameters"), ("provisioner", "provisioner"), ("reclaimPolicy", "reclaimPolicy")]
    {
        if !same(new.field(field).value(), old.field(field).value()) {
            report.forbidden(&new.field(field), &format!("updates to {what} are forbidden."));
        }
    }
    report.immutable(&new.field("volumeBindingMode"), &old.field("volumeBindingMode"));
}

/// A class of attributes of volumes.
pub(super) fn attributes_class(object: &Place, report: &mut Report) {
    csi_driver_name(&object.field("driverName"), report);
    parameters(&object.field("parameters"), false, report);
}

pub(super) fn attributes_class_changes(new: &Place, old: &Place, report: &mut Report) {
    for field in ["driverName", "parameters"] {
        if !same(new.field(field).value(), old.field(field).value()) {
            report.forbidden(&new.field(field), &format!("updates to {field} are forbidden."));
        }
    }
}

/// A driver.
pub(super) fn driver(object: &Place, report: &mut Report) {
    let metadata = object.field("metadata");
    csi_driver_name(&metadata.field("name"), report);
    let spec = object.field("spec");
    for field in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
        if !spec.has(field) {
            report.required(
                &spec.field_as(field, if field == "attachRequired" { "attachedRequired" } else { field }),
                "",
            );
        }
    }
    report.optional_of(&spec.field("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]);
    let mut audiences = BTreeSet::new();
    for request in spec.field("tokenRequests").items() {
        let audience = request.field("audience");
        if !audiences.insert(audience.as_text()) {
            report.duplicate_as(&audience, audience.as_text());
        }
        let seconds = request.field("expirationSeconds");
        if let Some(number) = seconds.as_number() {
            if number < 600 {
                report.invalid(&seconds, "may not specify a duration less than 10 minutes");
            }
            if number > 1 << 32 {
                report.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
            }
        }
    }
    let modes = spec.field("volumeLifecycleModes");
    for mode in modes.list() {
        let known = ["Ephemeral", "Persistent"];
        if !mode.as_str().is_some_and(|text| known.contains(&text)) {
            report.unsupported_as(&modes, mode.clone(), &known);
        }
    }
    let period = spec.field("nodeAllocatableUpdatePeriodSeconds");
    if period.as_number().is_some_and(|seconds| seconds < 10) {
        report.invalid(&period, "must be greater than or equal to 10 seconds");
    }
}

pub(super) fn driver_changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    report.immutable(&at.field_as("attachRequired", "attachedRequired"), &had.field("attachRequired"));
    report.immutable(&at.field("volumeLifecycleModes"), &had.field("volumeLifecycleModes"));
}

/// What drivers a node has.
pub(super) fn node_drivers(object: &Place, report: &mut Report) {
    let mut seen = BTreeSet::new();
    let spec = object.field("spec");
    for driver in spec.field("drivers").items() {
        let name = driver.field("name");
        csi_driver_name(&name, report);
        if !seen.insert(name.as_text()) {
            report.duplicate(&name);
        }
        let id = driver.field("nodeID");
        report.present(&id);
        if id.len() > NODE_ID_MAX {
            report.invalid(&id, &format!("must be {NODE_ID_MAX} characters or less"));
        }
        let allocatable = driver.field("allocatable");
        report.not_negative(&allocatable.field("count"));
        let mut keys = BTreeSet::new();
        let topology = driver.field("topologyKeys");
        for key in topology.items() {
            let text = key.as_text();
            if !keys.insert(text) {
                report.duplicate_as(&topology, text);
            }
            report.problems_of(&topology, text, names::qualified_name(text));
        }
    }
}

pub(super) fn node_drivers_changes(new: &Place, old: &Place, report: &mut Report) {
    let (spec, had) = (new.field("spec"), old.field("spec"));
    let drivers = spec.field("drivers");
    for before in had.field("drivers").items() {
        let now = drivers.items().find(|driver| driver.text("name") == before.text("name"));
        let Some(now) = now else { continue };
        for field in ["nodeID", "topologyKeys"] {
            if !same(now.field(field).value(), before.field(field).value()) {
                report.invalid(&drivers, "field is immutable");
                return;
            }
        }
    }
}

/// How much room a driver has somewhere.
pub(super) fn capacity(object: &Place, report: &mut Report) {
    selectors::label_selector(&object.field("nodeTopology"), report);
    let class = object.field("storageClassName");
    if class.is_empty() {
        report.required(&class, "");
    } else {
        report.problems(&class, names::dns1123_subdomain(class.as_text()));
    }
    for field in ["capacity", "maximumVolumeSize"] {
        let amount = object.field(field);
        if let Some(quantity) = amount.as_quantity() {
            super::resources::not_negative(&amount, &quantity, report);
        }
    }
}

pub(super) fn capacity_changes(new: &Place, old: &Place, report: &mut Report) {
    for field in ["nodeTopology", "storageClassName"] {
        report.immutable(&new.field(field), &old.field(field));
    }
}

/// An attachment of a volume to a node.
pub(super) fn attachment(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    csi_driver_name(&spec.field("attacher"), report);
    let source = spec.field("source");
    let (name, inline) = (source.field("persistentVolumeName"), source.field("inlineVolumeSpec"));
    match (name.is_set(), inline.is_set()) {
        (false, false) => {
            report.required(&source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
        }
        (true, true) => {
            report
                .forbidden(&source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
        }
        (true, false) => {
            if name.is_empty() {
                report.required(&name, "must specify non empty persistentVolumeName");
            } else {
                report.problems(&name, names::dns1123_subdomain(name.as_text()));
            }
        }
        (false, true) => persistent_volume::spec(&inline, "", true, report),
    }
    let node = spec.field("nodeName");
    report.problems(&node, names::dns1123_subdomain(node.as_text()));
    attachment_status(object, object, report);
}

pub(super) fn attachment_status(object: &Place, _old: &Place, report: &mut Report) {
    let status = object.field("status");
    let attached = status.field("attachmentMetadata");
    let size: usize = attached.entries().map(|(key, value)| key.len() + value.as_text().len()).sum();
    if size > ATTACHED_MAX {
        report.too_long(&attached, ATTACHED_MAX);
    }
    for field in ["attachError", "detachError"] {
        let message = status.field(field);
        if message.field("message").len() > MESSAGE_MAX {
            report.too_long(&message.field("message"), MESSAGE_MAX);
        }
    }
}

pub(super) fn attachment_changes(new: &Place, old: &Place, report: &mut Report) {
    if !same(new.field("spec").value(), old.field("spec").value()) {
        report.invalid(&new.field("spec"), "field is immutable");
    }
}
