//! Rules of persistent volumes.

use super::names;
use super::place::Place;
use super::pod::volume_sources as sources;
use super::report::{IMMUTABLE, Report};
use super::resources;
use super::same::same;
use super::selectors;
use super::storage::{VOLUME_MODES, access_modes, changed_fields};
use serde_json::Value;

type Rule = fn(&Place, &mut Report);

/// Every source, in upstream's order: its field, what a second source's path calls it, what the paths of its own rules call it.
const SOURCES: [(&str, &str, &str, Rule); 22] = [
    ("hostPath", "hostPath", "hostPath", sources::host_path),
    ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", sources::gce_disk),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", sources::aws_disk),
    ("glusterfs", "glusterfs", "glusterfs", sources::glusterfs_persistent),
    ("flocker", "flocker", "flocker", sources::flocker),
    ("nfs", "nfs", "nfs", sources::nfs),
    ("rbd", "rbd", "rbd", sources::rbd),
    ("quobyte", "quobyte", "quobyte", sources::quobyte),
    ("cephfs", "cephFS", "cephfs", sources::ceph),
    ("iscsi", "iscsi", "iscsi", by_name),
    ("cinder", "cinder", "cinder", sources::cinder_persistent),
    ("fc", "fc", "fc", sources::fibre_channel),
    ("flexVolume", "flexVolume", "flexVolume", sources::flex),
    ("azureFile", "azureFile", "azureFile", sources::azure_file_persistent),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", sources::vsphere),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", sources::photon),
    ("portworxVolume", "portworxVolume", "portworxVolume", sources::portworx),
    ("azureDisk", "azureDisk", "azureDisk", sources::azure_disk),
    ("scaleIO", "scaleIO", "scaleIO", sources::scale_io),
    ("local", "local", "local", sources::local),
    ("storageos", "storageos", "storageos", sources::storage_os_persistent),
    ("csi", "csi", "csi", sources::csi_persistent),
];

/// Its rules need the volume's name: the caller judges it.
fn by_name(_: &Place, _: &mut Report) {}

/// A persistent volume.
pub(super) fn volume(object: &Place, report: &mut Report) {
    spec(&object.field("spec"), object.field("metadata").text("name"), false, report);
}

