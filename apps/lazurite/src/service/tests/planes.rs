//! What a hosted plane answers after an upgrade and after new certificates; commands in it.

use container_service::{Command, CommandState, ControlPlaneError, Credential};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::ListParams;

use super::*;

async fn answered(world: &World) -> String {
    world.hosting.plane(CLUSTER).unwrap().admin().apiserver_version().await.unwrap().git_version
}

#[tokio::test]
async fn an_upgraded_plane_answers_its_new_version_and_keeps_its_objects() {
    let world = world().await;
    assert_eq!(answered(&world).await, "v1.35.6");
    let maps: Api<ConfigMap> = Api::default_namespaced(world.plane.admin());
    let kept: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "kept" } })).unwrap();
    maps.create(&PostParams::default(), &kept).await.unwrap();
    world.hosting.ensure(ControlPlaneSpec { version: "1.36.3".to_owned(), ..spec() }).await.unwrap();
    assert_eq!(answered(&world).await, "v1.36.3");
    let maps: Api<ConfigMap> = Api::default_namespaced(world.hosting.plane(CLUSTER).unwrap().admin());
    maps.get("kept").await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn new_certificates_are_of_a_new_authority_and_tokens_stay_good() {
    let world = world().await;
    let before = world.plane.keys.clone();
    let config = world.hosting.kubeconfig(CLUSTER, Credential::Admin).await.unwrap();
    world.hosting.rotate_certificates(CLUSTER).await.unwrap();
    let plane = world.hosting.plane(CLUSTER).unwrap();
    let after = &plane.keys;
    assert_ne!(before.ca_pem, after.ca_pem);
    assert_ne!(before.bootstrap_token, after.bootstrap_token);
    assert_eq!(before.service_account_key_pem, after.service_account_key_pem);
    assert_eq!(before.address, after.address);
    assert_ne!(config, world.hosting.kubeconfig(CLUSTER, Credential::Admin).await.unwrap());
    // Pods are told, and nodes find their token.
    let published: Api<ConfigMap> = Api::namespaced(plane.admin(), "default");
    let told = |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data["ca.crt"] == after.ca_pem);
    until(published, "kube-root-ca.crt", told).await;
    let tokens: Api<Secret> = Api::namespaced(plane.admin(), "kube-system");
    let id = after.bootstrap_token.split_once('.').unwrap().0;
    until(tokens, &format!("bootstrap-token-{id}"), |_| true).await;
    // It is on the disk too: a restart has the same.
    world.hosting.stop(CLUSTER).await.unwrap();
    world.hosting.ensure(spec()).await.unwrap();
    assert_eq!(world.hosting.plane(CLUSTER).unwrap().keys.ca_pem, after.ca_pem);
    world.end().await;
}

fn command(token: Option<&str>) -> Command {
    Command { line: "kubectl get nodes".to_owned(), context: b"PK".to_vec(), token: token.map(str::to_owned) }
}

#[tokio::test]
async fn a_command_is_a_pod_of_the_administrator_or_of_the_caller() {
    let world = world().await;
    world.hosting.set_command_image(Arc::new(|| Ok("mcr.microsoft.com/aks/command/runtime:1".to_owned())));
    let client = world.plane.admin();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "aks-command");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "aks-command");
    for token in [None, Some("token-of-the-caller")] {
        let id = world.hosting.run_command(CLUSTER, command(token)).await.unwrap();
        let pod = pods.get(&format!("command-{id}")).await.unwrap();
        let spec = pod.spec.unwrap();
        assert_eq!(spec.automount_service_account_token, Some(token.is_none()));
        let container = &spec.containers[0];
        assert_eq!(container.command.as_ref().unwrap().last().unwrap(), "kubectl get nodes");
        let resources = json!(container.resources);
        assert_eq!(resources["requests"], json!({ "cpu": "200m", "memory": "500Mi" }));
        assert_eq!(resources["limits"], json!({ "cpu": "500m", "memory": "1Gi" }));
        let secret = secrets.get(&format!("command-{id}")).await.unwrap();
        let owner = &secret.metadata.owner_references.unwrap()[0];
        assert_eq!(Some(&owner.uid), pod.metadata.uid.as_ref());
        let data = secret.data.unwrap();
        assert_eq!(data["context.zip"].0, b"PK");
        let config = data.get("kubeconfig").map(|bytes| String::from_utf8(bytes.0.clone()).unwrap());
        assert_eq!(config.as_ref().map(|config| config.contains("token-of-the-caller")), token.map(|_| true));
        let found = world.hosting.command_result(CLUSTER, &id).await.unwrap().unwrap();
        assert_eq!((found.state, found.exit_code), (CommandState::Running, None));
    }
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 2);
    let review: SubjectAccessReview = serde_json::from_value(json!({ "metadata": {}, "spec": {
        "user": "system:serviceaccount:aks-command:aks-command",
        "resourceAttributes": { "verb": "delete", "resource": "nodes" } } }))
    .unwrap();
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    let reviewed = reviews.create(&PostParams::default(), &review).await.unwrap();
    assert!(reviewed.status.unwrap().allowed);
    assert!(world.hosting.command_result(CLUSTER, &"0".repeat(32)).await.unwrap().is_none());
    world.end().await;
}

#[tokio::test]
async fn a_host_without_programs_says_what_to_install() {
    let world = world().await;
    let reason = "install kubectl".to_owned();
    world
        .hosting
        .set_command_image(Arc::new(move || Err(ControlPlaneError::Lacking { reason: reason.clone() })));
    let error = world.hosting.run_command(CLUSTER, command(None)).await.unwrap_err();
    assert_eq!(error.to_string(), "install kubectl");
    let pods: Api<Pod> = Api::all(world.plane.admin());
    let made = pods.list(&ListParams::default()).await.unwrap().items;
    assert!(made.iter().all(|pod| pod.metadata.namespace.as_deref() != Some("aks-command")));
    world.end().await;
}
