use std::sync::Arc;

use k8s_cri::v1::{
    ContainerState, ContainerStatus, PodSandboxMetadata, PodSandboxNetworkStatus, PodSandboxState,
    PodSandboxStatus,
};
use serde_json::{Value, json};

use super::*;

fn spec(pod: Value) -> Spec {
    let mut pod = pod;
    pod["metadata"] = json!({"name": "p", "namespace": "ns", "uid": "u"});
    Spec::new(Arc::new(serde_json::from_value(pod).unwrap()))
}

fn sandbox(ready: bool) -> PodSandboxStatus {
    let state = if ready { PodSandboxState::SandboxReady } else { PodSandboxState::SandboxNotready };
    PodSandboxStatus {
        id: "s".into(),
        metadata: Some(PodSandboxMetadata::default()),
        state: state.into(),
        network: Some(PodSandboxNetworkStatus { ip: "10.0.0.9".into(), additional_ips: vec![] }),
        ..PodSandboxStatus::default()
    }
}

/// `name:r` runs, `name:0` ended with that code, `name:c` was made and not started.
fn view(ready: bool, containers: &str) -> View {
    let containers = containers.split_whitespace().enumerate().map(|(at, text)| {
        let (name, state) = text.split_once(':').unwrap();
        let mut status =
            ContainerStatus { id: format!("{name}-{at}"), created_at: at as i64, ..Default::default() };
        status.labels.insert(labels::CONTAINER_NAME.into(), name.into());
        match state {
            "r" => status.state = ContainerState::ContainerRunning.into(),
            "c" => status.state = ContainerState::ContainerCreated.into(),
            code => {
                status.state = ContainerState::ContainerExited.into();
                status.exit_code = code.parse().unwrap();
            }
        }
        Seen { sandbox: "s".into(), status }
    });
    let mut containers: Vec<Seen> = containers.collect();
    containers.reverse();
    View { sandboxes: vec![sandbox(ready)], containers }
}

fn show(spec: &Spec, view: &View) -> String {
    let plan = plan(spec, view, &Verdicts::default());
    let mut words = Vec::new();
    if plan.stop_all {
        words.push("stop".to_owned());
    }
    if let Some(attempt) = plan.sandbox {
        words.push(format!("sandbox{attempt}"));
    }
    words.extend(plan.kill.iter().map(|kill| format!("kill:{}", kill.name)));
    words.extend(plan.start.iter().map(|(kind, index)| spec.list(*kind)[*index].name.clone()));
    words.join(" ")
}

#[test]
fn init_containers_come_one_by_one_then_all_others() {
    let spec = spec(json!({"spec": {"initContainers": [{"name": "i1"}, {"name": "i2"}],
        "containers": [{"name": "a"}, {"name": "b"}]}}));
    assert_eq!(show(&spec, &View::default()), "sandbox0 i1");
    for (seen, expected) in [
        ("", "i1"),
        ("i1:r", ""),
        ("i1:0", "i2"),
        ("i1:1", "i1"),
        ("i1:c", "i1"),
        ("i1:0 i2:0", "a b"),
        ("i1:0 i2:0 a:r", "b"),
        ("i1:0 i2:0 a:r b:0", "b"),
        ("a:r b:r", ""),
    ] {
        assert_eq!(show(&spec, &view(true, seen)), expected, "{seen}");
    }
}

#[test]
fn a_dead_sandbox_starts_the_pod_again_unless_it_never_restarts() {
    let always = spec(json!({"spec": {"containers": [{"name": "a"}]}}));
    assert_eq!(show(&always, &view(false, "a:0")), "stop sandbox1 a");
    let never = spec(json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a"}]}}));
    assert_eq!(show(&never, &view(false, "a:137")), "stop");
    assert_eq!(show(&never, &view(false, "")), "stop sandbox1 a");
    let failing =
        spec(json!({"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "a"}, {"name": "b"}]}}));
    assert_eq!(show(&failing, &view(true, "a:0 b:3")), "b");
    assert_eq!(show(&failing, &view(true, "a:0 b:0")), "stop");
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let spec = spec(json!({"spec": {"restartPolicy": "Never", "initContainers": [{"name": "i"}],
        "containers": [{"name": "a"}]}}));
    assert_eq!(show(&spec, &view(true, "i:1")), "stop");
    assert_eq!(show(&spec, &view(true, "i:0")), "a");
    assert_eq!(show(&spec, &view(true, "i:0 a:0")), "stop");
}

#[test]
fn sidecars_stay_beside_the_main_containers() {
    let spec =
        spec(json!({"spec": {"initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
        "containers": [{"name": "a"}]}}));
    for (seen, expected) in
        [("", "s"), ("s:r", "i"), ("s:0", "s"), ("s:r i:0", "a"), ("s:r i:0 a:r", ""), ("s:1 i:0 a:r", "s")]
    {
        assert_eq!(show(&spec, &view(true, seen)), expected, "{seen}");
    }
}

#[test]
fn a_changed_image_replaces_the_container() {
    let spec = spec(json!({"spec": {"containers": [{"name": "a", "image": "new"}]}}));
    let mut seen = view(true, "a:r");
    seen.containers[0].status.annotations.insert(labels::HASH.into(), "old".into());
    assert_eq!(show(&spec, &seen), "kill:a a");
}
