//! Flow schemas and priority levels from `flow.yaml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Seed;
use crate::attributes::text;

/// Group of these resources.
pub const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// Says that the server may change the spec when its own idea of it changes.
pub const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// These are kept as they are, whatever anybody writes.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    levels: BTreeMap<String, Level>,
    schemas: BTreeMap<String, Schema>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    #[serde(default)]
    exempt: bool,
    shares: u32,
    lends: u32,
    #[serde(default)]
    queues: Option<[u32; 3]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schema {
    level: String,
    precedence: u32,
    #[serde(default)]
    flows: Option<String>,
    subjects: Vec<String>,
    rules: Vec<String>,
}

fn seed(kind: &str, plural: &'static str, name: &str, spec: Value) -> Seed {
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}},
        "spec": spec,
    });
    Seed { group: GROUP, version: "v1", plural, object }
}

fn level(name: &str, level: &Level) -> Seed {
    let (shares, lends) = (level.shares, level.lends);
    let spec = if level.exempt {
        json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": shares, "lendablePercent": lends}})
    } else {
        let response = match level.queues {
            None => json!({"type": "Reject"}),
            Some([queues, hand, length]) => json!({
                "type": "Queue",
                "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length},
            }),
        };
        json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": lends, "limitResponse": response,
        }})
    };
    seed("PriorityLevelConfiguration", "prioritylevelconfigurations", name, spec)
}

fn subject(text: &str) -> Value {
    let (kind, name) = text.split_once(':').unwrap_or(("", text));
    match kind {
        "group" => json!({"kind": "Group", "group": {"name": name}}),
        "sa" => {
            let (namespace, name) = name.split_once('/').unwrap_or(("", name));
            json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}})
        }
        _ => json!({"kind": "User", "user": {"name": name}}),
    }
}

fn schema(name: &str, schema: &Schema) -> Seed {
    let (mut resources, mut others): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for rule in &schema.rules {
        let rule = if rule == "all" { "* * * *,cluster" } else { rule };
        let mut fields =
            rule.split_whitespace().map(|field| field.split(',').map(str::to_owned).collect::<Vec<_>>());
        let mut list = || fields.next().unwrap_or_default();
        let (verbs, groups) = (list(), list());
        if groups == ["url"] {
            others.push(json!({"verbs": verbs, "nonResourceURLs": list()}));
            continue;
        }
        let groups: Vec<String> =
            groups.into_iter().map(|group| if group == "core" { String::new() } else { group }).collect();
        let (names, mut namespaces) = (list(), list());
        let mut made = json!({"verbs": verbs, "apiGroups": groups, "resources": names});
        if namespaces.iter().any(|one| one == "cluster") {
            made["clusterScope"] = json!(true);
            namespaces.retain(|one| one != "cluster");
        }
        made["namespaces"] = json!(namespaces);
        resources.push(made);
    }
    if schema.rules.iter().any(|rule| rule == "all") {
        others.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    let subjects: Vec<Value> = schema.subjects.iter().map(|text| subject(text)).collect();
    let mut rule = json!({"subjects": subjects});
    if !resources.is_empty() {
        rule["resourceRules"] = json!(resources);
    }
    if !others.is_empty() {
        rule["nonResourceRules"] = json!(others);
    }
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": schema.level},
        "matchingPrecedence": schema.precedence,
        "rules": [rule],
    });
    if let Some(flows) = &schema.flows {
        spec["distinguisherMethod"] = json!({"type": flows});
    }
    seed("FlowSchema", "flowschemas", name, spec)
}

/// All levels and schemas, levels first.
pub fn seeds() -> Vec<Seed> {
    let file: File = match serde_yaml_ng::from_str(include_str!("flow.yaml")) {
        Ok(file) => file,
        Err(error) => {
            tracing::error!(%error, "bootstrap flow schemas cannot be read");
            return Vec::new();
        }
    };
    let levels = file.levels.iter().map(|(name, one)| level(name, one));
    levels.chain(file.schemas.iter().map(|(name, one)| schema(name, one))).collect()
}

/// Those without which no request could be placed.
pub fn mandatory() -> Vec<Seed> {
    seeds().into_iter().filter(|seed| MANDATORY.contains(&seed.name())).collect()
}

/// Whether the server may bring the stored object's spec up to date: always a mandatory one's; else when it says so, or, when it says
/// nothing, as long as nobody has changed it.
pub(super) fn may_update(seed: &Seed, stored: &Value) -> bool {
    if MANDATORY.contains(&seed.name()) {
        return true;
    }
    let pointer = format!("/metadata/annotations/{}", AUTOUPDATE.replace('/', "~1"));
    match text(stored, &pointer) {
        "true" => true,
        "" => stored.pointer("/metadata/generation").and_then(Value::as_i64) == Some(1),
        _ => false,
    }
}
