use std::sync::atomic::AtomicU64;

use serde_json::json;

use super::*;
use crate::attributes::UserInfo;
use crate::attributes::fake::Fake;
use crate::bootstrap::flow::seeds;

fn cluster() -> Arc<Fake> {
    let fake = Fake::default();
    for mut seed in seeds() {
        seed.object["metadata"]["uid"] = json!(format!("uid-{}", seed.name()));
        fake.put(seed.group, seed.plural, seed.object);
    }
    Arc::new(fake)
}

fn flow_of(objects: &Arc<Fake>, total: u32) -> Flow {
    let seen = objects.clone();
    let versions = move || [Objects::version(&*seen, GROUP, "flowschemas"); 2];
    Flow::new(objects.clone(), Box::new(versions), total, Arc::new(kit::SystemClock))
}

/// `verb group/resource[/sub] [namespace]` or `verb /path`.
fn digest<'a>(user: &'a UserInfo, text: &'a str) -> Digest<'a> {
    let mut fields = text.split_whitespace();
    let (verb, what) = (fields.next().unwrap(), fields.next().unwrap());
    let namespace = fields.next().unwrap_or_default();
    let mut digest = Digest {
        user,
        verb,
        is_resource: true,
        group: "",
        resource: "",
        subresource: "",
        namespace,
        name: "",
        path: "",
    };
    if what.starts_with('/') {
        return Digest { is_resource: false, path: what, ..digest };
    }
    let mut parts = what.splitn(3, '/');
    digest.group = parts.next().filter(|group| *group != "core").unwrap_or_default();
    digest.resource = parts.next().unwrap_or_default();
    digest.subresource = parts.next().unwrap_or_default();
    digest
}

fn user(name: &str, group: &str) -> UserInfo {
    UserInfo::new(name, &[group, "system:authenticated"])
}

#[tokio::test]
async fn requests_fall_where_upstream_puts_them() {
    let flow = flow_of(&cluster(), SEATS);
    let node = user("system:node:n1", "system:nodes");
    let account = |name: &str| UserInfo {
        groups: vec!["system:serviceaccounts".into(), "system:authenticated".into()],
        ..user(name, "")
    };
    let (system, own) =
        (account("system:serviceaccount:kube-system:x"), account("system:serviceaccount:app:default"));
    let manager = user("system:kube-controller-manager", "x");
    let table = [
        (user("root", "system:masters"), "get core/pods a", "exempt", ""),
        (UserInfo::new("system:anonymous", &["system:unauthenticated"]), "get /healthz", "probes", ""),
        (
            UserInfo::new("system:anonymous", &["system:unauthenticated"]),
            "get /version",
            "global-default",
            "system:anonymous",
        ),
        (
            manager.clone(),
            "update coordination.k8s.io/leases kube-system",
            "system-leader-election",
            "system:kube-controller-manager",
        ),
        (manager.clone(), "update core/endpoints a", "endpoint-controller", "system:kube-controller-manager"),
        (manager, "list core/pods a", "kube-controller-manager", "a"),
        (
            node.clone(),
            "update coordination.k8s.io/leases kube-node-lease",
            "system-node-high",
            "system:node:n1",
        ),
        (node.clone(), "patch core/nodes/status", "system-node-high", "system:node:n1"),
        (node.clone(), "get core/secrets a", "system-nodes", "system:node:n1"),
        (
            system.clone(),
            "update coordination.k8s.io/leases a",
            "system-leader-election",
            "system:serviceaccount:kube-system:x",
        ),
        (system, "list core/nodes", "kube-system-service-accounts", ""),
        (own, "list core/pods app", "service-accounts", "system:serviceaccount:app:default"),
        (user("jane", "dev"), "list core/pods app", "global-default", "jane"),
        (UserInfo::new("nobody", &["strange"]), "list core/pods app", "", ""),
    ];
    for (user, text, wanted, wanted_flow) in table {
        let request = digest(&user, text);
        let admission = flow.admit(&request, || 1).await;
        let Some(admission) = admission else {
            assert_eq!(wanted, "", "{} {text}", user.name);
            continue;
        };
        assert_eq!(admission.schema.name, wanted, "{} {text}", user.name);
        assert_eq!(admission.schema.distinguisher(&request), wanted_flow, "{} {text}", user.name);
        assert!(admission.result.is_ok());
        let mut headers = HeaderMap::new();
        Admission::mark(&admission.schema, &mut headers);
        assert_eq!(headers["x-kubernetes-pf-flowschema-uid"], format!("uid-{wanted}"));
        assert_eq!(
            headers["x-kubernetes-pf-prioritylevel-uid"],
            format!("uid-{}", admission.schema.level.name)
        );
    }
}

