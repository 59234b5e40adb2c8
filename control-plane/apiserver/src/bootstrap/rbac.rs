//! Roles and bindings from `rbac.yaml` (upstream's) and `rbac-aks.yaml` (what is added to them).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Seed;
use crate::authz::Rule;

const GROUP: &str = "rbac.authorization.k8s.io";
const BOOTSTRAPPING: &str = "kubernetes.io/bootstrapping";
const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";
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

/// The files are part of the program, so a mistake in them shows in the first test.
static UPSTREAM: LazyLock<Option<File>> = LazyLock::new(|| read(include_str!("rbac.yaml")));
static AKS: LazyLock<Option<File>> = LazyLock::new(|| read(include_str!("rbac-aks.yaml")));

fn read(text: &str) -> Option<File> {
    match serde_yaml_ng::from_str(text) {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::error!(%error, "bootstrap roles cannot be read");
            None
        }
    }
}

/// Whose a role or binding is: it shows in its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Upstream,
    Aks,
}

fn files() -> impl Iterator<Item = (Origin, &'static File)> {
    let upstream = UPSTREAM.as_ref().map(|file| (Origin::Upstream, file));
    upstream.into_iter().chain(AKS.as_ref().map(|file| (Origin::Aks, file)))
}

/// Reads `verbs groups resources [names]` or `verbs url paths`.
fn rule(text: &str) -> Rule {
    if text == "events" {
        return rule("create,patch,update core,events.k8s.io events");
    }
    let mut fields = text.split_whitespace();
    let mut list = || -> Vec<String> {
        let field = fields.next().unwrap_or_default().split(',').filter(|one| !one.is_empty());
        let mut sorted: Vec<String> = field.map(str::to_owned).collect();
        sorted.sort();
        sorted
    };
    let mut verbs: Vec<String> = list()
        .iter()
        .flat_map(|verb| match verb.as_str() {
            "read" => READ.map(str::to_owned).to_vec(),
            "write" => WRITE.map(str::to_owned).to_vec(),
            "readwrite" => READ.iter().chain(&WRITE).map(|verb| (*verb).to_owned()).collect(),
            verb => vec![verb.to_owned()],
        })
        .collect();
    verbs.sort();
    let groups = list();
    if groups == ["url"] {
        return Rule { verbs, urls: list(), ..Rule::default() };
    }
    let mut groups: Vec<String> =
        groups.iter().map(|group| if group == "core" { String::new() } else { group.clone() }).collect();
    groups.sort();
    Rule { verbs, groups, resources: list(), names: list(), ..Rule::default() }
}

fn rules(texts: &[String]) -> Vec<Rule> {
    texts.iter().map(|text| rule(text)).collect()
}

/// The rules of a role, those it aggregates included.
fn role_rules(role: &Role) -> Vec<Rule> {
    match role {
        Role::Rules(texts) => rules(texts),
        Role::Aggregated { aggregate: None, rules: texts, .. } => rules(texts),
        Role::Aggregated { aggregate: Some(wanted), .. } => {
            let all: BTreeMap<&String, &Role> = files().flat_map(|(_, file)| &file.cluster_roles).collect();
            let mut sum: Vec<Rule> = Vec::new();
            let chosen = all.values().filter(|other| other.labels().contains(wanted));
            for rule in chosen.flat_map(|other| role_rules(other)) {
                if !sum.contains(&rule) {
                    sum.push(rule);
                }
            }
            sum
        }
    }
}

/// The rules of one of the cluster roles here; none when there is no such role.
pub fn cluster_role_rules(name: &str) -> Vec<Rule> {
    files().find_map(|(_, file)| file.cluster_roles.get(name)).map(role_rules).unwrap_or_default()
}

/// Roles and bindings of AKS carry its add-on manager's label, upstream's its own.
fn metadata(origin: Origin, namespace: &str, name: &str) -> Value {
    let mut metadata = match origin {
        Origin::Upstream => json!({
            "labels": {BOOTSTRAPPING: "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        }),
        Origin::Aks => json!({"labels": {
            "addonmanager.kubernetes.io/mode": "Reconcile",
            "kubernetes.azure.com/managedby": "aks",
        }}),
    };
    metadata["name"] = json!(name);
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

fn role_seed(origin: Origin, namespace: &str, name: &str, rules: &[Rule]) -> Seed {
    let (kind, plural) =
        if namespace.is_empty() { ("ClusterRole", "clusterroles") } else { ("Role", "roles") };
    let rules: Vec<Value> = rules.iter().map(Rule::to_value).collect();
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": metadata(origin, namespace, name),
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

fn binding_seed(origin: Origin, namespace: &str, name: &str, role: &str, subjects: &[String]) -> Seed {
    let (kind, plural, role_kind) = if namespace.is_empty() {
        ("ClusterRoleBinding", "clusterrolebindings", "ClusterRole")
    } else {
        ("RoleBinding", "rolebindings", "Role")
    };
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": metadata(origin, namespace, name),
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
    });
    if !subjects.is_empty() {
        object["subjects"] = subjects.iter().map(|one| subject(one)).collect();
    }
    Seed { group: GROUP, version: "v1", plural, object }
}

/// All roles and bindings, roles first.
pub fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = files().flat_map(|(origin, file)| role_seeds(origin, file)).collect();
    seeds.extend(files().flat_map(|(origin, file)| binding_seeds(origin, file)));
    seeds
}

/// Namespace and name of `namespace/name`.
fn placed(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

fn role_seeds(origin: Origin, file: &File) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, role) in &file.cluster_roles {
        let mut seed = role_seed(origin, "", name, &role_rules(role));
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
        seeds.push(role_seed(origin, "", &format!("system:controller:{name}"), &rules(texts)));
    }
    for (name, texts) in &file.roles {
        let (namespace, name) = placed(name);
        seeds.push(role_seed(origin, namespace, name, &rules(texts)));
    }
    seeds
}

fn binding_seeds(origin: Origin, file: &File) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for name in file.controllers.keys() {
        let role = format!("system:controller:{name}");
        seeds.push(binding_seed(origin, "", &role, &role, &[format!("sa:kube-system/{name}")]));
    }
    for (name, parts) in file.cluster_role_bindings.iter().chain(&file.role_bindings) {
        let (namespace, name) = placed(name);
        if let Some((role, subjects)) = parts.split_first() {
            seeds.push(binding_seed(origin, namespace, name, role, subjects));
        }
    }
    seeds
}
