//! What a hosted plane answers after an upgrade and after new certificates; commands in it.

use container_service::{Command, CommandState, ControlPlaneError, Credential};
use k8s_openapi::api::authentication::v1::TokenReview;
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
    let config = world.hosting.kubeconfig(CLUSTER, Credential::Admin, None).await.unwrap();
    world.hosting.rotate_certificates(CLUSTER).await.unwrap();
    let plane = world.hosting.plane(CLUSTER).unwrap();
    let after = &plane.keys;
    assert_ne!(before.ca_pem, after.ca_pem);
    assert_ne!(before.bootstrap_token, after.bootstrap_token);
    assert_eq!(before.service_account_key_pem, after.service_account_key_pem);
    assert_eq!(before.address, after.address);
    assert_ne!(config, world.hosting.kubeconfig(CLUSTER, Credential::Admin, None).await.unwrap());
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

/// Ids of the keys that a plane publishes.
async fn published(plane: &hosting::Plane) -> Vec<String> {
    let request = http::Request::get("/openid/v1/jwks").body(Vec::new()).unwrap();
    let document: Value = plane.admin().request(request).await.unwrap();
    document["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn token(plane: &hosting::Plane) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.admin(), "default");
    until(accounts.clone(), "default", |_| true).await;
    let spec = TokenRequestSpec { audiences: vec![ISSUER.to_owned()], ..TokenRequestSpec::default() };
    let asked = TokenRequest { spec, ..TokenRequest::default() };
    accounts
        .create_token_request("default", &PostParams::default(), &asked)
        .await
        .unwrap()
        .status
        .unwrap()
        .token
}

async fn is_good(plane: &hosting::Plane, token: &str) -> bool {
    let review: TokenReview =
        serde_json::from_value(json!({ "metadata": {}, "spec": { "token": token } })).unwrap();
    let reviews: Api<TokenReview> = Api::all(plane.admin());
    reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().authenticated == Some(true)
}

#[tokio::test]
async fn a_new_signing_key_leaves_one_old_key_good() {
    let world = world().await;
    let first = token(&world.plane).await;
    let [one] = published(&world.plane).await.try_into().unwrap();
    world.hosting.rotate_signing_keys(CLUSTER, "operation-1").await.unwrap();
    let plane = world.hosting.plane(CLUSTER).unwrap();
    let second = token(&plane).await;
    let [two, old] = published(&plane).await.try_into().unwrap();
    assert_eq!(old, one);
    assert_ne!(two, one);
    let kid = |token: &str| {
        let header = base64::Engine::decode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            token.split('.').next().unwrap(),
        );
        serde_json::from_slice::<Value>(&header.unwrap()).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    assert_eq!((kid(&first), kid(&second)), (one, two.clone()));
    assert!(is_good(&plane, &first).await && is_good(&plane, &second).await);
    // The same rotation again, as after a crash, is the one that was.
    world.hosting.rotate_signing_keys(CLUSTER, "operation-1").await.unwrap();
    world.hosting.stop(CLUSTER).await.unwrap();
    world.hosting.ensure(spec()).await.unwrap();
    world.hosting.rotate_signing_keys(CLUSTER, "operation-1").await.unwrap();
    world.hosting.rotate_certificates(CLUSTER).await.unwrap();
    let plane = world.hosting.plane(CLUSTER).unwrap();
    assert_eq!(published(&plane).await, [two.clone(), old]);
    assert!(is_good(&plane, &first).await && is_good(&plane, &second).await);
    // Twice is how a key is made worthless at once.
    world.hosting.rotate_signing_keys(CLUSTER, "operation-2").await.unwrap();
    let plane = world.hosting.plane(CLUSTER).unwrap();
    assert_eq!(published(&plane).await[1..], [two]);
    assert!(!is_good(&plane, &first).await && is_good(&plane, &second).await);
    world.end().await;
}

#[tokio::test]
async fn a_plane_that_does_not_start_is_tried_again_until_it_does() {
    let world = world().await;
    let before = published(&world.plane).await;
    let [folder] = std::fs::read_dir(world.dir.path().join("clusters"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    // Something is where the store has to be.
    let (store, aside) = (hosting::storage::store_file(&folder), folder.join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    std::fs::create_dir(&store).unwrap();
    world.hosting.rotate_signing_keys(CLUSTER, "operation-1").await.unwrap_err();
    assert!(world.hosting.plane(CLUSTER).is_none());
    let mut names = world.hosting.names();
    names.mark_unchanged();
    std::fs::remove_dir(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    tokio::time::timeout(SOON, names.changed()).await.unwrap().unwrap();
    let plane = world.hosting.plane(CLUSTER).unwrap();
    assert_eq!(published(&plane).await[1..], before);
    // One that was stopped in the meantime stays so.
    world.hosting.stop(CLUSTER).await.unwrap();
    std::fs::rename(&store, &aside).unwrap();
    std::fs::create_dir(&store).unwrap();
    world.hosting.ensure(spec()).await.unwrap_err();
    world.hosting.stop(CLUSTER).await.unwrap();
    std::fs::remove_dir(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    assert_eq!(world.hosting.revive(CLUSTER).await, reconcile::Next::Rest);
    assert!(world.hosting.plane(CLUSTER).is_none());
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