#[tokio::test]
async fn seats_are_upstreams_and_a_level_without_queues_refuses() {
    let objects = cluster();
    let flow = flow_of(&objects, SEATS);
    let mut text = String::new();
    flow.metrics(&mut text);
    for (level, seats) in [
        ("catch-all", 13),
        ("system", 74),
        ("node-high", 98),
        ("leader-election", 25),
        ("workload-high", 98),
        ("workload-low", 245),
        ("global-default", 49),
    ] {
        let line =
            format!("apiserver_flowcontrol_nominal_limit_seats{{priority_level=\"{level}\"}} {seats}\n");
        assert!(text.contains(&line), "{line}");
    }
    // Everything but what is mandatory is deleted: all falls through to the level that refuses.
    for seed in seeds() {
        if seed.name() != "exempt" {
            objects.remove(seed.group, seed.plural, "", seed.name());
        }
    }
    let jane = user("jane", "dev");
    let mut running = Vec::new();
    loop {
        let admission = flow.admit(&digest(&jane, "list core/pods a"), || 100).await.unwrap();
        assert_eq!(admission.schema.name, "catch-all");
        match admission.result {
            Ok(permit) => running.push(permit),
            Err(refused) => {
                assert_eq!(refused, Refused::Full(Reason::ConcurrencyLimit));
                break;
            }
        }
    }
    assert_eq!(running.len(), 6, "600 seats, all for catch-all");
    drop(running);
    assert!(
        flow.admit(&digest(&jane, "list core/pods a"), || 100).await.unwrap().result.is_ok(),
        "seats are given back"
    );
}

#[tokio::test]
async fn who_waits_gets_the_seat_that_becomes_free_and_who_leaves_frees_his_place() {
    // One seat for each level.
    let flow = Arc::new(flow_of(&cluster(), 1));
    let jane = user("jane", "dev");
    let first = flow.admit(&digest(&jane, "list core/pods a"), || 1).await.unwrap().result.unwrap();
    let waits = |flow: &Arc<Flow>, name: &'static str| {
        let flow = flow.clone();
        tokio::spawn(async move {
            let user = user(name, "dev");
            let request = digest(&user, "list core/pods a");
            flow.admit(&request, || 1).await.unwrap().result.map(|permit| (name, permit))
        })
    };
    let waiting = |flow: &Flow| {
        let config = flow.config.load_full();
        config.levels.iter().map(|level| level.queues.lock().counts().1).sum::<u32>()
    };
    let (second, third) = (waits(&flow, "second"), waits(&flow, "third"));
    while waiting(&flow) < 2 {
        tokio::task::yield_now().await;
    }
    let requests = flow.dump("dump_requests").unwrap();
    assert_eq!(requests.lines().count(), 3, "{requests}");
    assert!(requests.contains("global-default, "), "{requests}");
    let levels = flow.dump("dump_priority_levels").unwrap();
    assert!(levels.starts_with("PriorityLevelName, ActiveQueues, IsIdle, "), "{levels}");
    second.abort();
    while waiting(&flow) > 1 {
        tokio::task::yield_now().await;
    }
    drop(first);
    let (name, _permit) = third.await.unwrap().unwrap();
    assert_eq!((name, waiting(&flow)), ("third", 0));
    assert!(flow.dump("else").is_none());
}

#[test]
fn placing_a_request_costs_little_when_nothing_waits() {
    let flow = flow_of(&cluster(), SEATS);
    let node = user("system:node:n1", "system:nodes");
    let request = digest(&node, "get core/secrets a");
    let count = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        for _ in 0..20_000 {
            let admission = flow.admit(&request, || 1).await.unwrap();
            count.fetch_add(u64::from(admission.result.is_ok()), Ordering::Relaxed);
        }
    });
    let each = begun.elapsed() / 20_000;
    assert_eq!(count.load(Ordering::Relaxed), 20_000);
    // Unoptimised and on a busy machine; what matters is that it is no milliseconds.
    assert!(each < Duration::from_micros(500), "{each:?}");
    println!("{each:?} per request");
}
