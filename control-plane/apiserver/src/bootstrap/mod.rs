//! Objects every cluster starts with: namespaces, RBAC, flow schemas, priority classes, the `kubernetes` Service, and AKS's own.
//!
//! [`ensure`] makes what is missing and mends what differs, at every start; running it again changes nothing. What users added to a
//! role or binding stays; a role annotated `autoupdate: "false"` is left alone, as upstream does.

pub mod flow;
pub mod rbac;
mod storage;

use std::net::{Ipv4Addr, SocketAddrV4};

use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::attributes::{ApiError, text};
use crate::authz::Rule;

/// One object to ensure.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Plural name of the resource.
    pub plural: &'static str,
    /// The object.
    pub object: Value,
}

impl Seed {
    /// Its namespace, or empty.
    pub fn namespace(&self) -> &str {
        text(&self.object, "/metadata/namespace")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        text(&self.object, "/metadata/name")
    }
}

/// What the objects depend on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where cluster IPs come from; the first is that of Service `kubernetes`.
    pub service_cidr: Ipv4Net,
    /// Where the API server answers.
    pub advertise: SocketAddrV4,
    /// The cluster's authority, which issues clients' certificates.
    pub authority_pem: String,
    /// The authority of proxies that say who asks.
    pub proxy_authority_pem: String,
}

/// How objects are written; the registry implements it, past authorisation.
#[async_trait]
pub trait Ensure: Send + Sync {
    /// The object as it would be stored.
    fn settled(&self, seed: Seed) -> Seed;
    /// The object as it is stored.
    async fn get(&self, seed: &Seed) -> Result<Option<Value>, ApiError>;
    /// Makes it; that somebody else has just made it is fine.
    async fn create(&self, seed: &Seed) -> Result<(), ApiError>;
    /// Replaces it; `object` is the stored one with changes, its resource version included.
    async fn update(&self, seed: &Seed, object: Value) -> Result<(), ApiError>;
}

/// Makes and mends all objects. Returns how many were written.
pub async fn ensure(settings: &Settings, with: &dyn Ensure) -> Result<usize, ApiError> {
    ensure_seeds(seeds(settings), with).await
}

/// The same for some of them.
pub async fn ensure_seeds(seeds: Vec<Seed>, with: &dyn Ensure) -> Result<usize, ApiError> {
    let mut written = 0;
    for seed in seeds {
        let seed = with.settled(seed);
        match with.get(&seed).await? {
            None => with.create(&seed).await?,
            Some(stored) => match mended(&seed, &stored) {
                None => continue,
                Some(object) => with.update(&seed, object).await?,
            },
        }
        written += 1;
    }
    Ok(written)
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    group: String,
    plural: String,
    object: Value,
}

/// All objects, each after those it needs.
pub fn seeds(settings: &Settings) -> Vec<Seed> {
    let listed: Vec<Listed> = serde_yaml_ng::from_str(include_str!("objects.yaml")).unwrap_or_else(|error| {
        tracing::error!(%error, "bootstrap objects cannot be read");
        Vec::new()
    });
    let mut seeds: Vec<Seed> = listed
        .into_iter()
        .map(|one| Seed {
            group: if one.group.is_empty() { "" } else { "scheduling.k8s.io" },
            version: "v1",
            plural: if one.plural == "namespaces" { "namespaces" } else { "priorityclasses" },
            object: one.object,
        })
        .collect();
    seeds.extend(rbac::seeds());
    seeds.extend(flow::seeds());
    seeds.extend(storage::seeds());
    seeds.push(authentication(&settings.authority_pem, &settings.proxy_authority_pem));
    seeds.push(service_range(&settings.service_cidr));
    seeds.extend(kubernetes_service(settings));
    seeds
}

fn core(plural: &'static str, object: Value) -> Seed {
    Seed { group: "", version: "v1", plural, object }
}

/// What extension API servers need to trust us.
fn authentication(authority_pem: &str, proxy_authority_pem: &str) -> Seed {
    core(
        "configmaps",
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
            "data": {
                "client-ca-file": authority_pem,
                "requestheader-allowed-names": "[\"front-proxy-client\"]",
                "requestheader-client-ca-file": proxy_authority_pem,
                "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
                "requestheader-group-headers": "[\"X-Remote-Group\"]",
                "requestheader-username-headers": "[\"X-Remote-User\"]",
            },
        }),
    )
}

