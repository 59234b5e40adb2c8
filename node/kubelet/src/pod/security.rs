//! Users, groups, capabilities and namespaces of sandboxes and containers.

use k8s_cri::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, SecurityProfile, security_profile::ProfileType,
};
use k8s_openapi::api::core::v1::{Container, SeccompProfile};

use super::spec::Spec;
use crate::runtime::Image;

/// What a container does not see of `/proc` and `/sys`, unless it is privileged.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn namespaces(spec: &Spec) -> NamespaceOption {
    let pod = spec.spec();
    let on_node = |flag: Option<bool>, other| if flag == Some(true) { NamespaceMode::Node } else { other };
    let shared = pod.and_then(|pod| pod.share_process_namespace) == Some(true);
    let alone = if shared { NamespaceMode::Pod } else { NamespaceMode::Container };
    NamespaceOption {
        network: on_node(pod.and_then(|pod| pod.host_network), NamespaceMode::Pod).into(),
        pid: on_node(pod.and_then(|pod| pod.host_pid), alone).into(),
        ipc: on_node(pod.and_then(|pod| pod.host_ipc), NamespaceMode::Pod).into(),
        target_id: String::new(),
        userns_options: None,
    }
}

fn groups(spec: &Spec) -> Vec<i64> {
    let Some(context) = spec.spec().and_then(|pod| pod.security_context.as_ref()) else { return Vec::new() };
    let more = context.supplemental_groups.iter().flatten();
    context.fs_group.iter().chain(more).copied().collect()
}

fn number(value: Option<i64>) -> Option<Int64Value> {
    value.map(|value| Int64Value { value })
}

fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
}

/// The sandbox's own security.
pub fn sandbox(spec: &Spec) -> LinuxSandboxSecurityContext {
    let context = spec.spec().and_then(|pod| pod.security_context.as_ref());
    let user = context.and_then(|context| context.run_as_user);
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(spec)),
        run_as_user: number(user),
        // A group without a user is refused by the runtime.
        run_as_group: number(context.and_then(|context| context.run_as_group).filter(|_| user.is_some())),
        supplemental_groups: groups(spec),
        privileged: spec.all().any(|(_, container)| is_privileged(container)),
        seccomp: Some(unconfined()),
        ..LinuxSandboxSecurityContext::default()
    }
}

fn unconfined() -> SecurityProfile {
    SecurityProfile { profile_type: ProfileType::Unconfined.into(), localhost_ref: String::new() }
}

fn seccomp(profile: Option<&SeccompProfile>) -> SecurityProfile {
    match profile {
        Some(profile) if profile.type_ == "RuntimeDefault" => {
            SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), localhost_ref: String::new() }
        }
        Some(profile) if profile.type_ == "Localhost" => SecurityProfile {
            profile_type: ProfileType::Localhost.into(),
            localhost_ref: format!(
                "/var/lib/kubelet/seccomp/{}",
                profile.localhost_profile.as_deref().unwrap_or_default()
            ),
        },
        _ => unconfined(),
    }
}

/// A container's security. `target`: the container whose processes an ephemeral one joins.
pub fn container(spec: &Spec, container: &Container, target: Option<&str>) -> LinuxContainerSecurityContext {
    let own = container.security_context.as_ref();
    let pod = spec.spec().and_then(|pod| pod.security_context.as_ref());
    let privileged = is_privileged(container);
    let mut namespace_options = namespaces(spec);
    if let Some(target) = target {
        namespace_options.pid = NamespaceMode::Target.into();
        namespace_options.target_id = target.to_owned();
    }
    let unmasked = privileged || own.and_then(|own| own.proc_mount.as_deref()) == Some("Unmasked");
    let paths = |list: &[&str]| list.iter().filter(|_| !unmasked).map(|path| (*path).to_owned()).collect();
    let profile = own.and_then(|own| own.seccomp_profile.as_ref());
    let profile = profile.or_else(|| pod.and_then(|pod| pod.seccomp_profile.as_ref()));
    let user = own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user));
    let group = own.and_then(|own| own.run_as_group).or_else(|| pod.and_then(|pod| pod.run_as_group));
    LinuxContainerSecurityContext {
        capabilities: own.and_then(|own| own.capabilities.as_ref()).map(|capabilities| Capability {
            add_capabilities: capabilities.add.clone().unwrap_or_default(),
            drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
            ..Capability::default()
        }),
        privileged,
        namespace_options: Some(namespace_options),
        run_as_user: number(user),
        run_as_group: number(group),
        readonly_rootfs: own.and_then(|own| own.read_only_root_filesystem) == Some(true),
        supplemental_groups: groups(spec),
        no_new_privs: own.and_then(|own| own.allow_privilege_escalation) == Some(false) && !privileged,
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(if privileged { unconfined() } else { seccomp(profile) }),
        ..LinuxContainerSecurityContext::default()
    }
}

/// Checks `runAsNonRoot` against the image's user. An error is the message of `CreateContainerConfigError`.
pub fn verify_non_root(spec: &Spec, container: &Container, image: &Image) -> Result<(), String> {
    let own = container.security_context.as_ref();
    let pod = spec.spec().and_then(|pod| pod.security_context.as_ref());
    let wanted = own.and_then(|own| own.run_as_non_root).or_else(|| pod.and_then(|pod| pod.run_as_non_root));
    if wanted != Some(true) {
        return Ok(());
    }
    let place = format!("(pod: \"{}\", container: {})", spec.full_name(), container.name);
    let user = own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user));
    match (user, &image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {place}")),
        (Some(_), _) => Ok(()),
        (None, Some(uid)) if uid.value == 0 => {
            Err(format!("container has runAsNonRoot and image will run as root {place}"))
        }
        (None, None) if !image.username.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {place}",
            image.username
        )),
        (None, None) => Err(format!("container has runAsNonRoot and image will run as root {place}")),
        (None, Some(_)) => Ok(()),
    }
}
