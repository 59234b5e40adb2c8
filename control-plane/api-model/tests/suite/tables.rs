use super::resource;
use api_model::table::{IncludeObject, table};
use serde_json::{Value, json};

fn now() -> jiff::Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn row(group: &str, plural: &str, mut object: Value) -> String {
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let table = table(resource(group, plural), &[object], IncludeObject::None, now());
    let columns = table["columnDefinitions"].as_array().unwrap().len();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells.len(), columns);
    cells
        .iter()
        .map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned))
        .collect::<Vec<_>>()
        .join(" | ")
}

fn pod(mut status: Value, extra: Value) -> Value {
    if status.get("phase").is_none() {
        status["phase"] = json!("Running");
    }
    let mut pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}, "status": status});
    api_model::merge::merge_patch_mut(&mut pod, &extra);
    pod
}

#[test]
fn pods_tell_their_state() {
    let running = json!({"ready": true, "state": {"running": {}}});
    let status = |c: Value| json!({"containerStatuses": [c]});
    let inits = json!({"spec": {"initContainers": [{"name": "i"}, {"name": "j"}]}});
    let cases = [
        (pod(status(running.clone()), json!({})), "1/1 | Running | 0"),
        (pod(json!({"phase": "Pending"}), json!({})), "0/1 | Pending | 0"),
        (
            pod(
                status(json!({"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}})),
                json!({}),
            ),
            "0/1 | CrashLoopBackOff | 3 (5m ago)",
        ),
        (
            pod(status(running.clone()), json!({"metadata": {"deletionTimestamp": "x"}})),
            "1/1 | Terminating | 0",
        ),
        (
            pod(
                json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]}),
                json!({}),
            ),
            "0/1 | Completed | 0",
        ),
        (
            pod(
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2}}}]}),
                json!({}),
            ),
            "0/1 | ExitCode:2 | 0",
        ),
        (
            pod(
                json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}, {"name": "j"}]}),
                inits.clone(),
            ),
            "0/1 | Init:0/2 | 0",
        ),
        (
            pod(
                json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}},
            {"name": "j", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                inits,
            ),
            "0/1 | Init:CrashLoopBackOff | 1",
        ),
        (pod(json!({"phase": "Failed", "reason": "Evicted"}), json!({})), "0/1 | Evicted | 0"),
        (
            pod(
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
                json!({}),
            ),
            "0/1 | SchedulingGated | 0",
        ),
    ];
    for (object, expected) in cases {
        let got = row("", "pods", object);
        assert_eq!(got, format!("p | {expected} | 60m | <none> | <none> | <none> | <none>"));
    }
}

