//! PodSecurity: the baseline and restricted standards, where a namespace's label enforces them.

use serde_json::Value;

use super::{concerns, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text};

const ENFORCE: &str = "/metadata/labels/pod-security.kubernetes.io~1enforce";
const VERSION: &str = "/metadata/labels/pod-security.kubernetes.io~1enforce-version";
/// Capabilities a baseline container may add.
const BASELINE_CAPABILITIES: [&str; 14] = [
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
    "NET_RAW",
];
const BASELINE_SYSCTLS: [&str; 8] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
];
/// Kinds of volumes a restricted pod may have.
const RESTRICTED_VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Refuses a pod that its namespace's standard forbids.
pub(super) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let whole = concerns(request, "", "pods", "") || concerns(request, "", "pods", "ephemeralcontainers");
    let Some(pod) = request.object.as_deref().filter(|_| writes && whole) else { return Ok(()) };
    // What may be changed in a running pod does not concern the standards, ephemeral containers apart.
    if request.operation == Operation::Update && request.subresource.is_empty() {
        return Ok(());
    }
    let Some(namespace) = objects.get("", "namespaces", "", request.namespace) else { return Ok(()) };
    let level = text(&namespace, ENFORCE);
    let violations = match level {
        "baseline" => baseline(pod),
        "restricted" => baseline(pod).into_iter().chain(restricted(pod)).collect(),
        _ => return Ok(()),
    };
    if violations.is_empty() {
        return Ok(());
    }
    let version = Some(text(&namespace, VERSION)).filter(|version| !version.is_empty()).unwrap_or("latest");
    let why = format!("violates PodSecurity \"{level}:{version}\": {}", violations.join(", "));
    Err(forbid(request, &why))
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"]
        .into_iter()
        .flat_map(|list| items(pod, list))
}

/// `container "a"` or `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("container{} {}", if names.len() == 1 { "" } else { "s" }, quoted.join(", "))
}

fn which(pod: &Value, wrong: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(pod).filter(|one| wrong(one)).map(|one| text(one, "/name")).collect()
}

fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// Adds a violation for the containers that are wrong.
fn blame(found: &mut Vec<String>, pod: &Value, title: &str, must: &str, wrong: impl Fn(&Value) -> bool) {
    let names = which(pod, wrong);
    if !names.is_empty() {
        found.push(format!("{title} ({} {must})", named(&names)));
    }
}

fn added(container: &Value) -> impl Iterator<Item = &str> {
    items(container, "/securityContext/capabilities/add").iter().filter_map(Value::as_str)
}

