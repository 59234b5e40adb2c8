use std::time::Duration;

use apiserver::UserInfo;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest as Csr;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use crate::harness::start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_unknown_and_its_pods_leave() {
    let plane = start(Duration::from_secs(2)).await;
    plane.node("n1").await;
    plane.until("the default account", "serviceaccounts", "default", |all| !all.is_empty()).await;
    let soon = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]);
    plane
        .create(
            "pods",
            "default",
            json!({
                "metadata": {"name": "p"},
                "spec": {"containers": [{"name": "c", "image": "i"}], "tolerations": soon},
            }),
        )
        .await;
    plane.until("it runs", "pods", "default", |p| p[0]["status"]["phase"] == "Running").await;
    // A second node stays alive, or nobody would be driven away.
    let client = plane.client.clone();
    plane.node("n2").await;
    let beat = tokio::spawn(async move {
        let api: Api<Node> = Api::all(client);
        loop {
            let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
                "lastHeartbeatTime": jiff::Timestamp::now().to_string()}]}});
            let _ = api.patch_status("n2", &Default::default(), &kube::api::Patch::Merge(&status)).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let nodes = plane
        .until("silence is noticed", "nodes", "", |nodes| {
            nodes.iter().any(|n| {
                n["metadata"]["name"] == "n1"
                    && n["spec"]["taints"].as_array().is_some_and(|t| {
                        t.iter().any(|t| {
                            t["key"] == "node.kubernetes.io/unreachable" && t["effect"] == "NoExecute"
                        })
                    })
            })
        })
        .await;
    let n1 = nodes.iter().find(|n| n["metadata"]["name"] == "n1").unwrap();
    let ready = n1["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!(
        (ready["status"].as_str(), ready["reason"].as_str()),
        (Some("Unknown"), Some("NodeStatusUnknown"))
    );
    plane.until("the pod leaves", "pods", "default", <[_]>::is_empty).await;
    beat.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_removed_node_go() {
    let plane = start(Duration::from_secs(3600)).await;
    plane.node("n1").await;
    plane.until("the default account", "serviceaccounts", "default", |all| !all.is_empty()).await;
    plane
        .create(
            "pods",
            "default",
            json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
        )
        .await;
    plane.until("it runs", "pods", "default", |p| p[0]["status"]["phase"] == "Running").await;
    plane.delete("nodes", "", "n1", DeleteParams::default()).await;
    plane.until("the pod goes", "pods", "default", <[_]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubelet_gets_its_certificates() {
    let plane = start(Duration::from_secs(3600)).await;
    let groups = ["system:bootstrappers", "system:bootstrappers:nodes", "system:authenticated"];
    for (name, role) in [
        ("test-create", "system:node-bootstrapper"),
        ("test-approve", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"),
    ] {
        plane
            .create("clusterrolebindings", "", json!({
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers:nodes"}],
            }))
            .await;
    }
    let made = kit::pki::request("system:node:n1", &["system:nodes".to_owned()], &[], &[]).unwrap();
    let bootstrapper = plane.api.client(UserInfo::new("system:bootstrap:abcdef", &groups));
    let signer = "kubernetes.io/kube-apiserver-client-kubelet";
    signed(&bootstrapper, "client", signer, "client auth", made.request_pem).await;

    plane.node("n1").await;
    let address = json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.224.0.4"}]}});
    let api: Api<Node> = Api::all(plane.client.clone());
    api.patch_status("n1", &Default::default(), &kube::api::Patch::Merge(&address)).await.unwrap();
    let node = plane.api.client(UserInfo::new("system:node:n1", &["system:nodes", "system:authenticated"]));
    let ip = ["10.224.0.4".parse().unwrap()];
    let made =
        kit::pki::request("system:node:n1", &["system:nodes".to_owned()], &["n1".to_owned()], &ip).unwrap();
    signed(&node, "serving", "kubernetes.io/kubelet-serving", "server auth", made.request_pem).await;
}

async fn signed(client: &kube::Client, name: &str, signer: &str, usage: &str, pem: String) {
    let api: Api<Csr> = Api::all(client.clone());
    let mut csr = Csr::default();
    csr.metadata.name = Some(name.to_owned());
    csr.spec.signer_name = signer.to_owned();
    csr.spec.usages = Some(vec!["digital signature".to_owned(), usage.to_owned()]);
    csr.spec.request = k8s_openapi::ByteString(pem.into_bytes());
    api.create(&PostParams::default(), &csr).await.unwrap();
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let now = api.get(name).await.unwrap();
        let status = now.status.unwrap_or_default();
        if let Some(certificate) = status.certificate {
            assert!(String::from_utf8(certificate.0).unwrap().contains("BEGIN CERTIFICATE"));
            return;
        }
        assert!(tokio::time::Instant::now() < end, "{name} is not signed: {:?}", status.conditions);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
