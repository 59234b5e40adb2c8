//! Rules of a pod's volumes.

use super::{Owner, projected, volume_sources as sources};
use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use crate::validation::storage;
use serde_json::Value;
use std::collections::BTreeMap;

type Rule = fn(&Place, &mut Report);

/// Every source, in upstream's order: its field, what a second source's path calls it, what the paths of its own rules call it.
const SOURCES: [(&str, &str, &str, Rule); 29] = [
    ("hostPath", "hostPath", "hostPath", sources::host_path),
    ("gitRepo", "gitRepo", "gitRepo", sources::git_repo),
    ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", sources::gce_disk),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", sources::aws_disk),
    ("secret", "secret", "secret", secret),
    ("nfs", "nfs", "nfs", sources::nfs),
    ("iscsi", "iscsi", "iscsi", sources::iscsi),
    ("glusterfs", "glusterfs", "glusterfs", sources::glusterfs),
    ("flocker", "flocker", "flocker", sources::flocker),
    ("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim", claim),
    ("rbd", "rbd", "rbd", sources::rbd),
    ("cinder", "cinder", "cinder", sources::cinder),
    ("cephfs", "cephFS", "cephfs", sources::ceph),
    ("quobyte", "quobyte", "quobyte", sources::quobyte),
    ("downwardAPI", "downwarAPI", "downwardAPI", projected::downward_volume),
    ("fc", "fc", "fc", sources::fibre_channel),
    ("flexVolume", "flexVolume", "flexVolume", sources::flex),
    ("configMap", "configMap", "configMap", config_map),
    ("azureFile", "azureFile", "azureFile", sources::azure_file),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", sources::vsphere),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", sources::photon),
    ("portworxVolume", "portworxVolume", "portworxVolume", sources::portworx),
    ("azureDisk", "azureDisk", "azureDisk", sources::azure_disk),
    ("storageos", "storageos", "storageos", sources::storage_os),
    ("projected", "projected", "projected", projected::volume),
    ("scaleIO", "scaleIO", "scaleIO", sources::scale_io),
    ("csi", "csi", "csi", csi),
    ("ephemeral", "ephemeral", "ephemeral", ephemeral),
    ("image", "image", "image", image),
];

/// Judges the volumes; those without fault can be mounted.
pub(super) fn volumes<'o>(
    at: &Place<'o, '_>,
    owner: Owner<'_>,
    report: &mut Report,
) -> BTreeMap<&'o str, &'o Value> {
    let mut good = BTreeMap::new();
    for volume in at.items() {
        let before = report.causes.len();
        source(&volume, owner, report);
        let name = volume.field("name");
        report.named(&name, names::dns1123_label);
        if good.contains_key(name.as_text()) {
            report.duplicate(&name);
        }
        if report.causes.len() == before {
            good.insert(name.as_text(), volume.value());
        }
        let claimed = volume.field("persistentVolumeClaim");
        let claimed = claimed.field("claimName");
        if !owner.name.is_empty() && !claimed.is_empty() && makes_claim(at, owner.name, claimed.as_text()) {
            report.invalid(&claimed, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    good
}

/// Whether an ephemeral volume's claim gets that name.
fn makes_claim(volumes: &Place, pod: &str, claim: &str) -> bool {
    let Some(volume) = claim.strip_prefix(pod).and_then(|rest| rest.strip_prefix('-')) else { return false };
    volumes.items().any(|one| one.has("ephemeral") && one.text("name") == volume)
}

fn source(at: &Place, owner: Owner<'_>, report: &mut Report) {
    let mut found = 0;
    if at.has("emptyDir") {
        found += 1;
        let directory = at.field("emptyDir");
        let limit = directory.field("sizeLimit");
        if limit.as_quantity().is_some_and(|limit| limit.sign() < 0) {
            report.forbidden(&limit, "SizeLimit field must be a valid resource quantity");
        }
    }
    let name = at.text("name");
    // Few volumes have more than a name and one source, so the source is looked for once.
    for (field, second, own, rule) in SOURCES.iter().filter(|(field, ..)| at.has(field)) {
        found += 1;
        if found > 1 {
            report.forbidden(&at.field_as(field, second), "may not specify more than 1 volume type");
        } else {
            rule(&at.field_as(field, own), report);
            if *field == "image" && owner.is_pod {
                report.present(&at.field("image").field("reference"));
            }
        }
        let source = at.field(field);
        let too_long = name.len() + 1 + source.text("targetPortal").len() > sources::ISCSI_NAME_MAX;
        if *field == "iscsi" && source.has("initiatorName") && too_long {
            report.invalid_text(&at.field("name"), sources::ISCSI_NAME_TOO_LONG);
        }
        if *field == "ephemeral" && found == 1 && !owner.name.is_empty() && !name.is_empty() {
            let claim = format!("{}-{name}", owner.name);
            for problem in names::dns1123_subdomain(&claim) {
                report.invalid_text(
                    &at.field("name"),
                    &format!("PVC name {}: {problem}", crate::cause::quoted(&claim)),
                );
            }
        }
    }
    if found == 0 {
        report.required(at, "must specify a volume type");
    }
}

fn secret(at: &Place, report: &mut Report) {
    report.present(&at.field("secretName"));
    projected::mode(&at.field("defaultMode"), report);
    for item in at.field("items").items() {
        projected::key_to_path(&item, report);
    }
}

fn config_map(at: &Place, report: &mut Report) {
    report.present(&at.field("name"));
    projected::mode(&at.field("defaultMode"), report);
    for item in at.field("items").items() {
        projected::key_to_path(&item, report);
    }
}

fn claim(at: &Place, report: &mut Report) {
    report.present(&at.field("claimName"));
}

fn csi(at: &Place, report: &mut Report) {
    sources::csi_driver_name(&at.field("driver"), report);
    let secret = at.field("nodePublishSecretRef");
    if secret.is_set() {
        let name = secret.field("name");
        if name.is_empty() {
            report.required(&name, "");
        } else {
            let text = name.as_text();
            report.problems_of(&at.field("name"), text, names::dns1123_subdomain(text));
        }
    }
}

fn ephemeral(at: &Place, report: &mut Report) {
    let template = at.field("volumeClaimTemplate");
    if template.is_set() {
        storage::claim_template(&template, report);
    } else {
        report.required(&template, "");
    }
}

fn image(at: &Place, report: &mut Report) {
    report.one_of(&at.field("pullPolicy"), &["Always", "IfNotPresent", "Never"]);
}
