//! The baseline standard: known ways out of a container are closed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Violation, containers, has_own_users, is_true, named, plural, quoted, setters, which};
use crate::attributes::{items, text};

/// Capabilities a baseline container may add.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Safe sysctls, each with the minor version from which on it counts as such.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn added(container: &Value) -> impl Iterator<Item = &str> {
    items(container, "/securityContext/capabilities/add").iter().filter_map(Value::as_str)
}

pub fn capabilities(pod: &Value) -> Option<Violation> {
    let beyond = |name: &&str| !CAPABILITIES.contains(name);
    let names = which(pod, |one| added(one).any(|name| beyond(&name)));
    if names.is_empty() {
        return None;
    }
    let extra: BTreeSet<&str> = containers(pod).flat_map(added).filter(beyond).collect();
    let detail =
        format!("{} must not include {} in securityContext.capabilities.add", named(&names), quoted(extra));
    Violation::new("non-default capabilities", detail)
}

pub fn host_namespaces(pod: &Value) -> Option<Violation> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| is_true(&pod["spec"], &format!("/{field}")));
    let set: Vec<String> = shared.map(|field| format!("{field}=true")).collect();
    if set.is_empty() { None } else { Violation::new("host namespaces", set.join(", ")) }
}

pub fn host_paths(pod: &Value) -> Option<Violation> {
    let volumes = items(pod, "/spec/volumes")
        .iter()
        .filter(|volume| volume.get("hostPath").is_some_and(|one| !one.is_null()));
    let names: Vec<&str> = volumes.map(|volume| text(volume, "/name")).collect();
    if names.is_empty() {
        return None;
    }
    Violation::new(
        "hostPath volumes",
        format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names)),
    )
}

pub fn host_ports(pod: &Value) -> Option<Violation> {
    let ports = |one: &Value| -> Vec<u64> {
        let all = items(one, "/ports").iter().filter_map(|port| port["hostPort"].as_u64());
        all.filter(|port| *port != 0).collect()
    };
    let names = which(pod, |one| !ports(one).is_empty());
    if names.is_empty() {
        return None;
    }
    // Sorted as texts, as upstream does.
    let used: BTreeSet<String> = containers(pod).flat_map(ports).map(|port| port.to_string()).collect();
    let detail = format!(
        "{} {} {} {}",
        named(&names),
        plural("uses", "use", names.len()),
        plural("hostPort", "hostPorts", used.len()),
        used.into_iter().collect::<Vec<_>>().join(", ")
    );
    Violation::new("hostPort", detail)
}

pub fn probe_hosts(pod: &Value) -> Option<Violation> {
    const PLACES: [&str; 5] =
        ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
    fn hosts(container: &Value) -> impl Iterator<Item = &str> {
        let handlers = PLACES.iter().filter_map(|place| container.pointer(place));
        let stated =
            handlers.flat_map(|handler| [text(handler, "/httpGet/host"), text(handler, "/tcpSocket/host")]);
        stated.filter(|host| !host.is_empty())
    }
    let names: BTreeSet<&str> = which(pod, |one| hosts(one).next().is_some()).into_iter().collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.into_iter().collect();
    let all: BTreeSet<&str> = containers(pod).flat_map(hosts).collect();
    let detail = format!(
        "{} {} {} {}",
        named(&names),
        plural("uses", "use", names.len()),
        plural("probe or lifecycle host", "probe or lifecycle hosts", all.len()),
        quoted(all)
    );
    Violation::new("probe or lifecycle host", detail)
}

pub fn privileged(pod: &Value) -> Option<Violation> {
    let names = which(pod, |one| is_true(one, "/securityContext/privileged"));
    if names.is_empty() {
        return None;
    }
    Violation::new("privileged", format!("{} must not set securityContext.privileged=true", named(&names)))
}

pub fn proc_mount(pod: &Value) -> Option<Violation> {
    let stated = |one: &Value| text(one, "/securityContext/procMount").to_owned();
    let wrong = |kind: &str| !matches!(kind, "" | "Default");
    let names = which(pod, |one| wrong(&stated(one)));
    if names.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = containers(pod).map(stated).filter(|kind| wrong(kind)).collect();
    Violation::new(
        "procMount",
        format!("{} must not set securityContext.procMount to {}", named(&names), quoted(kinds)),
    )
}

pub fn proc_mount_1_35(pod: &Value) -> Option<Violation> {
    if has_own_users(pod) { None } else { proc_mount(pod) }
}

fn unsafe_sysctls(pod: &Value, minor: u32) -> Option<Violation> {
    let known = |name: &&str| SYSCTLS.iter().any(|(safe, since)| safe == name && *since <= minor);
    let all = items(pod, "/spec/securityContext/sysctls").iter().map(|one| text(one, "/name"));
    let wrong: Vec<&str> = all.filter(|name| !known(name)).collect();
    if wrong.is_empty() { None } else { Violation::new("forbidden sysctls", wrong.join(", ")) }
}

pub fn sysctls(pod: &Value) -> Option<Violation> {
    unsafe_sysctls(pod, 0)
}

pub fn sysctls_1_27(pod: &Value) -> Option<Violation> {
    unsafe_sysctls(pod, 27)
}

pub fn sysctls_1_29(pod: &Value) -> Option<Violation> {
    unsafe_sysctls(pod, 29)
}

pub fn sysctls_1_32(pod: &Value) -> Option<Violation> {
    unsafe_sysctls(pod, 32)
}

pub fn host_process(pod: &Value) -> Option<Violation> {
    let sets = |value: &Value| is_true(value, "/securityContext/windowsOptions/hostProcess");
    let who = setters(sets(&pod["spec"]), &which(pod, sets))?;
    Violation::new(
        "hostProcess",
        format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    )
}
