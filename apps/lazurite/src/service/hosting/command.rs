//! A command in a pod of the cluster, as `az aks command invoke` has it run.
//!
//! Guarantees: what became of a command is read from its pod and nothing else, so it is the same after a restart. A
//! pod that finds no node within [`SCHEDULE_LIMIT`] never runs. Pods that ended are kept for [`KEPT`]. A caller's token
//! is in a Secret that goes with the pod.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use container_service::{Command, CommandResult, CommandState, ControlPlaneError};
use futures::AsyncReadExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Plane, failed};

/// As on AKS.
const NAMESPACE: &str = "aks-command";
const ACCOUNT: &str = "aks-command";
const SELECTOR: &str = "app.kubernetes.io/managed-by=aks-command";
/// How long a pod may wait for a node, as AKS documents it.
pub(super) const SCHEDULE_LIMIT: Duration = Duration::from_secs(60);
/// How long its container may take to start after that: the image is pulled once per node.
const START_LIMIT: Duration = Duration::from_secs(300);
/// How long a command may run.
const RUN_LIMIT_SECONDS: u64 = 3600;
/// How long its result can be asked for.
const KEPT: Duration = Duration::from_secs(3600);
/// As AKS documents it.
const OUTPUT_MAX_BYTES: i64 = 512 * 1024;
/// The archive is unpacked first; what its unpacking says is part of the output only if it fails.
const SCRIPT: &str = "if [ -s /command/context.zip ]; then unzip -q /command/context.zip || exit 1; fi; exec /bin/sh -c \"$0\"";

/// Starts a command; its id.
pub(super) async fn run(plane: &Plane, command: &Command, image: &str) -> Result<String, ControlPlaneError> {
    let client = plane.admin();
    prepare(&client).await.map_err(failed("prepare the namespace of commands"))?;
    sweep(&client).await.map_err(failed("delete old commands"))?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = pod_name(&id);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let secret = parsed(secret(plane, &name, command))?;
    secrets.create(&PostParams::default(), &secret).await.map_err(failed("store a command"))?;
    let pod = parsed(pod(&name, command, image))?;
    let made = match pods.create(&PostParams::default(), &pod).await {
        Ok(made) => made,
        Err(error) => {
            let _ = secrets.delete(&name, &DeleteParams::default()).await;
            return Err(failed("make the pod of a command")(error));
        }
    };
    let owner = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "v1", "kind": "Pod", "name": name, "uid": made.metadata.uid }] } });
    secrets
        .patch(&name, &PatchParams::default(), &Patch::Merge(&owner))
        .await
        .map_err(failed("tie a command to its pod"))?;
    Ok(id)
}

/// What became of a command; none: it has no pod.
pub(super) async fn result(plane: &Plane, id: &str) -> Result<Option<CommandResult>, ControlPlaneError> {
    of_pod(&plane.admin(), id, Timestamp::now()).await.map_err(failed("read the result of a command"))
}

async fn of_pod(
    client: &kube::Client,
    id: &str,
    now: Timestamp,
) -> Result<Option<CommandResult>, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let name = pod_name(id);
    let Some(pod) = pods.get_opt(&name).await? else { return Ok(None) };
    let mut found = judge(&pod, now);
    match &found.outcome {
        Outcome::Ended => {
            let wanted = LogParams { limit_bytes: Some(OUTPUT_MAX_BYTES), ..LogParams::default() };
            // Programs print what they like, and the limit may cut a character.
            let mut printed = Vec::new();
            let mut stream = std::pin::pin!(pods.log_stream(&name, &wanted).await?);
            stream.read_to_end(&mut printed).await.map_err(kube::Error::ReadEvents)?;
            found.result.logs = String::from_utf8_lossy(&printed).into_owned();
        }
        Outcome::NoNode => {
            // Nobody else writes its status, and a pod that failed is not scheduled any more.
            let status = json!({ "status": {
                "phase": "Failed", "reason": "Unschedulable", "message": found.result.reason } });
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
        }
        Outcome::NoStart => {
            pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        }
        Outcome::Settled => {}
    }
    Ok(Some(found.result))
}

fn pod_name(id: &str) -> String {
    format!("command-{id}")
}

/// What is to be done about a pod.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing: it goes on, or it failed for good.
    Settled,
    /// Its output is to be read.
    Ended,
    /// It is to be kept from nodes.
    NoNode,
    /// It is to be deleted.
    NoStart,
}

struct Judged {
    result: CommandResult,
    outcome: Outcome,
}

