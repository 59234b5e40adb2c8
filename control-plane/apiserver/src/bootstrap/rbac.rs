//! Roles and bindings from `rbac.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Seed;
use crate::authz::Rule;

const GROUP: &str = "rbac.authorization.k8s.io";
const BOOTSTRAPPING: &str = "kubernetes.io/bootstrapping";
const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";
const MANAGER: &str = "user:system:kube-controller-manager";
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    cluster_roles: BTreeMap<String, Role>,
    controllers: BTreeMap<String, Vec<String>>,
    cluster_role_bindings: BTreeMap<String, Vec<String>>,
    roles: BTreeMap<String, Vec<String>>,
    role_bindings: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Role {
    Rules(Vec<String>),
    #[serde(rename_all = "camelCase")]
    Aggregated {
        #[serde(default)]
        aggregate: Option<String>,
        #[serde(default)]
        labels: Vec<String>,
        #[serde(default)]
        rules: Vec<String>,
    },
}

impl Role {
    fn labels(&self) -> &[String] {
        match self {
            Self::Rules(_) => &[],
            Self::Aggregated { labels, .. } => labels,
        }
    }

    fn aggregate(&self) -> Option<&str> {
        match self {
            Self::Rules(_) => None,
            Self::Aggregated { aggregate, .. } => aggregate.as_deref(),
        }
    }
}

/// The file is part of the program, so a mistake in it shows in the first test.
static FILE: LazyLock<Option<File>> =
    LazyLock::new(|| match serde_yaml_ng::from_str(include_str!("rbac.yaml")) {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::error!(%error, "bootstrap roles cannot be read");
            None
        }
    });

