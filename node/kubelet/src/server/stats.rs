//! What node, pods and containers use: `/stats/summary`, `/metrics/resource`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use http::StatusCode;
use kit::http::{Response, bytes_response, json};
use serde_json::{Value, json as value};

use super::text;
use crate::labels;
use crate::runtime::ContainerStats;
use crate::shared::Shared;

#[derive(Default, Clone, Copy)]
struct Use {
    cpu_ns: u64,
    memory_bytes: u64,
    memory_all_bytes: u64,
}

struct OfContainer {
    pod: (String, String, String),
    name: String,
    used: Use,
}

fn of(stats: &ContainerStats) -> Option<OfContainer> {
    let labels = &stats.attributes.as_ref()?.labels;
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    let number = |value: &Option<k8s_cri::v1::UInt64Value>| value.as_ref().map_or(0, |value| value.value);
    let memory = stats.memory.unwrap_or_default();
    Some(OfContainer {
        pod: (label(labels::POD_NAMESPACE), label(labels::POD_NAME), label(labels::POD_UID)),
        name: label(labels::CONTAINER_NAME),
        used: Use {
            cpu_ns: stats.cpu.as_ref().map_or(0, |cpu| number(&cpu.usage_core_nano_seconds)),
            memory_bytes: number(&memory.working_set_bytes),
            memory_all_bytes: number(&memory.usage_bytes),
        },
    })
}