fn judge(pod: &Pod, now: Timestamp) -> Judged {
    let status = pod.status.clone().unwrap_or_default();
    let container =
        status.container_statuses.iter().flatten().next().and_then(|container| container.state.clone());
    let state = container.unwrap_or_default();
    let answer = |state, reason: Option<String>, outcome| Judged {
        result: CommandResult {
            state,
            exit_code: None,
            started_at: None,
            finished_at: None,
            logs: String::new(),
            reason,
        },
        outcome,
    };
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if let Some(ended) = state.terminated.as_ref().filter(|_| over && status.reason.is_none()) {
        let mut judged = answer(CommandState::Succeeded, None, Outcome::Ended);
        judged.result.exit_code = Some(ended.exit_code);
        judged.result.started_at = ended.started_at.as_ref().map(|time| time.0.to_string());
        judged.result.finished_at = ended.finished_at.as_ref().map(|time| time.0.to_string());
        return judged;
    }
    if over {
        let reason = status.message.or(status.reason).unwrap_or_else(|| "the pod failed".to_owned());
        return answer(CommandState::Failed, Some(reason), Outcome::Settled);
    }
    if state.running.is_some() {
        return answer(CommandState::Running, None, Outcome::Settled);
    }
    let since = |time: Option<Timestamp>| time.map_or(Duration::ZERO, |time| elapsed(time, now));
    let scheduled = status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled");
    match scheduled.filter(|one| one.status == "True") {
        Some(condition) => {
            let at = condition.last_transition_time.as_ref().map(|time| time.0);
            match since(at) > START_LIMIT {
                true => answer(CommandState::Failed, Some(why_not_started(&state)), Outcome::NoStart),
                false => answer(CommandState::Running, None, Outcome::Settled),
            }
        }
        None if since(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)) >= SCHEDULE_LIMIT => {
            let said = scheduled.and_then(|condition| condition.message.clone());
            let reason = format!(
                "the pod of the command was not scheduled within {} seconds: {}",
                SCHEDULE_LIMIT.as_secs(),
                said.unwrap_or_else(|| "the scheduler has not looked at it".to_owned())
            );
            answer(CommandState::Failed, Some(reason), Outcome::NoNode)
        }
        None => answer(CommandState::Running, None, Outcome::Settled),
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn why_not_started(state: &ContainerState) -> String {
    let waiting = state.waiting.clone().unwrap_or_default();
    let reason = waiting.reason.unwrap_or_else(|| "unknown".to_owned());
    format!(
        "the container of the command did not start within {} seconds: {reason}{}",
        START_LIMIT.as_secs(),
        waiting.message.map(|message| format!(": {message}")).unwrap_or_default()
    )
}

/// The namespace, and the account that is the cluster's administrator.
async fn prepare(client: &kube::Client) -> Result<(), kube::Error> {
    let labels =
        json!({ "app.kubernetes.io/managed-by": "aks-command", "kubernetes.azure.com/managedby": "aks" });
    let of_cluster = |name: &str| json!({ "name": name, "labels": labels });
    apply::<Namespace>(
        &Api::all(client.clone()),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": of_cluster(NAMESPACE) }),
    )
    .await?;
    apply::<ServiceAccount>(
        &Api::namespaced(client.clone(), NAMESPACE),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": ACCOUNT, "namespace": NAMESPACE, "labels": labels } }),
    )
    .await?;
    apply::<ClusterRoleBinding>(
        &Api::all(client.clone()),
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": of_cluster(ACCOUNT),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE }] }),
    )
    .await
}

async fn apply<K>(api: &Api<K>, object: Value) -> Result<(), kube::Error>
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    api.patch(name, &PatchParams::apply("aks").force(), &Patch::Apply(&object)).await.map(|_| ())
}

/// Deletes the pods of commands that ended long ago.
async fn sweep(client: &kube::Client) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let now = Timestamp::now();
    for pod in pods.list(&ListParams::default().labels(SELECTOR)).await?.items {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let old = made.is_some_and(|made| elapsed(made, now) > KEPT);
        if !old || !matches!(phase, Some("Succeeded" | "Failed")) {
            continue;
        }
        match pods.delete(pod.metadata.name.as_deref().unwrap_or_default(), &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            outcome => {
                outcome?;
            }
        }
    }
    Ok(())
}

fn parsed<K: DeserializeOwned>(object: Value) -> Result<K, ControlPlaneError> {
    serde_json::from_value(object).map_err(failed("write the objects of a command"))
}

