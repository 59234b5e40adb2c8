//! Rows of the core group and of events.

use super::cells::{Cells, Row, containers, first_three, joined, label_list, list, shown, text};
use super::{node, pod};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn cells(kind: (&str, &str), row: &Row<'_>) -> Option<Cells> {
    Some(match kind {
        ("", "Pod") => pod::cells(row),
        ("", "Node") => node::cells(row),
        ("", "Service") => service(row),
        ("", "Endpoints") => vec![row.name(), endpoints(row), row.age()],
        ("" | "events.k8s.io", "Event") => event(row),
        ("", "Namespace") => vec![row.name(), row.text("/status/phase").into(), row.age()],
        ("", "ConfigMap") => {
            let count = keys(row.at("/data")) + keys(row.at("/binaryData"));
            vec![row.name(), count.into(), row.age()]
        }
        ("", "Secret") => vec![row.name(), row.text("/type").into(), keys(row.at("/data")).into(), row.age()],
        ("", "ServiceAccount") => vec![row.name(), row.list("/secrets").len().into(), row.age()],
        ("", "PersistentVolume") => volume(row),
        ("", "PersistentVolumeClaim") => claim(row),
        ("", "PodTemplate") => {
            let (names, images) = containers(row.at("/template"));
            vec![row.name(), names, images, label_list(row.at("/template/metadata/labels"))]
        }
        ("", "ResourceQuota") => quota(row),
        ("", "ComponentStatus") => component(row),
        _ => return None,
    })
}

fn keys(value: Option<&Value>) -> usize {
    value.and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn service(row: &Row<'_>) -> Cells {
    let kind = row.text("/spec/type");
    let internal = list(row.at("/spec/clusterIPs")).first().and_then(Value::as_str).unwrap_or_default();
    vec![
        row.name(),
        kind.into(),
        if internal.is_empty() { "<none>".into() } else { internal.into() },
        external_ip(row, kind),
        ports(row),
        row.age(),
        label_list(row.at("/spec/selector")),
    ]
}

fn external_ip(row: &Row<'_>, kind: &str) -> Value {
    let given = row.list("/spec/externalIPs").iter().filter_map(Value::as_str);
    match kind {
        "ExternalName" => row.text("/spec/externalName").into(),
        "LoadBalancer" => {
            let balanced = balanced(row);
            joined(balanced.into_iter().chain(given), "<pending>")
        }
        "ClusterIP" | "NodePort" => joined(given, "<none>"),
        _ => "<unknown>".into(),
    }
}

/// Addresses of a load balancer, or names where there is no address: each once, in order.
pub(super) fn balanced<'a>(row: &Row<'a>) -> BTreeSet<&'a str> {
    let ingress = row.list("/status/loadBalancer/ingress").iter();
    let shown = ingress.map(|i| match text(i, "/ip") {
        "" => text(i, "/hostname"),
        ip => ip,
    });
    shown.filter(|shown| !shown.is_empty()).collect()
}

fn ports(row: &Row<'_>) -> Value {
    let ports: Vec<String> = row
        .list("/spec/ports")
        .iter()
        .map(|p| {
            let (port, protocol) = (p.get("port").map(shown).unwrap_or_default(), text(p, "/protocol"));
            match p.get("nodePort").and_then(Value::as_i64) {
                Some(node) if node > 0 => format!("{port}:{node}/{protocol}"),
                _ => format!("{port}/{protocol}"),
            }
        })
        .collect();
    joined(ports.iter().map(String::as_str), "<none>")
}

fn endpoints(row: &Row<'_>) -> Value {
    if row.list("/subsets").is_empty() {
        return "<none>".into();
    }
    let mut all = Vec::new();
    for subset in row.list("/subsets") {
        let addresses = || list(subset.get("addresses")).iter().map(|address| text(address, "/ip"));
        let ports = list(subset.get("ports"));
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let number = port.get("port").map(shown).unwrap_or_default();
            let with_port = |ip: &str| {
                if ip.contains(':') { format!("[{ip}]:{number}") } else { format!("{ip}:{number}") }
            };
            all.extend(addresses().map(with_port));
        }
    }
    first_three(&all, "")
}

