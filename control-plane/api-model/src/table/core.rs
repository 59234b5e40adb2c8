//! Rows of the core group and of events.

use super::cells::{Cells, Row, containers, first_three, joined, label_list, list, shown, text};
use super::{node, pod};
use serde_json::Value;

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
    let internal = match list(row.at("/spec/clusterIPs")).first().and_then(Value::as_str) {
        Some(ip) => ip,
        None => row.text("/spec/clusterIP"),
    };
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
            let ingress = row.list("/status/loadBalancer/ingress").iter();
            let balanced = ingress.map(|i| match text(i, "/ip") {
                "" => text(i, "/hostname"),
                ip => ip,
            });
            joined(balanced.chain(given), "<pending>")
        }
        _ => joined(given, "<none>"),
    }
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
    let mut all = Vec::new();
    for subset in row.list("/subsets") {
        let ports = list(subset.get("ports"));
        for address in list(subset.get("addresses")) {
            let ip = text(address, "/ip");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            for port in ports {
                let number = port.get("port").map(shown).unwrap_or_default();
                all.push(if ip.contains(':') {
                    format!("[{ip}]:{number}")
                } else {
                    format!("{ip}:{number}")
                });
            }
        }
    }
    first_three(&all, "<none>")
}

fn event(row: &Row<'_>) -> Cells {
    let new = row.at("/regarding").is_some();
    let object = if new { "/regarding" } else { "/involvedObject" };
    let at = |field: &str| row.text(&format!("{object}/{field}"));
    let first_of =
        |pointers: &[&'static str]| pointers.iter().copied().find(|p| row.at(p).is_some()).unwrap_or("/none");
    let first = first_of(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let last =
        first_of(&["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime"]);
    let first_seen = row.since(first);
    let last_seen = if last == "/none" { first_seen.clone() } else { row.since(last) };
    let count =
        ["/series/count", "/count", "/deprecatedCount"].iter().find_map(|p| row.at(p)?.as_i64()).unwrap_or(1);
    let target = match at("name") {
        "" => at("kind").to_lowercase(),
        name => format!("{}/{name}", at("kind").to_lowercase()),
    };
    let component = first_of(&[
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ]);
    let host = first_of(&["/source/host", "/deprecatedSource/host", "/reportingInstance"]);
    let source = match (row.text(component), row.text(host)) {
        (component, "") => component.to_owned(),
        (component, host) => format!("{component}, {host}"),
    };
    let message = if new { row.text("/note") } else { row.text("/message") };
    vec![
        last_seen.into(),
        row.text("/type").into(),
        row.text("/reason").into(),
        target.into(),
        at("fieldPath").into(),
        source.into(),
        message.trim().into(),
        first_seen.into(),
        count.into(),
        row.name(),
    ]
}

/// `RWO,ROX`, each once.
fn access_modes(modes: &[Value]) -> Value {
    let short = |mode: &str| {
        Some(match mode {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            _ => return None,
        })
    };
    joined(modes.iter().filter_map(Value::as_str).filter_map(short), "")
}

fn attributes_class(row: &Row<'_>) -> Value {
    row.text_or("/spec/volumeAttributesClassName", "<unset>")
}

fn volume(row: &Row<'_>) -> Cells {
    let claim = match (row.text("/spec/claimRef/namespace"), row.text("/spec/claimRef/name")) {
        ("", "") => String::new(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    vec![
        row.name(),
        row.shown_or("/spec/capacity/storage", ""),
        access_modes(row.list("/spec/accessModes")),
        row.text("/spec/persistentVolumeReclaimPolicy").into(),
        phase(row),
        claim.into(),
        row.text("/spec/storageClassName").into(),
        attributes_class(row),
        row.text("/status/reason").into(),
        row.age(),
        row.text_or("/spec/volumeMode", "<unset>"),
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
        (row.shown_or("/status/capacity/storage", ""), access_modes(row.list("/status/accessModes")))
    };
    let class = match row.text("/spec/storageClassName") {
        "" => row.text("/metadata/annotations/volume.beta.kubernetes.io~1storage-class"),
        class => class,
    };
    vec![
        row.name(),
        phase(row),
        volume.into(),
        capacity,
        modes,
        class.into(),
        attributes_class(row),
        row.age(),
        row.text_or("/spec/volumeMode", "<unset>"),
    ]
}

fn quota(row: &Row<'_>) -> Cells {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = row.at("/status/hard").or_else(|| row.at("/spec/hard")).and_then(Value::as_object);
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
        Some("False") => "Unhealthy",
        _ => "Unknown",
    };
    let part = |pointer: &str| -> Value { healthy.map_or("", |c| text(c, pointer)).into() };
    vec![row.name(), status.into(), part("/message"), part("/error")]
}