/// Where cluster IPs come from, for everybody to read.
fn service_range(range: &Ipv4Net) -> Seed {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [range.trunc().to_string()]},
    });
    Seed { group: "networking.k8s.io", version: "v1", plural: "servicecidrs", object }
}

/// The first usable address of a range.
pub fn first_address(range: &Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()).saturating_add(1))
}

fn kubernetes_service(settings: &Settings) -> [Seed; 3] {
    let address = first_address(&settings.service_cidr).to_string();
    let (ip, port) = (settings.advertise.ip().to_string(), settings.advertise.port());
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    let endpoints = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": [{"ip": ip}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    [
        core("services", service),
        core("endpoints", endpoints),
        Seed { group: "discovery.k8s.io", version: "v1", plural: "endpointslices", object: slice },
    ]
}

/// Set to `false` on a role or binding that is to be left alone.
const AUTOUPDATE: &str = "/metadata/annotations/rbac.authorization.kubernetes.io~1autoupdate";

/// What the stored object must become; none when it is as it should be.
fn mended(seed: &Seed, stored: &Value) -> Option<Value> {
    let mut object = stored.clone();
    match seed.plural {
        "clusterroles" | "roles" | "clusterrolebindings" | "rolebindings"
            if text(stored, AUTOUPDATE) == "false" =>
        {
            return None;
        }
        "clusterroles" | "roles" => {
            add_metadata(&mut object, &seed.object);
            // An aggregated role's rules are kept by its controller.
            if seed.object.get("aggregationRule").is_none() {
                add_rules(&mut object, &seed.object);
            } else if stored.get("aggregationRule").is_none() {
                object["aggregationRule"] = seed.object["aggregationRule"].clone();
            }
        }
        "clusterrolebindings" | "rolebindings" => {
            add_metadata(&mut object, &seed.object);
            add_missing(&mut object, &seed.object, "subjects");
        }
        "flowschemas" | "prioritylevelconfigurations" => {
            if flow::may_update(seed, stored) && stored.get("spec") != seed.object.get("spec") {
                object["spec"] = seed.object["spec"].clone();
                object["metadata"]["annotations"][flow::AUTOUPDATE] = json!("true");
            }
        }
        "endpoints" => object["subsets"] = seed.object["subsets"].clone(),
        "endpointslices" => {
            object["endpoints"] = seed.object["endpoints"].clone();
            object["ports"] = seed.object["ports"].clone();
        }
        "configmaps" => object["data"] = seed.object["data"].clone(),
        "services" => {
            object["spec"]["ports"][0]["targetPort"] = seed.object["spec"]["ports"][0]["targetPort"].clone()
        }
        _ => {}
    }
    (object != *stored).then_some(object)
}

/// Labels and annotations that are not there; those that are there stay as they are.
fn add_metadata(object: &mut Value, wanted: &Value) {
    for field in ["labels", "annotations"] {
        let Some(wanted) = wanted["metadata"][field].as_object() else { continue };
        let mut have = object["metadata"][field].as_object().cloned().unwrap_or_default();
        for (key, value) in wanted {
            have.entry(key.clone()).or_insert_with(|| value.clone());
        }
        if !have.is_empty() {
            object["metadata"][field] = Value::Object(have);
        }
    }
}

/// What the rules there do not cover, however they are written.
fn add_rules(object: &mut Value, wanted: &Value) {
    let (have, wanted) = (Rule::of_role(object), Rule::of_role(wanted));
    let missing = crate::authz::missing(&have, &wanted);
    if missing.is_empty() {
        return;
    }
    let mut rules = object["rules"].as_array().cloned().unwrap_or_default();
    rules.extend(missing.iter().map(Rule::to_value));
    object["rules"] = Value::Array(rules);
}

fn add_missing(object: &mut Value, wanted: &Value, field: &str) {
    let Some(wanted) = wanted.get(field).and_then(Value::as_array) else { return };
    let have = object.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let missing: Vec<Value> = wanted.iter().filter(|one| !have.contains(one)).cloned().collect();
    if !missing.is_empty() {
        object[field] = have.into_iter().chain(missing).collect();
    }
}

#[cfg(test)]
mod tests;
