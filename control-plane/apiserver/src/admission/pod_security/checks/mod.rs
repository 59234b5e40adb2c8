//! The single checks, each with the versions it exists in.

mod baseline;
mod profiles;
mod restricted;

use std::collections::BTreeSet;

use serde_json::Value;

use super::policy::{Level, LevelVersion, Version};
use crate::attributes::{items, text};

/// Why a pod breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub reason: String,
    pub detail: String,
}

impl Violation {
    fn new(reason: impl Into<String>, detail: impl Into<String>) -> Option<Self> {
        Some(Self { reason: reason.into(), detail: detail.into() })
    }
}

/// What all checks of a standard say together.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Vec<Violation>);

impl Verdict {
    pub fn allowed(&self) -> bool {
        self.0.is_empty()
    }

    /// Every reason with its detail.
    pub fn detail(&self) -> String {
        let each = self.0.iter().map(|one| format!("{} ({})", one.reason, one.detail));
        each.collect::<Vec<_>>().join(", ")
    }

    /// The reasons alone.
    pub fn reason(&self) -> String {
        self.0.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join(", ")
    }
}

type CheckPod = fn(&Value) -> Option<Violation>;

/// A rule: from which minor version on which function applies, and which baseline rule it stands in for.
struct Check {
    id: &'static str,
    since: &'static [(u32, CheckPod)],
    instead_of: &'static str,
}

impl Check {
    const fn new(id: &'static str, since: &'static [(u32, CheckPod)]) -> Self {
        Self { id, since, instead_of: "" }
    }

    fn at(&self, version: Version) -> Option<CheckPod> {
        let minor = match version {
            Version::Latest => u32::MAX,
            Version::Minor(minor) => minor,
        };
        self.since.iter().rev().find(|(since, _)| *since <= minor).map(|(_, check)| *check)
    }
}

/// In order of their identifiers, which is the order of upstream's texts.
const BASELINE: &[Check] = &[
    Check::new("appArmorProfile", &[(0, profiles::app_armor)]),
    Check::new("capabilities_baseline", &[(0, baseline::capabilities)]),
    Check::new("hostNamespaces", &[(0, baseline::host_namespaces)]),
    Check::new("hostPathVolumes", &[(0, baseline::host_paths)]),
    Check::new("hostPorts", &[(0, baseline::host_ports)]),
    Check::new("hostProbesAndHostLifecycle", &[(34, baseline::probe_hosts)]),
    Check::new("privileged", &[(0, baseline::privileged)]),
    Check::new("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_1_35)]),
    Check::new("seLinuxOptions", &[(0, profiles::selinux), (31, profiles::selinux_1_31)]),
    Check::new(
        "seccompProfile_baseline",
        &[(0, profiles::seccomp_annotations), (19, profiles::seccomp_baseline)],
    ),
    Check::new(
        "sysctls",
        &[
            (0, baseline::sysctls),
            (27, baseline::sysctls_1_27),
            (29, baseline::sysctls_1_29),
            (32, baseline::sysctls_1_32),
        ],
    ),
    Check::new("windowsHostProcess", &[(0, baseline::host_process)]),
];

const RESTRICTED: &[Check] = &[
    Check::new(
        "allowPrivilegeEscalation",
        &[(8, restricted::privilege_escalation), (25, restricted::privilege_escalation_1_25)],
    ),
    Check {
        instead_of: "capabilities_baseline",
        ..Check::new(
            "capabilities_restricted",
            &[(22, restricted::capabilities), (25, restricted::capabilities_1_25)],
        )
    },
    Check { instead_of: "hostPathVolumes", ..Check::new("restrictedVolumes", &[(0, restricted::volumes)]) },
    Check::new("runAsNonRoot", &[(0, restricted::non_root), (35, restricted::non_root_1_35)]),
    Check::new("runAsUser", &[(23, restricted::user), (35, restricted::user_1_35)]),
    Check {
        instead_of: "seccompProfile_baseline",
        ..Check::new(
            "seccompProfile_restricted",
            &[(19, profiles::seccomp_restricted), (25, profiles::seccomp_restricted_1_25)],
        )
    },
];

/// Holds a pod, or a template, against a standard.
pub(super) fn evaluate(by: LevelVersion, pod: &Value) -> Verdict {
    if by.level == Level::Privileged {
        return Verdict::default();
    }
    let restricted: Vec<(&Check, CheckPod)> = match by.level {
        Level::Restricted => {
            RESTRICTED.iter().filter_map(|check| Some((check, check.at(by.version)?))).collect()
        }
        _ => Vec::new(),
    };
    let replaced = |id: &str| restricted.iter().any(|(check, _)| check.instead_of == id);
    let baseline =
        BASELINE.iter().filter(|check| !replaced(check.id)).filter_map(|check| check.at(by.version));
    let all = baseline.chain(restricted.iter().map(|(_, check)| *check));
    Verdict(all.filter_map(|check| check(pod)).collect())
}

/// All containers, in the order of upstream's texts.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"]
        .into_iter()
        .flat_map(|list| items(pod, list))
}

fn which(pod: &Value, wrong: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(pod).filter(|one| wrong(one)).map(|one| text(one, "/name")).collect()
}

fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

fn is_windows(pod: &Value) -> bool {
    text(pod, "/spec/os/name") == "windows"
}

/// A pod with a user namespace of its own: root in it is nobody outside.
fn has_own_users(pod: &Value) -> bool {
    pod.pointer("/spec/hostUsers") == Some(&Value::Bool(false))
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`.
fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("{:?}", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// `container "a"` or `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `pod and container "a"`: who sets something.
fn setters(pod: bool, names: &[&str]) -> Option<String> {
    match (pod, names.is_empty()) {
        (false, true) => None,
        (true, true) => Some("pod".to_owned()),
        (true, false) => Some(format!("pod and {}", named(names))),
        (false, false) => Some(named(names)),
    }
}

/// What stands at a place of the pod's spec and of its containers, where `wrong` says so.
fn wrong_values<'p>(
    pod: &'p Value,
    pointer: &str,
    wrong: impl Fn(&str) -> bool,
) -> (bool, Vec<&'p str>, BTreeSet<&'p str>) {
    let stated = |value: &'p Value| value.pointer(pointer).and_then(Value::as_str).filter(|text| wrong(text));
    let own = stated(&pod["spec"]);
    let mut values: BTreeSet<&str> = own.into_iter().collect();
    let mut names = Vec::new();
    for container in containers(pod) {
        if let Some(value) = stated(container) {
            values.insert(value);
            names.push(text(container, "/name"));
        }
    }
    (own.is_some(), names, values)
}
