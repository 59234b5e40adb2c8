//! The scheduler without any I/O: nodes and pods in, decisions out.

use serde_json::json;

use super::*;

fn node(name: &str, cpu: &str, extra: serde_json::Value) -> Node {
    let mut value = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
    });
    merge(&mut value, extra);
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str, cpu: &str, extra: serde_json::Value) -> Arc<Pod> {
    let mut value = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]},
        "status": {"phase": "Pending"},
    });
    merge(&mut value, extra);
    Arc::new(serde_json::from_value(value).unwrap())
}

fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
    match (into, from) {
        (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn core(nodes: &[Node]) -> Core {
    let mut core = Core::new("default-scheduler", 1);
    for node in nodes {
        core.node(node, 0);
    }
    core
}

fn bound(decision: Option<Decision>) -> String {
    match decision {
        Some(Decision::Bind { node, .. }) => node,
        other => panic!("not bound: {other:?}"),
    }
}

fn refused(decision: Option<Decision>) -> String {
    match decision {
        Some(Decision::Fail { message, .. }) => message,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn replicas_spread_over_nodes() {
    let nodes: Vec<Node> = (0..3).map(|n| node(&format!("n{n}"), "2", json!({}))).collect();
    let mut core = core(&nodes);
    let owner = json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true}]}});
    let mut used: Vec<String> = (0..3)
        .map(|n| {
            core.pod(pod(&format!("p{n}"), "10m", owner.clone()), 0);
            bound(core.next(0))
        })
        .collect();
    used.sort();
    assert_eq!(used, ["n0", "n1", "n2"]);
    assert!(core.next(0).is_none());
}

#[test]
fn reasons_are_counted_in_upstreams_words() {
    let mut core = core(&[
        node("small", "500m", json!({})),
        node(
            "tainted",
            "4",
            json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}),
        ),
        node("cordoned", "4", json!({"spec": {"unschedulable": true}})),
        node("other", "4", json!({"metadata": {"labels": {"pool": "other"}}})),
    ]);
    core.pod(pod("p", "1", json!({"spec": {"nodeSelector": {"pool": "mine"}}})), 0);
    assert_eq!(
        refused(core.next(0)),
        "0/4 nodes are available: 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable, \
         2 node(s) didn't match Pod's node affinity/selector. preemption: 0/4 nodes are available: \
         4 Preemption is not helpful for scheduling."
    );
}

#[test]
fn a_full_cluster_says_so_and_room_wakes_the_pod() {
    let nodes: Vec<Node> = (0..3).map(|n| node(&format!("n{n}"), "1", json!({}))).collect();
    let mut core = core(&nodes);
    for n in 0..3 {
        core.pod(pod(&format!("old{n}"), "800m", json!({"spec": {"nodeName": format!("n{n}")}})), 0);
    }
    core.pod(pod("new", "500m", json!({})), 0);
    assert_eq!(
        refused(core.next(0)),
        "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: \
         3 No preemption victims found for incoming pod."
    );
    assert!(core.next(60_000).is_none(), "nothing has happened");
    core.pod_gone("old1", 60_000);
    assert_eq!(bound(core.next(60_000)), "n1");
}

#[test]
fn no_nodes_and_then_one() {
    let mut core = core(&[]);
    core.pod(pod("p", "1", json!({})), 0);
    assert_eq!(refused(core.next(0)), "no nodes available to schedule pods");
    core.node(&node("n", "2", json!({})), 500);
    assert!(core.next(500).is_none(), "its backoff is not over");
    assert_eq!(core.due(), Some(1000));
    assert_eq!(bound(core.next(1000)), "n");
}

#[test]
fn a_failed_binding_frees_the_node() {
    let mut core = core(&[node("n", "1", json!({}))]);
    core.pod(pod("p", "1", json!({})), 0);
    let Some(Decision::Bind { pod: info, .. }) = core.next(0) else { panic!("not bound") };
    core.pod(pod("q", "1", json!({})), 0);
    refused(core.next(0));
    core.bind_failed(&info, 0);
    assert_eq!(bound(core.next(1000)), "n");
}

#[test]
fn gates_hold_a_pod_back() {
    let mut core = core(&[node("n", "1", json!({}))]);
    let gated = json!({"spec": {"schedulingGates": [{"name": "wait"}]}});
    assert!(matches!(core.pod(pod("p", "1", gated), 0), Some(Decision::Gated { .. })));
    assert!(core.next(0).is_none());
    core.pod(pod("p", "1", json!({})), 0);
    assert_eq!(bound(core.next(0)), "n");
}