/// Reads `verbs groups resources [names]` or `verbs url paths`.
fn rule(text: &str) -> Rule {
    if text == "events" {
        return rule("create,patch,update core,events.k8s.io events");
    }
    let mut fields = text.split_whitespace();
    let mut list = || -> Vec<String> {
        fields
            .next()
            .unwrap_or_default()
            .split(',')
            .filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let verbs = list()
        .iter()
        .flat_map(|verb| match verb.as_str() {
            "read" => READ.map(str::to_owned).to_vec(),
            "write" => WRITE.map(str::to_owned).to_vec(),
            "readwrite" => READ.iter().chain(&WRITE).map(|verb| (*verb).to_owned()).collect(),
            verb => vec![verb.to_owned()],
        })
        .collect();
    let groups = list();
    if groups == ["url"] {
        return Rule { verbs, urls: list(), ..Rule::default() };
    }
    let groups =
        groups.iter().map(|group| if group == "core" { String::new() } else { group.clone() }).collect();
    Rule { verbs, groups, resources: list(), names: list(), ..Rule::default() }
}

fn rules(texts: &[String]) -> Vec<Rule> {
    texts.iter().map(|text| rule(text)).collect()
}

/// The rules of a role, those it aggregates included.
fn role_rules(file: &File, role: &Role) -> Vec<Rule> {
    match role {
        Role::Rules(texts) => rules(texts),
        Role::Aggregated { aggregate: None, rules: texts, .. } => rules(texts),
        Role::Aggregated { aggregate: Some(wanted), .. } => file
            .cluster_roles
            .values()
            .filter(|other| other.labels().contains(wanted))
            .flat_map(|other| role_rules(file, other))
            .collect(),
    }
}

/// The rules of one of the cluster roles here; none when there is no such role.
pub fn cluster_role_rules(name: &str) -> Vec<Rule> {
    FILE.as_ref()
        .and_then(|file| file.cluster_roles.get(name).map(|role| role_rules(file, role)))
        .unwrap_or_default()
}

/// Roles and bindings of AKS carry its add-on manager's label, upstream's its own.
fn is_upstream(name: &str) -> bool {
    const AKS: [&str; 12] = [
        "aks-",
        "system:aks-",
        "create-csrs-",
        "auto-approve-",
        "cloud-node-manager",
        "container-health",
        "system:azure-",
        "system:coredns",
        "system:metrics-server",
        "metrics-server",
        "system:persistent-volume-binding",
        "nodeNetConfig",
    ];
    !AKS.iter().any(|prefix| name.starts_with(prefix))
}

fn metadata(namespace: &str, name: &str) -> Value {
    let mut metadata = if is_upstream(name) {
        json!({
            "labels": {BOOTSTRAPPING: "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        })
    } else {
        json!({"labels": {
            "addonmanager.kubernetes.io/mode": "Reconcile",
            "kubernetes.azure.com/managedby": "aks",
        }})
    };
    metadata["name"] = json!(name);
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

fn role_seed(namespace: &str, name: &str, rules: &[Rule]) -> Seed {
    let (kind, plural) =
        if namespace.is_empty() { ("ClusterRole", "clusterroles") } else { ("Role", "roles") };
    let rules: Vec<Value> = rules.iter().map(Rule::to_value).collect();
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": metadata(namespace, name),
        "rules": rules,
    });
    Seed { group: GROUP, version: "v1", plural, object }
}

fn subject(text: &str) -> Value {
    let (kind, name) = text.split_once(':').unwrap_or(("", text));
    match kind {
        "sa" => {
            let (namespace, name) = name.split_once('/').unwrap_or(("kube-system", name));
            json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
        }
        "group" => json!({"apiGroup": GROUP, "kind": "Group", "name": name}),
        _ => json!({"apiGroup": GROUP, "kind": "User", "name": name}),
    }
}

fn binding_seed(namespace: &str, name: &str, role: &str, subjects: &[String]) -> Seed {
    let (kind, plural, role_kind) = if namespace.is_empty() {
        ("ClusterRoleBinding", "clusterrolebindings", "ClusterRole")
    } else {
        ("RoleBinding", "rolebindings", "Role")
    };
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": metadata(namespace, name),
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
    });
    if !subjects.is_empty() {
        object["subjects"] = subjects.iter().map(|one| subject(one)).collect();
    }
    Seed { group: GROUP, version: "v1", plural, object }
}

/// All roles and bindings, roles first.
pub fn seeds() -> Vec<Seed> {
    let Some(file) = FILE.as_ref() else { return Vec::new() };
    let mut seeds = Vec::new();
    for (name, role) in &file.cluster_roles {
        let mut seed = role_seed("", name, &role_rules(file, role));
        for label in role.labels() {
            seed.object["metadata"]["labels"][format!("{AGGREGATE}{label}")] = json!("true");
        }
        if let Some(wanted) = role.aggregate() {
            seed.object["aggregationRule"] =
                json!({"clusterRoleSelectors": [{"matchLabels": {format!("{AGGREGATE}{wanted}"): "true"}}]});
        }
        seeds.push(seed);
    }
    for (name, texts) in &file.controllers {
        seeds.push(role_seed("", &format!("system:controller:{name}"), &rules(texts)));
    }
    let placed = |name: &String| -> (String, String) {
        name.split_once('/')
            .map_or((String::new(), name.clone()), |(at, name)| (at.to_owned(), name.to_owned()))
    };
    for (name, texts) in &file.roles {
        let (namespace, name) = placed(name);
        seeds.push(role_seed(&namespace, &name, &rules(texts)));
    }
    for name in file.controllers.keys() {
        let role = format!("system:controller:{name}");
        let subjects = [format!("sa:kube-system/{name}"), MANAGER.to_owned()];
        seeds.push(binding_seed("", &role, &role, &subjects));
    }
    for (name, parts) in file.cluster_role_bindings.iter().chain(&file.role_bindings) {
        let (namespace, name) = placed(name);
        if let Some((role, subjects)) = parts.split_first() {
            seeds.push(binding_seed(&namespace, &name, role, subjects));
        }
    }
    seeds
}