#[test]
fn common_kinds_print_as_kubectl_users_know_them() {
    let template = json!({"spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    let cases = [
        (
            "",
            "nodes",
            json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/agent": ""}}, "spec": {"unschedulable": true}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.4"}],
            "nodeInfo": {"kubeletVersion": "v1.35.6", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "containerd://1.7"}}}),
            "n | Ready,SchedulingDisabled | agent | 60m | v1.35.6 | 10.0.0.4 | <none> | Debian | 6.1 | containerd://1.7",
        ),
        (
            "apps",
            "deployments",
            json!({"metadata": {"name": "d"}, "spec": {"replicas": 2, "template": template, "selector": {"matchLabels": {"a": "b"}}},
            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}}),
            "d | 1/2 | 2 | 1 | 60m | c | i:1 | a=b",
        ),
        (
            "",
            "services",
            json!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}], "selector": {"a": "b"}}}),
            "s | LoadBalancer | 10.0.0.1 | <pending> | 80:30080/TCP | 60m | a=b",
        ),
        ("", "configmaps", json!({"metadata": {"name": "c"}, "data": {"a": "b"}}), "c | 1 | 60m"),
        (
            "",
            "events",
            json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "message": "no ", "count": 4,
            "involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:59:00Z"}),
            "60s | Warning | Failed | pod/p |  | kubelet, n | no | 60m | 4 | e",
        ),
        (
            "batch",
            "jobs",
            json!({"metadata": {"name": "j"}, "spec": {"completions": 1, "template": template}, "status": {"succeeded": 1,
            "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:05Z", "conditions": [{"type": "Complete", "status": "True"}]}}),
            "j | Complete | 1/1 | 5s | 60m | c | i:1 | <none>",
        ),
        (
            "storage.k8s.io",
            "storageclasses",
            json!({"metadata": {"name": "d", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "disk.csi.azure.com", "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true}),
            "d (default) | disk.csi.azure.com | Delete | WaitForFirstConsumer | true | 60m",
        ),
        (
            "certificates.k8s.io",
            "certificatesigningrequests",
            json!({"metadata": {"name": "c"}, "spec": {"signerName": "s", "username": "u"},
            "status": {"certificate": "x", "conditions": [{"type": "Approved"}]}}),
            "c | 60m | s | u | <none> | Approved,Issued",
        ),
        (
            "discovery.k8s.io",
            "endpointslices",
            json!({"metadata": {"name": "e"}, "addressType": "IPv4", "ports": [{"port": 80}],
            "endpoints": [{"addresses": ["1.1.1.1"]}, {"addresses": ["1.1.1.2"]}]}),
            "e | IPv4 | 80 | 1.1.1.1,1.1.1.2 | 60m",
        ),
    ];
    for (group, plural, object, expected) in cases {
        assert_eq!(row(group, plural, object), expected);
    }
}

/// Group, resource, object and cells, by hand from what upstream's printers do. Objects are an hour old.
#[test]
fn every_kind_prints_what_upstream_prints() {
    let cases: Value = serde_json::from_str(include_str!("../expected/tables.json")).unwrap();
    let newest = super::models().last().unwrap();
    let mut covered = std::collections::BTreeSet::new();
    for case in cases.as_array().unwrap() {
        let (group, plural) = (case["group"].as_str().unwrap(), case["plural"].as_str().unwrap());
        let mut object = case["object"].clone();
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        let found = newest.resources().iter().find(|r| r.group == group && r.plural == plural).expect(plural);
        let table = table(found, &[object], IncludeObject::None, now());
        assert_eq!(table["rows"][0]["cells"], case["cells"], "{group} {plural}: {}", case["object"]);
        assert_eq!(
            case["cells"].as_array().unwrap().len(),
            table["columnDefinitions"].as_array().unwrap().len()
        );
        covered.insert((group, plural));
    }
    for r in newest.resources().iter().filter(|r| r.verbs.iter().any(|verb| verb == "list")) {
        assert!(
            covered.contains(&(r.group.as_str(), r.plural.as_str())),
            "no case of {}",
            r.group_resource()
        );
    }
}

#[test]
fn columns_say_what_they_are() {
    let table = table(resource("storage.k8s.io", "volumeattachments"), &[], IncludeObject::None, now());
    let column = |at: usize| table["columnDefinitions"][at].clone();
    assert_eq!((&column(1)["type"], &column(1)["format"]), (&json!("string"), &json!("name")));
    assert!(
        column(1)["description"]
            .as_str()
            .unwrap()
            .starts_with("attacher indicates the name of the volume driver")
    );
    assert_eq!(column(4)["type"], "boolean");
    for model in super::models() {
        for r in model.resources() {
            for c in &r.columns {
                assert!(
                    ["string", "integer", "boolean", "date"].contains(&c.kind.as_str()),
                    "{} {}",
                    r.plural,
                    c.name
                );
                // Upstream looks this one's description up where there is none.
                assert!(!c.description.is_empty() || c.name == "Handler", "{} {}", r.plural, c.name);
            }
        }
    }
}

#[test]
fn flow_schemas_come_in_their_order_and_scales_have_a_table() {
    let schema = |name: &str, precedence: i64| json!({"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}});
    let schemas = [schema("c", 5), schema("b", 5), schema("a", 9)];
    let made =
        table(resource("flowcontrol.apiserver.k8s.io", "flowschemas"), &schemas, IncludeObject::None, now());
    let names: Vec<&str> =
        made["rows"].as_array().unwrap().iter().map(|row| row["cells"][0].as_str().unwrap()).collect();
    assert_eq!(names, ["b", "c", "a"]);
    let scale = json!({"kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}, "status": {"replicas": 2}});
    let made = api_model::table::scale_table(super::model(), &scale, IncludeObject::None, now());
    assert_eq!(made["rows"][0]["cells"], json!(["d", 3, 2, "<unknown>"]));
    assert_eq!(made["columnDefinitions"][1]["name"], "Desired");
}

#[test]
fn every_resource_prints_something_of_any_object() {
    for r in super::model().resources() {
        let t = table(r, &[json!({"metadata": {"name": "x"}})], IncludeObject::Metadata, now());
        assert_eq!(
            t["rows"][0]["cells"].as_array().unwrap().len(),
            t["columnDefinitions"].as_array().unwrap().len()
        );
        assert_eq!(t["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    }
}

#[test]
fn custom_columns_read_paths() {
    let definition = json!({"spec": {"group": "x.io", "scope": "Namespaced", "names": {"kind": "Foo", "plural": "foos"}, "versions": [{
        "name": "v1", "served": true, "additionalPrinterColumns": [
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
            {"name": "N", "type": "integer", "jsonPath": ".spec.n"}, {"name": "A", "type": "string", "jsonPath": ".metadata.annotations.x\\.io/a"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]}]}});
    let foo = api_model::Resource::from_definition(super::model(), &definition, "v1").unwrap();
    let object = json!({"metadata": {"name": "f", "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"x.io/a": "b"}}, "spec": {"n": 3},
        "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}});
    let t = table(&foo, &[object], IncludeObject::None, now());
    assert_eq!(t["rows"][0]["cells"], json!(["f", "True", 3, "b", "60m"]));
}

#[test]
fn durations_are_short() {
    let cases = [
        (0, "0s"),
        (-1, "0s"),
        (-5, "<invalid>"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (601, "10m"),
        (7200, "120m"),
        (10_800, "3h"),
        (14_460, "4h1m"),
        (86_400, "24h"),
        (200_000, "2d7h"),
        (86_400 * 9, "9d"),
        (86_400 * 800, "2y70d"),
    ];
    for (seconds, text) in cases {
        assert_eq!(api_model::duration::human(seconds), text, "{seconds}");
    }
}