/// A volume's specification, by itself or inline in an attachment.
pub(super) fn spec(at: &Place, name: &str, inline: bool, report: &mut Report) {
    if inline {
        inline_only(at, report);
    }
    let modes = at.field("accessModes");
    if modes.is_empty() {
        report.required(&modes, "");
    }
    access_modes(&modes, report);
    if !inline {
        capacity(&at.field("capacity"), report);
        report_policy(at, report);
    }
    let affinity = at.field("nodeAffinity");
    if affinity.is_set() && !inline {
        if affinity.has("required") {
            selectors::node_selector(&affinity.field("required"), true, report);
        } else {
            report.required(&affinity.field("required"), "must specify required node constraints");
        }
    }
    source(at, name, report);
    let policy = at.field("persistentVolumeReclaimPolicy");
    if is_root(at.field("hostPath").text("path")) && policy.as_text() == "Recycle" {
        report.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
    if !inline {
        let class = at.field("storageClassName");
        if !class.is_empty() {
            report.problems(&class, names::dns1123_subdomain(class.as_text()));
        }
        report.optional_of(&at.field("volumeMode"), &VOLUME_MODES);
    }
    let class = at.field("volumeAttributesClassName");
    if class.is_set() {
        if class.is_empty() {
            report.required(&class, "an empty string is disallowed");
        } else {
            report.problems(&class, names::dns1123_subdomain(class.as_text()));
        }
        if !at.has("csi") {
            report.required(&at.field("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn inline_only(at: &Place, report: &mut Report) {
    const DETAIL: &str = "may not be specified in the context of inline volumes";
    for field in ["claimRef", "capacity", "nodeAffinity", "storageClassName"] {
        if !same(at.field(field).value(), &Value::Null) {
            report.forbidden(&at.field(field), DETAIL);
        }
    }
    if !at.has("csi") {
        report.required(&at.field("csi"), "has to be specified in the context of inline volumes");
    }
    if !matches!(at.text("persistentVolumeReclaimPolicy"), "" | "Retain") {
        report.forbidden(
            &at.field("persistentVolumeReclaimPolicy"),
            "may only be Retain in the context of inline volumes",
        );
    }
    if !matches!(at.text("volumeMode"), "" | "Filesystem") {
        let detail = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        report.forbidden(&at.field("volumeMode"), detail);
    }
}

fn capacity(at: &Place, report: &mut Report) {
    if at.is_empty() {
        report.required(at, "");
    }
    if at.value().get("storage").is_none() || at.len() > 1 {
        report.unsupported_as(at, at.value().clone(), &["storage"]);
    }
    for (_, amount) in at.entries() {
        resources::basic(&amount, report);
        resources::positive(&amount, report);
    }
}

fn report_policy(at: &Place, report: &mut Report) {
    let policy = at.field("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        report.optional_of(&policy, &["Delete", "Recycle", "Retain"]);
    }
}

fn source(at: &Place, name: &str, report: &mut Report) {
    let mut found = 0;
    for (field, second, own, rule) in SOURCES.iter().filter(|(field, ..)| at.has(field)) {
        found += 1;
        if found > 1 && *field != "flexVolume" {
            report.forbidden(&at.field_as(field, second), "may not specify more than 1 volume type");
            continue;
        }
        let place = at.field_as(field, own);
        match *field {
            "iscsi" => sources::iscsi_persistent(&place, name, report),
            _ => rule(&place, report),
        }
        if *field == "local" && !at.has("nodeAffinity") {
            report.required(&at.field("nodeAffinity"), "Local volume requires node affinity");
        }
    }
    if found == 0 {
        report.required(at, "must specify a volume type");
    }
}

/// Whether a path leads to the root of the file system.
fn is_root(path: &str) -> bool {
    let mut depth = 0usize;
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

/// A changed volume: its source is fixed.
pub(super) fn changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    let is_source = |key: &str| SOURCES.iter().any(|(field, ..)| *field == key);
    let expands = |spec: &Place| spec.field("csi").has("controllerExpandSecretRef");
    let secret_added = expands(&at) && had.has("csi") && !expands(&had);
    let without_secret = |spec: &Place| {
        let mut left = spec.field("csi").value().clone();
        if let Some(map) = left.as_object_mut() {
            map.remove("controllerExpandSecretRef");
        }
        left
    };
    let changed = changed_fields(at.map(), had.map(), |key| {
        !is_source(key) || (key == "csi" && secret_added && same(&without_secret(&at), &without_secret(&had)))
    });
    if let Some(changed) = changed {
        let detail = format!("spec.persistentvolumesource is immutable after creation\n{changed}");
        report.forbidden(&at.field("persistentvolumesource"), &detail);
    }
    let root = Place::root(at.value());
    report.immutable(&root.field("volumeMode"), &had.field("volumeMode"));
    if had.has("nodeAffinity")
        && !same_but_for_old_labels(at.field("nodeAffinity").value(), had.field("nodeAffinity").value())
    {
        let detail = format!("{IMMUTABLE}, except for updating from beta label to GA");
        report.invalid(&root.field("nodeAffinity"), &detail);
    }
    let class = at.field("volumeAttributesClassName");
    if had.has("volumeAttributesClassName") && !class.is_set() {
        report.forbidden(&class, "update from non-nil value to nil is forbidden");
    }
}

/// Whether two affinities differ at most in labels that have finished names.
fn same_but_for_old_labels(now: &Value, had: &Value) -> bool {
    const FINISHED: [(&str, &str); 5] = [
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    match (now, had) {
        (Value::Object(now), Value::Object(had)) => {
            now.len() == had.len()
                && now.iter().all(|(key, now)| match had.get(key) {
                    Some(had) if key == "key" && now != had => {
                        FINISHED.iter().any(|(old, new)| had == old && now == new)
                    }
                    Some(had) => same_but_for_old_labels(now, had),
                    None => false,
                })
        }
        (Value::Array(now), Value::Array(had)) => {
            now.len() == had.len() && now.iter().zip(had).all(|(now, had)| same_but_for_old_labels(now, had))
        }
        _ => same(now, had),
    }
}
