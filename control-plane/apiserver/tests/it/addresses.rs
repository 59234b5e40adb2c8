//! Addresses and ports of services: given once, given back, and seen by everybody.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{Server, start, start_with};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";

fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}});
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    service
}

async fn made(server: &Server, name: &str, spec: Value) -> Value {
    server.post(SERVICES, service(name, spec)).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_an_object_as_long_as_its_service() {
    let server = start().await;
    let range = server.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.ok();
    assert_eq!(range["spec"]["cidrs"], json!(["10.0.0.0/16"]));
    assert_eq!(
        (&range["status"]["conditions"][0]["type"], &range["status"]["conditions"][0]["status"]),
        (&json!("Ready"), &json!("True"))
    );
    assert_eq!(
        server.get(&format!("{ADDRESSES}/10.0.0.1")).await.ok()["spec"]["parentRef"]["name"],
        "kubernetes"
    );

    let one = made(&server, "one", json!({})).await;
    let address = format!("{ADDRESSES}/{}", one["spec"]["clusterIP"].as_str().unwrap());
    let object = server.get(&address).await.ok();
    let parent = json!({"resource": "services", "namespace": "default", "name": "one"});
    assert_eq!(object["spec"]["parentRef"], parent);
    assert_eq!(object["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"], "ipallocator");
    server.delete(&format!("{SERVICES}/one")).await.ok();
    server.get(&address).await.refused(404);

    let two = made(&server, "two", json!({"type": "NodePort"})).await;
    let address = format!("{ADDRESSES}/{}", two["spec"]["clusterIP"].as_str().unwrap());
    let mut external = two.clone();
    external["spec"]["type"] = json!("ExternalName");
    external["spec"]["externalName"] = json!("a.example");
    let external = server.put(&format!("{SERVICES}/two"), external).await.ok();
    assert!(external["spec"].get("clusterIP").is_none() && external["spec"].get("clusterIPs").is_none());
    assert!(external["spec"]["ports"][0].get("nodePort").is_none());
    server.get(&address).await.refused(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_given_is_refused_in_upstreams_words() {
    let server = start().await;
    let asked =
        json!({"clusterIP": "10.0.5.5", "type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]});
    made(&server, "first", asked.clone()).await;
    let refused =
        server.post(SERVICES, service("second", json!({"clusterIP": "10.0.5.5"}))).await.refused(422);
    assert_eq!(
        refused,
        "Service \"second\" is invalid: spec.clusterIPs: Invalid value: [\"10.0.5.5\"]: failed to allocate IP 10.0.5.5: provided IP is already allocated"
    );
    let refused =
        server.post(SERVICES, service("second", json!({"clusterIP": "192.0.2.1"}))).await.refused(422);
    assert!(
        refused.ends_with(
            "failed to allocate IP 192.0.2.1: the provided network does not match the current range"
        ),
        "{refused}"
    );
    let ports = |port: i64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let refused = server.post(SERVICES, service("second", ports(30080))).await.refused(422);
    assert_eq!(
        refused,
        "Service \"second\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
    );
    let refused = server.post(SERVICES, service("second", ports(80))).await.refused(422);
    assert!(refused.ends_with("Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"), "{refused}");
    let refused =
        server.post(SERVICES, service("second", json!({"ipFamilies": ["IPv6"]}))).await.refused(422);
    assert!(
        refused.ends_with("spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"),
        "{refused}"
    );
    let refused = server
        .post(SERVICES, service("second", json!({"ipFamilyPolicy": "RequireDualStack"})))
        .await
        .refused(422);
    assert!(refused.ends_with("this cluster is not configured for dual-stack services"), "{refused}");
    // Another's address is nobody's to take, whoever made its object.
    let foreign = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": "10.0.6.6"},
        "spec": {"parentRef": {"group": "gateway.networking.k8s.io", "resource": "gateways", "namespace": "default", "name": "g"}}});
    server.post(ADDRESSES, foreign).await.ok();
    let refused =
        server.post(SERVICES, service("second", json!({"clusterIP": "10.0.6.6"}))).await.refused(422);
    assert!(refused.ends_with("provided IP is already allocated"), "{refused}");
    // What is given back can be given again.
    server.delete(&format!("{SERVICES}/first")).await.ok();
    made(&server, "second", asked).await;
    // Who has no selector is found by other means, in whatever family.
    let headless = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "headless"}, "spec": {"clusterIP": "None"}});
    let headless = server.post(SERVICES, headless).await.ok();
    assert_eq!(headless["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert_eq!(headless["spec"]["ipFamilyPolicy"], "RequireDualStack");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_given_different_ones() {
    let server = start().await;
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
    let names: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let all = names.iter().map(|name| made(&server, name, spec.clone()));
    let all = futures::future::join_all(all).await;
    let of = |pointer: &str| -> HashSet<String> {
        all.iter().map(|service| service.pointer(pointer).unwrap().to_string()).collect()
    };
    let addresses = of("/spec/clusterIP");
    let mut ports = of("/spec/ports/0/nodePort");
    ports.extend(of("/spec/healthCheckNodePort"));
    assert_eq!((addresses.len(), ports.len()), (40, 80));
    // The cluster's own is one more.
    let objects = server.get(ADDRESSES).await.ok();
    assert_eq!(objects["items"].as_array().unwrap().len(), 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_mends_the_objects_of_addresses() {
    let (store_tasks, options) = (kit::Tasks::new(), store::Options::default());
    let store = store::Embedded::memory(options, &store_tasks);
    let first = start_with(store.clone(), kit::Tasks::new()).await;
    let one = made(&first, "one", json!({})).await;
    let address = format!("{ADDRESSES}/{}", one["spec"]["clusterIP"].as_str().unwrap());
    first.delete(&address).await.ok();
    let orphan = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {"name": "10.0.7.7", "labels": {"ipaddress.kubernetes.io/managed-by": "ipallocator"}},
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "gone"}}});
    first.post(ADDRESSES, orphan).await.ok();
    drop(first);
    let second = start_with(store, kit::Tasks::new()).await;
    assert_eq!(second.get(&address).await.ok()["spec"]["parentRef"]["name"], "one");
    second.get(&format!("{ADDRESSES}/10.0.7.7")).await.refused(404);
    store_tasks.stop();
}