async fn containers(shared: &Shared) -> Result<Vec<OfContainer>, Response> {
    match shared.config.runtime.stats().await {
        Ok(stats) => Ok(stats.iter().filter_map(of).collect()),
        Err(error) => Err(text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// The machine's own cgroup; without one, the sum of what its containers use.
fn node(shared: &Shared, containers: &[OfContainer]) -> Use {
    shared
        .config
        .cgroup_root
        .as_deref()
        .and_then(from_cgroup)
        .unwrap_or_else(|| containers.iter().fold(Use::default(), |sum, one| add(sum, one.used)))
}

fn from_cgroup(root: &Path) -> Option<Use> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let field = |text: &str, name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    if let Some(cpu) = read("cpuacct/cpuacct.usage") {
        let all: u64 = read("memory/memory.usage_in_bytes")?.trim().parse().ok()?;
        let inactive = field(&read("memory/memory.stat")?, "total_inactive_file ").unwrap_or(0);
        return Some(Use {
            cpu_ns: cpu.trim().parse().ok()?,
            memory_bytes: all.saturating_sub(inactive),
            memory_all_bytes: all,
        });
    }
    let cpu = field(&read("cpu.stat")?, "usage_usec ")? * 1000;
    let all: u64 = read("memory.current")?.trim().parse().ok()?;
    let inactive = field(&read("memory.stat")?, "inactive_file ").unwrap_or(0);
    Some(Use { cpu_ns: cpu, memory_bytes: all.saturating_sub(inactive), memory_all_bytes: all })
}

fn add(a: Use, b: Use) -> Use {
    Use {
        cpu_ns: a.cpu_ns + b.cpu_ns,
        memory_bytes: a.memory_bytes + b.memory_bytes,
        memory_all_bytes: a.memory_all_bytes + b.memory_all_bytes,
    }
}

type Pods<'a> = BTreeMap<&'a (String, String, String), Vec<&'a OfContainer>>;

fn by_pod(containers: &[OfContainer]) -> Pods<'_> {
    let mut pods = Pods::new();
    for one in containers {
        pods.entry(&one.pod).or_default().push(one);
    }
    pods
}

/// `/stats/summary`.
pub async fn summary(shared: &Shared) -> Response {
    let containers = match containers(shared).await {
        Ok(containers) => containers,
        Err(response) => return response,
    };
    let now = shared.config.clock.now().to_string();
    let shown = |used: Use| -> (Value, Value) {
        (
            value!({"time": now, "usageCoreNanoSeconds": used.cpu_ns}),
            value!({"time": now, "workingSetBytes": used.memory_bytes, "usageBytes": used.memory_all_bytes}),
        )
    };
    let pods: Vec<Value> = by_pod(&containers)
        .into_iter()
        .map(|((namespace, name, uid), own)| {
            let (cpu, memory) = shown(own.iter().fold(Use::default(), |sum, one| add(sum, one.used)));
            let containers: Vec<Value> = own
                .iter()
                .map(|one| {
                    let (cpu, memory) = shown(one.used);
                    value!({"name": one.name, "cpu": cpu, "memory": memory})
                })
                .collect();
            value!({
                "podRef": {"name": name, "namespace": namespace, "uid": uid},
                "cpu": cpu, "memory": memory, "containers": containers
            })
        })
        .collect();
    let used = node(shared, &containers);
    let (cpu, mut memory) = shown(used);
    memory["availableBytes"] = value!(shared.config.memory_bytes.saturating_sub(used.memory_bytes));
    let node = value!({"nodeName": shared.config.node_name, "cpu": cpu, "memory": memory});
    json(StatusCode::OK, &value!({"node": node, "pods": pods}))
}

/// `/metrics/resource`, in Prometheus' text form.
pub async fn resource(shared: &Shared) -> Response {
    let containers = match containers(shared).await {
        Ok(containers) => containers,
        Err(response) => return response,
    };
    let of_containers: Vec<(String, Use)> = containers
        .iter()
        .map(|one| {
            let (namespace, pod, _) = &one.pod;
            let labels = format!("{{container=\"{}\",namespace=\"{namespace}\",pod=\"{pod}\"}}", one.name);
            (labels, one.used)
        })
        .collect();
    let of_pods: Vec<(String, Use)> = by_pod(&containers)
        .into_iter()
        .map(|((namespace, pod, _), own)| {
            let sum = own.iter().fold(Use::default(), |sum, one| add(sum, one.used));
            (format!("{{namespace=\"{namespace}\",pod=\"{pod}\"}}"), sum)
        })
        .collect();
    let of_node = [(String::new(), node(shared, &containers))];
    let at_ms = shared.config.clock.now().as_millisecond();
    let mut out = String::new();
    let all: [(&str, &str, &[(String, Use)]); 3] = [
        ("container", "the container", &of_containers),
        ("node", "the node", &of_node),
        ("pod", "the pod", &of_pods),
    ];
    for (prefix, who, used) in all {
        family(&mut out, prefix, who, used, at_ms);
    }
    out.push_str("# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise\n# TYPE resource_scrape_error gauge\nresource_scrape_error 0\n");
    bytes_response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", out)
}

/// Time and memory of those of one sort.
fn family(out: &mut String, prefix: &str, who: &str, used: &[(String, Use)], at_ms: i64) {
    let cpu = format!("{prefix}_cpu_usage_seconds_total");
    let help = format!("Cumulative cpu time consumed by {who} in core-seconds");
    let _ = writeln!(out, "# HELP {cpu} [STABLE] {help}\n# TYPE {cpu} counter");
    for (labels, used) in used {
        #[allow(clippy::cast_precision_loss, reason = "seconds are shown, not summed")]
        let seconds = used.cpu_ns as f64 / 1e9;
        let _ = writeln!(out, "{cpu}{labels} {seconds:.9} {at_ms}");
    }
    let memory = format!("{prefix}_memory_working_set_bytes");
    let help = format!("Current working set of {who} in bytes");
    let _ = writeln!(out, "# HELP {memory} [STABLE] {help}\n# TYPE {memory} gauge");
    for (labels, used) in used {
        let _ = writeln!(out, "{memory}{labels} {} {at_ms}", used.memory_bytes);
    }
}

/// `/metrics`: the kubelet's own numbers.
pub fn own(shared: &Shared) -> Response {
    let out = format!(
        "# HELP kubelet_active_pods Number of pods the kubelet works on\n# TYPE kubelet_active_pods gauge\nkubelet_active_pods {}\n# HELP kubelet_node_name The node's name. The count is always 1.\n# TYPE kubelet_node_name gauge\nkubelet_node_name{{node=\"{}\"}} 1\n",
        shared.pods.read().len(),
        shared.config.node_name
    );
    bytes_response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", out)
}
