//! Rules of the sources that volumes of pods and persistent volumes share.

use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use serde_json::Value;

/// A volume's name and its portal together, when an initiator is named, in bytes.
pub(in crate::validation) const ISCSI_NAME_MAX: usize = 64;
pub(in crate::validation) const ISCSI_NAME_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
/// A tenant's name, in bytes.
const TENANT_MAX: usize = 64;
/// A driver's name, in bytes.
const DRIVER_MAX: usize = 63;

/// Whether a path goes up somewhere.
pub(in crate::validation) fn has_backsteps(path: &str) -> bool {
    path.split('/').any(|step| step == "..")
}

/// A path without steps up.
pub(in crate::validation) fn no_backsteps(at: &Place, path: &str, report: &mut Report) {
    if has_backsteps(path) {
        report.invalid_as(at, path, "must not contain '..'");
    }
}

/// A relative path without steps up.
pub(in crate::validation) fn descending_path(at: &Place, path: &str, report: &mut Report) {
    if path.starts_with('/') {
        report.invalid_as(at, path, "must be a relative path");
    }
    no_backsteps(at, path, report);
}

/// A relative path that the kubelet does not keep for itself.
pub(in crate::validation) fn local_path(at: &Place, path: &str, report: &mut Report) {
    descending_path(at, path, report);
    if path.starts_with("..") && !path.starts_with("../") {
        report.invalid_as(at, path, "must not start with '..'");
    }
}

pub(in crate::validation) fn host_path(at: &Place, report: &mut Report) {
    let path = at.field("path");
    if path.is_empty() {
        return report.required(&path, "");
    }
    no_backsteps(&path, path.as_text(), report);
    let kinds =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    report.optional_of(&at.field("type"), &kinds);
}

pub(super) fn git_repo(at: &Place, report: &mut Report) {
    report.present(&at.field("repository"));
    let directory = at.field("directory");
    descending_path(&directory, directory.as_text(), report);
}

pub(in crate::validation) fn gce_disk(at: &Place, report: &mut Report) {
    report.present(&at.field("pdName"));
    partition(at, report);
}

pub(in crate::validation) fn aws_disk(at: &Place, report: &mut Report) {
    report.present(&at.field("volumeID"));
    partition(at, report);
}

fn partition(at: &Place, report: &mut Report) {
    let partition = at.field("partition");
    if partition.as_number().is_some_and(|number| !(0..=255).contains(&number)) {
        report.invalid(&partition, "must be between 1 and 255, inclusive");
    }
}

pub(in crate::validation) fn nfs(at: &Place, report: &mut Report) {
    report.present(&at.field("server"));
    let path = at.field("path");
    report.present(&path);
    if !path.as_text().starts_with('/') {
        report.invalid_text(&path, "must be an absolute path");
    }
}