#[test]
fn the_less_important_goes() {
    let mut core = core(&[node("a", "1", json!({})), node("b", "1", json!({}))]);
    let running = |name: &str, node: &str, priority: i32| {
        pod(name, "800m", json!({"spec": {"nodeName": node, "priority": priority}}))
    };
    core.pod(running("low", "a", 1), 0);
    core.pod(running("mid", "b", 5), 0);
    core.pod(pod("vip", "500m", json!({"spec": {"priority": 10}})), 0);
    let Some(Decision::Fail { preemption: Some(preemption), message, .. }) = core.next(0) else {
        panic!("no preemption")
    };
    assert_eq!((preemption.node.as_str(), preemption.victims[0].uid.as_str()), ("a", "low"));
    assert_eq!(message, "0/2 nodes are available: 2 Insufficient cpu.");
    // The room is kept for the pod that made it.
    core.pod_gone("low", 0);
    core.pod(pod("late", "600m", json!({})), 0);
    refused(core.next(0));
    assert_eq!(bound(core.next(1000)), "a");
}

#[test]
fn anti_affinity_spreads_and_then_refuses() {
    let mut core = core(&[node("a", "4", json!({})), node("b", "4", json!({}))]);
    let apart = json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}}}});
    let mut used = Vec::new();
    for name in ["p", "q"] {
        core.pod(pod(name, "10m", apart.clone()), 0);
        used.push(bound(core.next(0)));
    }
    used.sort();
    assert_eq!(used, ["a", "b"]);
    core.pod(pod("r", "10m", apart), 0);
    assert!(refused(core.next(0)).contains("2 node(s) didn't match pod anti-affinity rules"));
    core.pod(pod("s", "10m", json!({})), 0);
    assert!(refused(core.next(0)).contains("2 node(s) didn't satisfy existing pods anti-affinity rules"));
}

#[test]
fn affinity_lets_the_first_of_its_kind_in() {
    let zone = |name: &str, zone: &str| node(name, "4", json!({"metadata": {"labels": {"zone": zone}}}));
    let mut core = core(&[zone("a", "1"), zone("b", "2")]);
    let near = json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]}}}});
    core.pod(pod("p", "10m", near.clone()), 0);
    let first = bound(core.next(0));
    for name in ["q", "r"] {
        core.pod(pod(name, "10m", near.clone()), 0);
        assert_eq!(bound(core.next(0)), first);
    }
}

#[test]
fn hard_spreading_keeps_the_skew() {
    let zone = |name: &str, zone: &str| node(name, "4", json!({"metadata": {"labels": {"zone": zone}}}));
    let mut core = core(&[zone("a", "1"), zone("b", "1"), zone("c", "2")]);
    let even = json!({"spec": {"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]}});
    let mut in_c = 0;
    for n in 0..6 {
        core.pod(pod(&format!("p{n}"), "10m", even.clone()), 0);
        in_c += usize::from(bound(core.next(0)) == "c");
    }
    assert_eq!(in_c, 3);
}

#[test]
fn host_ports_are_exclusive() {
    let mut core = core(&[node("a", "4", json!({}))]);
    let port =
        json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}});
    core.pod(pod("p", "10m", port.clone()), 0);
    assert_eq!(bound(core.next(0)), "a");
    core.pod(pod("q", "10m", port), 0);
    assert!(refused(core.next(0)).contains("1 node(s) didn't have free ports for the requested pod ports"));
}

#[test]
fn important_pods_come_first() {
    let mut core = core(&[node("a", "4", json!({}))]);
    core.pod(pod("low", "10m", json!({})), 0);
    core.pod(pod("high", "10m", json!({"spec": {"priority": 100}})), 0);
    let Some(Decision::Bind { pod, .. }) = core.next(0) else { panic!("not bound") };
    assert_eq!(pod.uid, "high");
}

#[test]
fn missing_claims_are_named() {
    let mut core = core(&[node("a", "4", json!({}))]);
    let claim = json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    core.pod(pod("p", "10m", claim), 0);
    assert_eq!(
        refused(core.next(0)),
        "0/1 nodes are available: persistentvolumeclaim \"data\" not found. preemption: 0/1 nodes are available: \
         1 Preemption is not helpful for scheduling."
    );
}

fn rate(extra: &serde_json::Value, pods: usize) -> f64 {
    let nodes: Vec<Node> = (0..5000)
        .map(|n| {
            node(&format!("n{n}"), "64", json!({"metadata": {"labels": {"zone": format!("z{}", n % 3)}}}))
        })
        .collect();
    let mut core = core(&nodes);
    for n in 0..pods {
        core.pod(pod(&format!("p{n}"), "10m", extra.clone()), 0);
    }
    let start = std::time::Instant::now();
    for _ in 0..pods {
        bound(core.next(0));
    }
    f64::from(u32::try_from(pods).unwrap()) / start.elapsed().as_secs_f64()
}

/// Prints the rates; asserts a floor far below the target, for builds without optimisation on a busy machine.
#[test]
fn five_thousand_nodes() {
    let plain = rate(&json!({}), 2000);
    let near = rate(
        &json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]}}}}),
        500,
    );
    println!("plain: {plain:.0} pods/s, required affinity: {near:.0} pods/s");
    assert!(plain > 200.0 && near > 100.0, "plain {plain:.0}, affinity {near:.0}");
}
