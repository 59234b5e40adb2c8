//! Objects in, rules out; and the kernel's own judgement of them where there is root.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

use std::net::Ipv4Addr;

use expect_test::expect_file;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube_proxy::{Config, model, rules};
use serde_json::{Value, json};

fn config() -> Config {
    Config {
        node_name: "n1".into(),
        node_address: Ipv4Addr::new(10, 224, 0, 4),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        health: None,
    }
}

fn service(name: &str, spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "default", "name": name}, "spec": spec})).unwrap()
}

fn slice(service: &str, port: u16, endpoints: &[(&str, &str, bool)]) -> EndpointSlice {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, node, ready)| {
            json!({"addresses": [address], "nodeName": node,
                   "conditions": {"ready": ready, "serving": true, "terminating": !ready}})
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"namespace": "default", "name": service,
                     "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [{"port": port, "protocol": "TCP"}], "endpoints": endpoints}))
    .unwrap()
}

fn world() -> String {
    let services = [
        service("web", json!({"clusterIP": "10.0.0.7", "ports": [{"port": 80, "protocol": "TCP"}]})),
        service("empty", json!({"clusterIP": "10.0.0.8", "ports": [{"port": 80}]})),
        service("headless", json!({"clusterIP": "None", "ports": [{"port": 80}]})),
        service(
            "sticky",
            json!({"clusterIP": "10.0.0.9", "sessionAffinity": "ClientIP",
            "ports": [{"port": 80}]}),
        ),
        service(
            "out",
            json!({"type": "LoadBalancer", "clusterIP": "10.0.0.11", "externalIPs": ["20.2.0.9"],
            "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "ports": [{"port": 443, "nodePort": 30443}]}),
        ),
    ];
    let slices = [
        slice(
            "web",
            8080,
            &[("10.244.0.5", "n1", true), ("10.244.1.6", "n2", true), ("10.244.2.9", "n3", false)],
        ),
        slice("sticky", 8080, &[("10.244.0.5", "n1", true), ("10.244.1.6", "n2", true)]),
        slice("out", 8443, &[("10.244.0.5", "n1", true), ("10.244.1.6", "n2", true)]),
    ];
    rules::script(&model::portals(services.iter(), slices.iter(), "n1"), &config())
}

#[test]
fn a_world_becomes_these_rules() {
    expect_file!["./world.nft"].assert_eq(&world());
}

#[test]
fn endpoints_that_are_ending_serve_when_no_other_does() {
    let services = [service("web", json!({"clusterIP": "10.0.0.7", "ports": [{"port": 80}]}))];
    let slices = [slice("web", 8080, &[("10.244.0.5", "n1", false)])];
    let portals = model::portals(services.iter(), slices.iter(), "n1");
    assert_eq!(portals[0].endpoints.len(), 1);
}

/// Nothing is changed: nft only checks (`-c`), which still needs root and the kernel's support.
#[test]
fn the_kernel_takes_the_rules() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let started = Command::new("unshare")
        .args(["--net", "nft", "-c", "-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let Ok(mut child) = started.map_err(|error| eprintln!("SKIPPED: unshare: {error}")) else { return };
    if !is_root {
        eprintln!("SKIPPED: needs root");
        let _ = child.kill();
        return;
    }
    child.stdin.take().unwrap().write_all(world().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