fn baseline(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let host: Vec<&str> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| is_true(pod, &format!("/spec/{field}")))
        .collect();
    if !host.is_empty() {
        let set: Vec<String> = host.iter().map(|field| format!("{field}=true")).collect();
        found.push(format!("host namespaces ({})", set.join(", ")));
    }
    blame(&mut found, pod, "privileged", "must not set securityContext.privileged=true", |one| {
        is_true(one, "/securityContext/privileged")
    });
    let beyond =
        |one: &Value| added(one).any(|name| !BASELINE_CAPABILITIES.contains(&name) || name == "NET_RAW");
    let extra: std::collections::BTreeSet<&str> = containers(pod)
        .flat_map(added)
        .filter(|name| !BASELINE_CAPABILITIES.contains(name) || *name == "NET_RAW")
        .collect();
    let list: Vec<String> = extra.iter().map(|name| format!("\"{name}\"")).collect();
    let must = format!("must not include {} in securityContext.capabilities.add", list.join(", "));
    blame(&mut found, pod, "non-default capabilities", &must, beyond);
    let paths: Vec<String> = items(pod, "/spec/volumes")
        .iter()
        .filter(|volume| volume.get("hostPath").is_some())
        .map(|volume| format!("\"{}\"", text(volume, "/name")))
        .collect();
    if !paths.is_empty() {
        let s = if paths.len() == 1 { "" } else { "s" };
        found.push(format!("hostPath volumes (volume{s} {})", paths.join(", ")));
    }
    let host_port = |one: &Value| {
        items(one, "/ports").iter().any(|port| port.get("hostPort").and_then(Value::as_u64).unwrap_or(0) != 0)
    };
    let names = which(pod, host_port);
    if !names.is_empty() {
        found.push(format!("hostPort ({} uses hostPort)", named(&names)));
    }
    let unconfined = |value: &Value| text(value, "/securityContext/seccompProfile/type") == "Unconfined";
    if unconfined(&pod["spec"]) || !which(pod, unconfined).is_empty() {
        found.push("seccompProfile (pod or containers must not set securityContext.seccompProfile.type to \"Unconfined\")".into());
    }
    blame(&mut found, pod, "procMount", "must not set securityContext.procMount to \"Unmasked\"", |one| {
        text(one, "/securityContext/procMount") == "Unmasked"
    });
    let sysctls: Vec<&str> = items(pod, "/spec/securityContext/sysctls")
        .iter()
        .map(|one| text(one, "/name"))
        .filter(|name| !BASELINE_SYSCTLS.contains(name))
        .collect();
    if !sysctls.is_empty() {
        found.push(format!("forbidden sysctls ({})", sysctls.join(", ")));
    }
    found
}

fn restricted(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let windows = text(pod, "/spec/os/name") == "windows";
    if !windows {
        let title = "allowPrivilegeEscalation != false";
        blame(&mut found, pod, title, "must set securityContext.allowPrivilegeEscalation=false", |one| {
            one.pointer("/securityContext/allowPrivilegeEscalation") != Some(&Value::Bool(false))
        });
        let title = "unrestricted capabilities";
        blame(&mut found, pod, title, "must set securityContext.capabilities.drop=[\"ALL\"]", |one| {
            !items(one, "/securityContext/capabilities/drop").iter().any(|name| name == "ALL")
                || added(one).any(|name| name != "NET_BIND_SERVICE")
        });
    }
    let volumes: Vec<String> = items(pod, "/spec/volumes")
        .iter()
        .filter(|volume| {
            let kinds = volume.as_object().into_iter().flatten().map(|(kind, _)| kind.as_str());
            kinds.filter(|kind| *kind != "name").any(|kind| !RESTRICTED_VOLUMES.contains(&kind))
        })
        .map(|volume| format!("\"{}\"", text(volume, "/name")))
        .collect();
    if !volumes.is_empty() {
        found.push(format!(
            "restricted volume types (volumes {} use restricted volume types)",
            volumes.join(", ")
        ));
    }
    let of_pod = pod.pointer("/spec/securityContext/runAsNonRoot").and_then(Value::as_bool);
    let title = "runAsNonRoot != true";
    let roots = which(pod, |one| {
        one.pointer("/securityContext/runAsNonRoot").and_then(Value::as_bool).or(of_pod) != Some(true)
    });
    if !roots.is_empty() {
        found.push(format!("{title} (pod or {} must set securityContext.runAsNonRoot=true)", named(&roots)));
    }
    let zero = |value: &Value| value.pointer("/securityContext/runAsUser").and_then(Value::as_i64) == Some(0);
    if zero(&pod["spec"]) {
        found.push("runAsUser=0 (pod must not set runAsUser=0)".into());
    }
    blame(&mut found, pod, "runAsUser=0", "must not set runAsUser=0", zero);
    let profile = |value: &Value| text(value, "/securityContext/seccompProfile/type").to_owned();
    let fine = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    let of_pod = profile(&pod["spec"]);
    let open = which(pod, |one| match profile(one).as_str() {
        "" => !fine(&of_pod),
        own => !fine(own),
    });
    if !windows && !open.is_empty() {
        found.push(format!(
            "seccompProfile (pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
            named(&open)
        ));
    }
    found
}
