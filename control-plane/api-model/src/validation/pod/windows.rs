//! Rules of what Windows has and Linux has not, and the other way round.

use super::each_container;
use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;

/// A group account's specification, in KiB.
const SPECIFICATION_MAX_KIB: usize = 64;
/// A user's domain and name, in bytes.
const DOMAIN_MAX: usize = 256;
const USER_MAX: usize = 104;

/// `windowsOptions` of pods and containers.
pub(super) fn options(at: &Place, report: &mut Report) {
    let name = at.field("gmsaCredentialSpecName");
    if name.is_set() {
        report.problems(&name, names::dns1123_subdomain(name.as_text()));
    }
    let specification = at.field("gmsaCredentialSpec");
    if specification.is_set() && specification.is_empty() {
        report.invalid(&specification, "gmsaCredentialSpec cannot be an empty string");
    } else if specification.len() > SPECIFICATION_MAX_KIB * 1024 {
        report.invalid(
            &specification,
            &format!("gmsaCredentialSpec size must be under {SPECIFICATION_MAX_KIB} KiB"),
        );
    }
    let user = at.field("runAsUserName");
    if user.is_set() {
        user_name(&user, report);
    }
}

fn user_name(at: &Place, report: &mut Report) {
    let text = at.as_text();
    let parts: Vec<&str> = text.split('\\').collect();
    if text.is_empty() {
        return report.invalid(at, "runAsUserName cannot be an empty string");
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return report.invalid(at, "runAsUserName cannot contain control characters");
    }
    let (domain, user) = match parts[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return report.invalid(at, "runAsUserName cannot contain more than one backslash"),
    };
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN_MAX {
            report
                .invalid(at, &format!("runAsUserName's Domain length must be under {DOMAIN_MAX} characters"));
        }
        if !is_net_bios(domain) && !is_dns(domain) {
            report.invalid(at, "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        report.invalid(at, "runAsUserName's User cannot be empty");
    } else if user.len() > USER_MAX {
        report.invalid(
            at,
            &format!("runAsUserName's User length must not be longer than {USER_MAX} characters"),
        );
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        report.invalid(at, "runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        report
            .invalid(at, "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
}

fn is_net_bios(text: &str) -> bool {
    let count = text.chars().count();
    (1..=15).contains(&count)
        && !text.starts_with('.')
        && !text.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

fn is_dns(text: &str) -> bool {
    text.split('.').all(|label| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    })
}

/// Containers that are processes of the host: all of a pod's or none.
pub(super) fn host_process(spec: &Place, report: &mut Report) {
    let of = |at: &Place| {
        at.field("securityContext").field("windowsOptions").field("hostProcess").value().as_bool()
    };
    let whole = of(spec);
    let (mut all, mut on_host) = (0, 0);
    each_container(spec, |container| {
        all += 1;
        let own = of(container);
        if let (Some(own), Some(whole)) = (own, whole)
            && own != whole
        {
            let context = container.field("securityContext");
            let options = context.field("windowsOptions");
            let detail =
                format!("pod hostProcess value must be identical if both are specified, was {whole}");
            report.invalid(&options.field("hostProcess"), &detail);
        }
        on_host += usize::from(own.or(whole) == Some(true));
    });
    if on_host == 0 {
        return;
    }
    if on_host != all {
        let detail =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        report.invalid_as(spec, "", detail);
    }
    if !spec.flag("hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        report.invalid_as(&spec.field("hostNetwork"), false, detail);
    }
}

/// A pod that says it runs on Linux.
pub(super) fn not_on_linux(spec: &Place, report: &mut Report) {
    const DETAIL: &str = "windows options cannot be set for a linux pod";
    let mut judge = |owner: &Place| {
        let context = owner.field("securityContext");
        if context.has("windowsOptions") {
            report.forbidden(&context.field("windowsOptions"), DETAIL);
        }
    };
    judge(spec);
    each_container(spec, |container| judge(container));
}

/// A pod that says it runs on Windows.
pub(super) fn on_windows(spec: &Place, report: &mut Report) {
    const DETAIL: &str = "cannot be set for a windows pod";
    const OF_POD: [&str; 11] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
    ];
    const OF_CONTAINER: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let context = spec.field("securityContext");
    for field in &OF_POD[..2] {
        if context.has(field) {
            report.forbidden(&context.field(field), DETAIL);
        }
    }
    if spec.has("hostUsers") {
        report.forbidden(&spec.field("hostUsers"), DETAIL);
    }
    for field in ["hostPID", "hostIPC"] {
        if spec.flag(field) {
            report.forbidden(&spec.field(field), DETAIL);
        }
    }
    for field in &OF_POD[2..6] {
        if context.has(field) {
            report.forbidden(&context.field(field), DETAIL);
        }
    }
    if spec.has("shareProcessNamespace") {
        report.forbidden(&spec.field("shareProcessNamespace"), DETAIL);
    }
    for field in &OF_POD[6..] {
        if context.has(field) {
            report.forbidden(&context.field(field), DETAIL);
        }
    }
    each_container(spec, |container| {
        let context = container.field("securityContext");
        for field in OF_CONTAINER {
            if context.has(field) {
                report.forbidden(&context.field(field), DETAIL);
            }
        }
    });
}