/// An initiator's or a target's name: what is wrong with it.
fn iscsi_name(text: &str, starting: &'static str) -> Option<&'static str> {
    let alphanumeric =
        |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let fits = if text.starts_with("iqn") {
        is_iqn(text)
    } else if let Some(rest) = text.strip_prefix("eui") {
        rest.is_char_boundary(1) && rest.len() > 1 && alphanumeric(&rest[1..], 16)
    } else if let Some(rest) = text.strip_prefix("naa") {
        rest.is_char_boundary(1) && rest.len() > 1 && alphanumeric(&rest[1..], 32)
    } else {
        return Some(starting);
    };
    (!fits).then_some("must be valid format")
}

/// `iqn.2001-04.com.example:storage`.
fn is_iqn(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("iqn.") else { return false };
    let Some((date, rest)) = rest.split_once('.') else { return false };
    let Some((authority, name)) = rest.split_once(':') else { return false };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let dated =
        date.split_once('-').is_some_and(|(y, m)| y.len() == 4 && m.len() == 2 && digits(y) && digits(m));
    dated
        && !authority.is_empty()
        && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        && !name.is_empty()
        && !name.contains([',', ';', '*', '&', '$', '|', ' ', '\t', '\n'])
}

pub(super) fn iscsi(at: &Place, report: &mut Report) {
    const STARTING: &str = "must be valid format starting with iqn, eui, or naa";
    report.present(&at.field("targetPortal"));
    iscsi_target(at, STARTING, report);
    iscsi_initiator(at, STARTING, report);
}

/// The same in a persistent volume named `volume`.
pub(in crate::validation) fn iscsi_persistent(at: &Place, volume: &str, report: &mut Report) {
    const STARTING: &str = "must be valid format";
    let portal = at.field("targetPortal");
    report.present(&portal);
    if at.has("initiatorName") && volume.len() + 1 + portal.len() > ISCSI_NAME_MAX {
        report.invalid_text(&at.field_as("targetPortal", "targetportal"), ISCSI_NAME_TOO_LONG);
    }
    iscsi_target(at, STARTING, report);
    if at.has("secretRef") {
        report.present(&at.field("secretRef").field("name"));
    }
    iscsi_initiator(at, STARTING, report);
}

fn iscsi_target(at: &Place, starting: &'static str, report: &mut Report) {
    let name = at.field("iqn");
    if name.is_empty() {
        report.required(&name, "");
    } else if let Some(problem) = iscsi_name(name.as_text(), starting) {
        report.invalid(&name, problem);
    }
    report.in_range(&at.field("lun"), 0, 255);
    if (at.flag("chapAuthDiscovery") || at.flag("chapAuthSession")) && !at.has("secretRef") {
        report.required(&at.field("secretRef"), "");
    }
}

fn iscsi_initiator(at: &Place, starting: &'static str, report: &mut Report) {
    let name = at.field_as("initiatorName", "initiatorname");
    if let Some(problem) = name.value().as_str().and_then(|text| iscsi_name(text, starting)) {
        report.invalid(&name, problem);
    }
}

pub(super) fn glusterfs(at: &Place, report: &mut Report) {
    report.present(&at.field("endpoints"));
    report.present(&at.field("path"));
}

pub(in crate::validation) fn glusterfs_persistent(at: &Place, report: &mut Report) {
    glusterfs(at, report);
    let namespace = at.field("endpointsNamespace");
    if namespace.is_set() && namespace.is_empty() {
        report.invalid(&namespace, "if the endpointnamespace is set, it must be a valid namespace name");
    } else if namespace.is_set() {
        report.problems(&namespace, names::dns1123_label(namespace.as_text()));
    }
}

pub(in crate::validation) fn flocker(at: &Place, report: &mut Report) {
    let (name, uuid) = (at.field("datasetName"), at.field("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        report.required(at, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        report.invalid_as(at, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.as_text().contains('/') {
        report.invalid(&name, "must not contain '/'");
    }
}

pub(in crate::validation) fn rbd(at: &Place, report: &mut Report) {
    if at.field("monitors").is_empty() {
        report.required(&at.field("monitors"), "");
    }
    report.present(&at.field("image"));
}

pub(super) fn cinder(at: &Place, report: &mut Report) {
    report.present(&at.field("volumeID"));
    if at.has("secretRef") {
        report.present(&at.field("secretRef").field("name"));
    }
}

pub(in crate::validation) fn cinder_persistent(at: &Place, report: &mut Report) {
    cinder(at, report);
    if at.has("secretRef") {
        report.present(&at.field("secretRef").field("namespace"));
    }
}

pub(in crate::validation) fn ceph(at: &Place, report: &mut Report) {
    if at.field("monitors").is_empty() {
        report.required(&at.field("monitors"), "");
    }
}

pub(in crate::validation) fn quobyte(at: &Place, report: &mut Report) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = at.field("registry");
    if registry.is_empty() {
        report.required(&registry, PAIRS);
    } else if at.text("tenant").len() > TENANT_MAX {
        report.required(&at.field("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for pair in registry.as_text().split(',') {
            let fits = match pair.strip_prefix('[') {
                Some(rest) => rest.split_once("]:").is_some_and(|(_, port)| !port.contains(':')),
                None => pair.split_once(':').is_some_and(|(_, port)| !port.contains(':')),
            };
            if !fits {
                report.invalid(&registry, PAIRS);
            }
        }
    }
    report.present(&at.field("volume"));
}

pub(in crate::validation) fn fibre_channel(at: &Place, report: &mut Report) {
    let (names, ids, lun) = (at.field("targetWWNs"), at.field("wwids"), at.field("lun"));
    if names.is_empty() && ids.is_empty() {
        report.required(&names, "must specify either targetWWNs or wwids, but not both");
    }
    if !names.is_empty() && !ids.is_empty() {
        report.invalid(&names, "targetWWNs and wwids can not be specified simultaneously");
    }
    if !names.is_empty() {
        if lun.is_set() {
            report.in_range(&lun, 0, 255);
        } else {
            report.required(&lun, "lun is required if targetWWNs is specified");
        }
    }
}

pub(in crate::validation) fn flex(at: &Place, report: &mut Report) {
    report.present(&at.field("driver"));
    for (key, value) in at.field("options").entries() {
        let namespace = format!(".{}", key.split('/').next().unwrap_or(key).to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            report.invalid_as(&value, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

pub(super) fn azure_file(at: &Place, report: &mut Report) {
    report.present(&at.field("secretName"));
    report.present(&at.field("shareName"));
}

pub(in crate::validation) fn azure_file_persistent(at: &Place, report: &mut Report) {
    azure_file(at, report);
    if at.has("secretNamespace") {
        report.present(&at.field("secretNamespace"));
    }
}

pub(in crate::validation) fn azure_disk(at: &Place, report: &mut Report) {
    let (uri, kind) = (at.field("diskURI"), at.field("kind"));
    report.present(&at.field("diskName"));
    report.present(&uri);
    report.optional_of(&at.field("cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
    report.optional_of(&kind, &["Dedicated", "Managed", "Shared"]);
    if !kind.is_set() {
        return;
    }
    if kind.as_text() == "Managed" {
        if !uri.as_text().starts_with("/subscriptions/") {
            let known = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
            report.unsupported(&uri, &[known]);
        }
    } else if !uri.as_text().starts_with("https://") {
        let known = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
        report.unsupported(&uri, &[known]);
    }
}

pub(in crate::validation) fn vsphere(at: &Place, report: &mut Report) {
    report.present(&at.field("volumePath"));
}

pub(in crate::validation) fn photon(at: &Place, report: &mut Report) {
    report.present(&at.field("pdID"));
}

pub(in crate::validation) fn portworx(at: &Place, report: &mut Report) {
    report.present(&at.field("volumeID"));
}

pub(in crate::validation) fn scale_io(at: &Place, report: &mut Report) {
    for field in ["gateway", "system", "volumeName"] {
        report.present(&at.field(field));
    }
}

pub(super) fn storage_os(at: &Place, report: &mut Report) {
    report.named(&at.field("volumeName"), names::dns1123_label);
    let namespace = at.field("volumeNamespace");
    if !namespace.is_empty() {
        report.problems(&namespace, names::dns1123_label(namespace.as_text()));
    }
    if at.has("secretRef") {
        report.present(&at.field("secretRef").field("name"));
    }
}

pub(in crate::validation) fn storage_os_persistent(at: &Place, report: &mut Report) {
    storage_os(at, report);
    if at.has("secretRef") {
        report.present(&at.field("secretRef").field("namespace"));
    }
}

/// A directory of a node, by itself a volume.
pub(in crate::validation) fn local(at: &Place, report: &mut Report) {
    let path = at.field("path");
    if path.is_empty() {
        return report.required(&path, "");
    }
    no_backsteps(&path, path.as_text(), report);
}

/// The name of a CSI driver.
pub(in crate::validation) fn csi_driver_name(at: &Place, report: &mut Report) {
    report.present(at);
    if at.len() > DRIVER_MAX {
        report.too_long(at, DRIVER_MAX);
    }
    report.problems_of(at, at.as_text(), names::dns1123_subdomain(&at.as_text().to_lowercase()));
}

/// A persistent volume of a CSI driver.
pub(in crate::validation) fn csi_persistent(at: &Place, report: &mut Report) {
    csi_driver_name(&at.field("driver"), report);
    report.present(&at.field("volumeHandle"));
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let secret = at.field(field);
        if secret.value() != &Value::Null {
            report.named(&secret.field("name"), names::dns1123_subdomain);
            report.named(&secret.field("namespace"), names::dns1123_label);
        }
    }
}