fn event(row: &Row<'_>) -> Cells {
    let new = row.at("/regarding").is_some();
    let object = if new { "/regarding" } else { "/involvedObject" };
    let at = |field: &str| row.text(&format!("{object}/{field}"));
    let seen = |pointers: &[&str]| pointers.iter().find(|p| row.at(p).is_some()).map(|p| row.since(p));
    let unknown = || "<unknown>".to_owned();
    let first = seen(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]).unwrap_or_else(unknown);
    let last = match row.at("/series") {
        Some(_) => seen(&["/series/lastObservedTime"]).unwrap_or_else(unknown),
        None => seen(&["/lastTimestamp", "/deprecatedLastTimestamp"]).unwrap_or_else(|| first.clone()),
    };
    let count = match row.at("/series") {
        Some(_) => row.number("/series/count"),
        // An event that stands alone has no count in the newer group.
        None => row.number("/count").max(row.number("/deprecatedCount")).max(1),
    };
    let target = match at("name") {
        "" => at("kind").to_lowercase(),
        name => format!("{}/{name}", at("kind").to_lowercase()),
    };
    let component =
        ["/source/component", "/deprecatedSource/component", "/reportingComponent", "/reportingController"];
    let host = ["/source/host", "/deprecatedSource/host", "/reportingInstance"];
    let source = match (row.first_text(&component), row.first_text(&host)) {
        (component, "") => component.to_owned(),
        (component, host) => format!("{component}, {host}"),
    };
    let message = if new { row.text("/note") } else { row.text("/message") };
    vec![
        last.into(),
        row.text("/type").into(),
        row.text("/reason").into(),
        target.into(),
        at("fieldPath").into(),
        source.into(),
        message.trim().into(),
        first.into(),
        count.into(),
        row.name(),
    ]
}

/// `RWO,ROX`, each once, in this order.
fn access_modes(modes: &[Value]) -> Value {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| modes.iter().any(|known| known == mode);
    joined(SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short), "")
}

fn attributes_class(row: &Row<'_>) -> Value {
    row.shown_or("/spec/volumeAttributesClassName", "<unset>")
}

/// The storage class: an old annotation wins over the field.
fn class(row: &Row<'_>) -> Value {
    match row.at("/metadata/annotations/volume.beta.kubernetes.io~1storage-class") {
        Some(class) => class.clone(),
        None => row.text("/spec/storageClassName").into(),
    }
}

fn volume(row: &Row<'_>) -> Cells {
    let claim = match row.at("/spec/claimRef") {
        None => String::new(),
        Some(claim) => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")),
    };
    vec![
        row.name(),
        row.shown_or("/spec/capacity/storage", "0"),
        access_modes(row.list("/spec/accessModes")),
        row.text("/spec/persistentVolumeReclaimPolicy").into(),
        phase(row),
        claim.into(),
        class(row),
        attributes_class(row),
        row.text("/status/reason").into(),
        row.age(),
        row.shown_or("/spec/volumeMode", "<unset>"),
    ]
}

fn phase(row: &Row<'_>) -> Value {
    match row.at("/metadata/deletionTimestamp") {
        Some(_) => "Terminating".into(),
        None => row.text("/status/phase").into(),
    }
}

fn claim(row: &Row<'_>) -> Cells {
    let volume = row.text("/spec/volumeName");
    let (capacity, modes) = if volume.is_empty() {
        ("".into(), "".into())
    } else {
        (row.shown_or("/status/capacity/storage", "0"), access_modes(row.list("/status/accessModes")))
    };
    vec![
        row.name(),
        phase(row),
        volume.into(),
        capacity,
        modes,
        class(row),
        attributes_class(row),
        row.age(),
        row.shown_or("/spec/volumeMode", "<unset>"),
    ]
}

fn quota(row: &Row<'_>) -> Cells {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = row.at("/status/hard").and_then(Value::as_object);
    for (name, hard) in hard.into_iter().flatten() {
        let used = row.at("/status/used").and_then(|u| u.get(name)).map_or_else(|| "0".to_owned(), shown);
        let line = format!("{name}: {used}/{}", shown(hard));
        if name.starts_with("limits.") { limits.push(line) } else { requests.push(line) }
    }
    vec![row.name(), requests.join(", ").into(), limits.join(", ").into(), row.age()]
}

fn component(row: &Row<'_>) -> Cells {
    let healthy = row.list("/conditions").iter().find(|c| text(c, "/type") == "Healthy");
    let status = match healthy.map(|c| text(c, "/status")) {
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    };
    let part = |pointer: &str| -> Value { healthy.map_or("", |c| text(c, pointer)).into() };
    vec![row.name(), status.into(), part("/message"), part("/error")]
}
