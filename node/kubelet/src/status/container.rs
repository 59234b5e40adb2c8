//! One container's status.

use jiff::Timestamp;
use k8s_cri::v1::ContainerState as RuntimeState;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Input;
use crate::pod::spec::{Kind, Spec};
use crate::pod::view::Seen;

fn time(nanoseconds: i64) -> Option<Time> {
    let known = (nanoseconds > 0).then(|| Timestamp::from_nanosecond(i128::from(nanoseconds)).ok())?;
    // The API's times have whole seconds.
    Timestamp::from_second(known?.as_second()).ok().map(Time)
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let state = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(state), ..ContainerState::default() }
}

fn terminated(state: ContainerStateTerminated) -> ContainerState {
    ContainerState { terminated: Some(state), ..ContainerState::default() }
}

fn id(input: &Input<'_>, seen: &Seen) -> String {
    format!("{}://{}", input.runtime_name, seen.status.id)
}

fn end_of(input: &Input<'_>, seen: &Seen) -> ContainerState {
    let status = &seen.status;
    let reason = match (status.reason.is_empty(), status.exit_code) {
        (false, _) => status.reason.clone(),
        (true, 0) => "Completed".to_owned(),
        (true, _) => "Error".to_owned(),
    };
    // The container's last words, else what the runtime has to say about the end.
    let said = input.messages.get(&status.id).filter(|words| !words.is_empty());
    let message = Some(said.unwrap_or(&status.message).clone()).filter(|text| !text.is_empty());
    terminated(ContainerStateTerminated {
        container_id: Some(id(input, seen)),
        exit_code: status.exit_code,
        reason: Some(reason),
        message,
        signal: None,
        started_at: time(status.started_at),
        finished_at: time(status.finished_at),
    })
}

fn told_before<'a>(spec: &'a Spec, kind: Kind, name: &str) -> Option<&'a ContainerStatus> {
    let status = spec.pod.status.as_ref()?;
    let list = match kind {
        Kind::Init => &status.init_container_statuses,
        Kind::Main => &status.container_statuses,
        Kind::Ephemeral => &status.ephemeral_container_statuses,
    };
    list.iter().flatten().find(|one| one.name == name)
}

/// The status of a container the runtime knows nothing of.
fn absent(input: &Input<'_>, kind: Kind, container: &Container, initialized: bool) -> ContainerStatus {
    let before = told_before(input.spec, kind, &container.name);
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        ..ContainerStatus::default()
    };
    let state = before.and_then(|before| before.state.clone()).unwrap_or_default();
    if let Some(before) = before.filter(|before| before.container_id.is_some()) {
        status = ContainerStatus { ready: false, started: Some(false), state: None, ..before.clone() };
        if state.terminated.is_some() {
            status.state = Some(state);
            return status;
        }
        if state.running.is_some() && input.over {
            status.state = Some(terminated(ContainerStateTerminated {
                exit_code: 137,
                reason: Some("ContainerStatusUnknown".into()),
                message: Some("The container could not be located when the pod was terminated".into()),
                ..ContainerStateTerminated::default()
            }));
            return status;
        }
    }
    let default = match kind {
        Kind::Init => "PodInitializing",
        Kind::Main if !input.spec.init.is_empty() && !initialized => "PodInitializing",
        Kind::Main | Kind::Ephemeral => "ContainerCreating",
    };
    status.state = Some(match input.waits.get(&container.name) {
        Some(waits) => waiting(waits.reason, Some(waits.message.clone()).filter(|text| !text.is_empty())),
        None => waiting(default, None),
    });
    status
}

/// Computes the status.
pub fn status(input: &Input<'_>, kind: Kind, container: &Container, initialized: bool) -> ContainerStatus {
    let Some(seen) = input.view.latest(&container.name) else {
        return with_definition(absent(input, kind, container, initialized), container);
    };
    let previous = input.view.previous(&container.name).filter(|seen| seen.exited());
    let mut last_state = previous.map(|seen| end_of(input, seen));
    let mut state = match seen.status.state() {
        RuntimeState::ContainerRunning => ContainerState {
            running: Some(ContainerStateRunning { started_at: time(seen.status.started_at) }),
            ..ContainerState::default()
        },
        RuntimeState::ContainerExited => end_of(input, seen),
        RuntimeState::ContainerCreated | RuntimeState::ContainerUnknown => waiting("ContainerCreating", None),
    };
    if let Some(waits) = input.waits.get(&container.name).filter(|_| !seen.running() && !input.over) {
        if seen.exited() {
            last_state = Some(end_of(input, seen));
        }
        state = waiting(waits.reason, Some(waits.message.clone()).filter(|text| !text.is_empty()));
    }
    let started = seen.running() && input.verdicts.started(&seen.status.id, container);
    let ready = match kind {
        Kind::Ephemeral => false,
        Kind::Init if !crate::pod::spec::is_sidecar(container) => seen.exited() && seen.status.exit_code == 0,
        _ => seen.running() && input.verdicts.ready(&seen.status.id, container),
    };
    let image = seen.status.image.as_ref().map(|image| image.image.clone()).filter(|image| !image.is_empty());
    let status = ContainerStatus {
        name: container.name.clone(),
        container_id: Some(id(input, seen)),
        image: image.or_else(|| container.image.clone()).unwrap_or_default(),
        image_id: seen.status.image_ref.clone(),
        ready,
        started: Some(started),
        restart_count: seen.restarts(),
        state: Some(state),
        last_state,
        ..ContainerStatus::default()
    };
    with_definition(status, container)
}

fn with_definition(mut status: ContainerStatus, container: &Container) -> ContainerStatus {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.clone());
    status.allocated_resources = requests.filter(|requests| !requests.is_empty());
    status.resources = Some(container.resources.clone().unwrap_or_default());
    let mounts = container.volume_mounts.iter().flatten().map(|mount| {
        let read_only = mount.read_only.filter(|read_only| *read_only);
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only,
            recursive_read_only: read_only.map(|_| "Disabled".to_owned()),
        }
    });
    status.volume_mounts = Some(mounts.collect()).filter(|list: &Vec<_>| !list.is_empty());
    status
}
