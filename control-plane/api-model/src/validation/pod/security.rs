//! Rules of security contexts.

use super::volume_sources::descending_path;
use super::windows;
use crate::validation::place::Place;
use crate::validation::report::{Report, internal};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Ids of users and groups, at most.
const ID_MAX: i64 = i32::MAX as i64;
/// A kernel parameter's name, in bytes.
const SYSCTL_MAX: usize = 253;
const SYSCTL_PATTERN: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
/// An AppArmor profile's name, in bytes.
const PROFILE_MAX: usize = 4095;

/// The security context of a whole pod.
pub(super) fn pod(spec: &Place, report: &mut Report) {
    let at = spec.field("securityContext");
    if !at.is_set() {
        return;
    }
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        report.in_range(&at.field(field), 0, ID_MAX);
    }
    for group in at.field("supplementalGroups").items() {
        report.in_range(&group, 0, ID_MAX);
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let shared = at.named_field(spec, "shareProcessNamespace");
        report.invalid(&shared, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    sysctls(spec, &at.field("sysctls"), report);
    report.optional_of(&at.field("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    seccomp(&at.field("seccompProfile"), report);
    windows::options(&at.field("windowsOptions"), report);
    app_armor(&at.field("appArmorProfile"), report);
    report.optional_of(&at.field("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    report.optional_of(&at.field("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
}

/// The security context of one container.
pub(super) fn container(at: &Place, host_users: bool, report: &mut Report) {
    if !at.is_set() {
        return;
    }
    for field in ["runAsUser", "runAsGroup"] {
        report.in_range(&at.field(field), 0, ID_MAX);
    }
    let proc_mount = at.field("procMount");
    if proc_mount.is_set() {
        report.optional_of(&proc_mount, &["Default", "Unmasked"]);
        if host_users && proc_mount.as_text() == "Unmasked" {
            report.invalid(&proc_mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(&at.field("seccompProfile"), report);
    if at.field("allowPrivilegeEscalation").value() == &json!(false) {
        if at.flag("privileged") {
            report.invalid_shown(
                at,
                &shown(at),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        for capability in at.field("capabilities").field("add").items() {
            if capability.as_text() == "CAP_SYS_ADMIN" {
                let detail =
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
                report.invalid_shown(at, &shown(at), detail);
            }
        }
    }
    windows::options(&at.field("windowsOptions"), report);
    app_armor(&at.field("appArmorProfile"), report);
}

/// The security context in the names of upstream's own types.
fn shown(at: &Place) -> String {
    const FIELDS: [(&str, &str); 12] = [
        ("Capabilities", "capabilities"),
        ("Privileged", "privileged"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("WindowsOptions", "windowsOptions"),
        ("RunAsUser", "runAsUser"),
        ("RunAsGroup", "runAsGroup"),
        ("RunAsNonRoot", "runAsNonRoot"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
        ("ProcMount", "procMount"),
        ("SeccompProfile", "seccompProfile"),
        ("AppArmorProfile", "appArmorProfile"),
    ];
    let fields: Vec<(&str, Value)> = FIELDS
        .iter()
        .map(|(name, field)| match (at.field(field), *field) {
            (value, "capabilities") if value.is_set() => {
                let listed = |list: &'static str| value.field(list).value().clone();
                (*name, json!({"Add": listed("add"), "Drop": listed("drop")}))
            }
            (value, _) => (*name, value.value().clone()),
        })
        .collect();
    internal(&fields)
}

fn sysctls(spec: &Place, at: &Place, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for sysctl in at.items() {
        let name = sysctl.field("name");
        let text = name.as_text();
        if text.is_empty() {
            report.required(&name, "");
        } else if !is_sysctl(text) {
            let detail =
                format!("must have at most {SYSCTL_MAX} characters and match regex {SYSCTL_PATTERN}");
            report.invalid(&name, &detail);
        } else if seen.contains(text) {
            report.duplicate(&name);
        }
        let dotted = text.replace('/', ".");
        let of_ipc =
            ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix))
                || dotted == "kernel.sem";
        if spec.flag("hostNetwork") && dotted.starts_with("net.") {
            report.invalid(&name, "may not be specified when 'hostNetwork' is true");
        } else if spec.flag("hostIPC") && of_ipc {
            report.invalid(&name, "may not be specified when 'hostIPC' is true");
        }
        seen.insert(text);
    }
}

fn is_sysctl(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= SYSCTL_MAX
        && text.split(['.', '/']).all(|segment| {
            let bytes = segment.as_bytes();
            edge(bytes.first())
                && edge(bytes.last())
                && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b))
        })
}

fn seccomp(at: &Place, report: &mut Report) {
    if !at.is_set() {
        return;
    }
    let kind = at.field("type");
    match kind.as_text() {
        "Localhost" | "RuntimeDefault" | "Unconfined" => {}
        "" => report.required(&kind, "type is required when seccompProfile is set"),
        _ => report.unsupported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
    let profile = at.field("localhostProfile");
    match (kind.as_text() == "Localhost", profile.is_set()) {
        (true, false) => report.required(&profile, "must be set when seccomp type is Localhost"),
        (true, true) => descending_path(&profile, profile.as_text(), report),
        (false, true) => {
            let shown =
                internal(&[("Type", kind.value().clone()), ("LocalhostProfile", profile.value().clone())]);
            report.invalid_shown(&profile, &shown, "can only be set when seccomp type is Localhost");
        }
        (false, false) => {}
    }
}

fn app_armor(at: &Place, report: &mut Report) {
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.field("type"), at.field("localhostProfile"));
    match kind.as_text() {
        "Localhost" if !profile.is_set() => report.required(&profile, MISSING),
        "Localhost" => {
            let text = profile.as_text();
            if text.trim() != text {
                report.invalid(&profile, "must not be padded with whitespace");
            } else if text.is_empty() {
                report.required(&profile, MISSING);
            }
            if text.len() > PROFILE_MAX {
                report.too_long(&profile, PROFILE_MAX);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if profile.is_set() {
                report.invalid(&profile, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => report.required(&kind, "type is required when appArmorProfile is set"),
        _ => report.unsupported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}
