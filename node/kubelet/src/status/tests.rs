use std::collections::HashMap;
use std::sync::Arc;

use k8s_cri::v1::{
    ContainerState, ContainerStatus, PodSandboxNetworkStatus, PodSandboxState, PodSandboxStatus,
};
use serde_json::{Value, json};

use super::*;
use crate::labels;
use crate::pod::view::Seen;

fn seen(text: &str) -> View {
    let containers = text.split_whitespace().enumerate().map(|(at, text)| {
        let (name, state) = text.split_once(':').unwrap();
        let mut status =
            ContainerStatus { id: format!("{name}{at}"), created_at: at as i64, ..Default::default() };
        status.labels.insert(labels::CONTAINER_NAME.into(), name.into());
        if state == "r" {
            status.state = ContainerState::ContainerRunning.into();
        } else {
            status.state = ContainerState::ContainerExited.into();
            status.exit_code = state.parse().unwrap();
        }
        Seen { sandbox: "s".into(), status }
    });
    let mut containers: Vec<Seen> = containers.collect();
    containers.reverse();
    let sandbox = PodSandboxStatus {
        id: "s".into(),
        state: PodSandboxState::SandboxReady.into(),
        network: Some(PodSandboxNetworkStatus { ip: "10.244.0.9".into(), additional_ips: vec![] }),
        ..PodSandboxStatus::default()
    };
    View { sandboxes: vec![sandbox], containers }
}

struct Case {
    pod: Value,
    seen: &'static str,
    waits: Option<(&'static str, &'static str)>,
    over: bool,
}

fn shown(case: Case) -> String {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1}});
    pod["spec"] = case.pod;
    let spec = Spec::new(Arc::new(serde_json::from_value(pod).unwrap()));
    let waits: HashMap<String, Waits> =
        case.waits.iter().map(|(name, reason)| ((*name).to_owned(), Waits::new(reason, ""))).collect();
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let status = compute(&Input {
        spec: &spec,
        view: &seen(case.seen),
        verdicts: &Verdicts::default(),
        waits: &waits,
        messages: &HashMap::new(),
        addresses: &["10.244.0.9".to_owned()],
        host_ip: "10.224.0.4",
        first_seen: now,
        now,
        ended: None,
        over: case.over,
        runtime_name: "containerd",
    });
    let states = |list: Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>>| -> Vec<String> {
        let word = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
            let state = state.clone().unwrap_or_default();
            match (state.waiting, state.running, state.terminated) {
                (Some(waiting), _, _) => waiting.reason.unwrap_or_default(),
                (_, Some(_), _) => "running".into(),
                (_, _, Some(end)) => format!("{}({})", end.reason.unwrap_or_default(), end.exit_code),
                _ => "-".into(),
            }
        };
        list.unwrap_or_default()
            .iter()
            .map(|one| {
                let last = if one.last_state.is_some() {
                    format!("<{}", word(&one.last_state))
                } else {
                    String::new()
                };
                format!("{}={}{last}{}", one.name, word(&one.state), if one.ready { "+" } else { "" })
            })
            .collect()
    };
    let true_ones: Vec<String> = status
        .conditions
        .unwrap_or_default()
        .iter()
        .filter(|one| one.status == "True")
        .map(|one| one.type_.chars().filter(char::is_ascii_uppercase).collect())
        .collect();
    let mut words = vec![status.phase.unwrap_or_default()];
    words.extend(states(status.init_container_statuses));
    words.extend(states(status.container_statuses));
    words.push(format!("[{}]", true_ones.join(" ")));
    words.join(" ")
}

#[test]
fn status_follows_from_what_runs() {
    let plain = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let job = json!({"restartPolicy": "Never", "containers": [{"name": "a"}]});
    let retried = json!({"restartPolicy": "OnFailure", "containers": [{"name": "a"}]});
    let init = json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a"}]});
    let probed = json!({"containers": [{"name": "a", "readinessProbe": {"exec": {"command": ["x"]}}}]});
    let sidecar = json!({"restartPolicy": "Never", "initContainers": [{"name": "s", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}]});
    for (pod, seen, waits, over, expected) in [
        (&plain, "", None, false, "Pending a=ContainerCreating b=ContainerCreating [PRTSC I PS]"),
        (&plain, "a:r", None, false, "Pending a=running+ b=ContainerCreating [PRTSC I PS]"),
        (&plain, "a:r b:r", None, false, "Running a=running+ b=running+ [PRTSC I R CR PS]"),
        (
            &plain,
            "a:r b:1",
            Some(("b", "CrashLoopBackOff")),
            false,
            "Running a=running+ b=CrashLoopBackOff<Error(1) [PRTSC I PS]",
        ),
        (&plain, "a:r b:1 b:r", None, false, "Running a=running+ b=running<Error(1)+ [PRTSC I R CR PS]"),
        (&plain, "a:r", Some(("b", "ErrImagePull")), false, "Pending a=running+ b=ErrImagePull [PRTSC I PS]"),
        (&plain, "a:0 b:137", None, true, "Failed a=Completed(0) b=Error(137) [I PS]"),
        (&job, "a:0", None, false, "Succeeded a=Completed(0) [PRTSC I PS]"),
        (&job, "a:3", None, false, "Failed a=Error(3) [PRTSC I PS]"),
        (&retried, "a:3", None, false, "Running a=Error(3) [PRTSC I PS]"),
        (&retried, "a:0", None, false, "Succeeded a=Completed(0) [PRTSC I PS]"),
        (&init, "", None, false, "Pending i=PodInitializing a=PodInitializing [PRTSC PS]"),
        (&init, "i:r", None, false, "Pending i=running a=PodInitializing [PRTSC PS]"),
        (
            &init,
            "i:1",
            Some(("i", "CrashLoopBackOff")),
            false,
            "Pending i=CrashLoopBackOff<Error(1) a=PodInitializing [PRTSC PS]",
        ),
        (&init, "i:0 a:r", None, false, "Running i=Completed(0)+ a=running+ [PRTSC I R CR PS]"),
        (&probed, "a:r", None, false, "Running a=running [PRTSC I PS]"),
        (&sidecar, "s:r a:r", None, false, "Running s=running+ a=running+ [PRTSC I R CR PS]"),
        (&sidecar, "s:r a:0", None, false, "Running s=running+ a=Completed(0) [PRTSC I PS]"),
        (&sidecar, "s:0 a:0", None, true, "Succeeded s=Completed(0) a=Completed(0) [I PS]"),
    ] {
        let case = Case { pod: pod.clone(), seen, waits, over };
        assert_eq!(shown(case), expected, "{seen} {waits:?}");
    }
}