/// What the container finds in `/command`.
fn secret(plane: &Plane, name: &str, command: &Command) -> Value {
    let mut data = json!({ "context.zip": STANDARD.encode(&command.context) });
    if let Some(token) = &command.token {
        data["kubeconfig"] = json!(STANDARD.encode(kubeconfig(&plane.keys.ca_pem, token).to_string()));
    }
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels() },
        "data": data })
}

fn labels() -> Value {
    json!({ "app.kubernetes.io/managed-by": "aks-command" })
}

/// The caller, inside the cluster.
fn kubeconfig(ca_pem: &str, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
        "clusters": [{ "name": "cluster", "cluster": {
            "server": "https://kubernetes.default.svc", "certificate-authority-data": STANDARD.encode(ca_pem) } }],
        "users": [{ "name": "caller", "user": { "token": token } }],
        "contexts": [{ "name": "cluster", "context": { "cluster": "cluster", "user": "caller" } }] })
}

fn pod(name: &str, command: &Command, image: &str) -> Value {
    let as_caller = command.token.is_some();
    let mut environment = vec![json!({ "name": "HOME", "value": "/work" })];
    if as_caller {
        environment.push(json!({ "name": "KUBECONFIG", "value": "/command/kubeconfig" }));
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels() },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": RUN_LIMIT_SECONDS,
            "serviceAccountName": ACCOUNT,
            // Whoever runs as the caller has nothing else to be.
            "automountServiceAccountToken": !as_caller,
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "containers": [{
                "name": "command",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/sh", "-c", SCRIPT, command.line],
                "workingDir": "/work",
                "env": environment,
                "resources": {
                    "requests": { "cpu": "200m", "memory": "500Mi" },
                    "limits": { "cpu": "500m", "memory": "1Gi" } },
                "volumeMounts": [
                    { "name": "command", "mountPath": "/command", "readOnly": true },
                    { "name": "work", "mountPath": "/work" }] }],
            "volumes": [
                { "name": "command", "secret": { "secretName": name, "defaultMode": 0o400 } },
                { "name": "work", "emptyDir": {} }] } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: &str = "2026-11-30T00:00:00Z";

    fn verdict(status: Value, seconds: i64) -> String {
        let pod = json!({ "metadata": { "creationTimestamp": MADE }, "status": status });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let now = MADE.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds);
        let judged = judge(&pod, now);
        let code = judged.result.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
        let reason = judged.result.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
        format!("{:?} {:?}{code}{reason}", judged.result.state, judged.outcome)
    }

    #[test]
    fn what_became_of_a_command_is_read_from_its_pod() {
        let scheduled = |status: &str, message: Value| {
            json!({ "type": "PodScheduled", "status": status,
            "lastTransitionTime": MADE, "message": message })
        };
        let container = |state: Value| {
            json!([{ "name": "command", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": state }])
        };
        let ended =
            container(json!({ "terminated": { "exitCode": 3, "startedAt": MADE, "finishedAt": MADE } }));
        let pulling =
            container(json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } }));
        let full = json!([scheduled("False", json!("0/1 nodes are available"))]);
        let placed = json!([scheduled("True", Value::Null)]);
        for (status, seconds, expected) in [
            (json!({}), 59, "Running Settled"),
            (json!({ "phase": "Pending", "conditions": full }), 59, "Running Settled"),
            (
                json!({ "phase": "Pending", "conditions": full }),
                60,
                "Failed NoNode the pod of the command was not scheduled within 60 seconds: 0/1 nodes are available",
            ),
            (
                json!({ "phase": "Failed", "reason": "Unschedulable", "message": "it had no node" }),
                90,
                "Failed Settled it had no node",
            ),
            (
                json!({ "phase": "Pending", "conditions": placed, "containerStatuses": pulling }),
                300,
                "Running Settled",
            ),
            (
                json!({ "phase": "Pending", "conditions": placed, "containerStatuses": pulling }),
                301,
                "Failed NoStart the container of the command did not start within 300 seconds: ImagePullBackOff: \
                 no such image",
            ),
            (
                json!({ "phase": "Running", "containerStatuses": container(json!({ "running": {} })) }),
                3000,
                "Running Settled",
            ),
            (json!({ "phase": "Failed", "containerStatuses": ended }), 5, "Succeeded Ended 3"),
            (
                json!({ "phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": ended,
                    "message": "Pod was active on the node longer than the specified deadline" }),
                3601,
                "Failed Settled Pod was active on the node longer than the specified deadline",
            ),
        ] {
            assert_eq!(verdict(status.clone(), seconds), expected, "{status}");
        }
    }
}
