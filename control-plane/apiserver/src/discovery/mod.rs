//! What is served: groups, versions, resources, version, OpenAPI.

mod aggregated;
mod extensions;
mod openapi;
mod tag;

use std::sync::Arc;

use base64::Engine;
use http::{HeaderMap, StatusCode, header};
use kit::http::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ApiError;
use crate::aggregation::Aggregator;
use crate::handlers::Asked;
use crate::handlers::negotiate::{Encoding, Offers, accepted, choose};
use crate::handlers::render::respond;
use crate::registry::{Registry, Served};

/// Answers questions about what is served.
pub struct Discovery {
    registry: Arc<Registry>,
    version: String,
    advertise: String,
    aggregator: Arc<Aggregator>,
    aggregated: Mutex<Option<aggregated::Made>>,
    documents: openapi::Documents,
}

/// A group with its versions, preferred first.
pub(crate) struct Group {
    pub name: String,
    pub versions: Vec<String>,
}

/// How finished a version is: `v2` before `v1` before `v1beta2` before `v1alpha1`.
fn priority(version: &str) -> (u8, u64, u64) {
    let rest = version.strip_prefix('v').unwrap_or_default();
    let split = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..split].parse().unwrap_or(0);
    let (stage, minor) = match &rest[split..] {
        "" => (2, ""),
        tail => match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
            (Some(minor), _) => (1, minor),
            (None, Some(minor)) => (0, minor),
            (None, None) => (0, ""),
        },
    };
    (stage, major, minor.parse().unwrap_or(0))
}

impl Discovery {
    /// Over what a registry serves. `version` is as in `1.35.6`.
    pub fn new(
        registry: Arc<Registry>,
        version: &str,
        advertise: String,
        aggregator: Arc<Aggregator>,
    ) -> Self {
        Self {
            registry,
            version: version.to_owned(),
            advertise,
            aggregator,
            aggregated: Mutex::new(None),
            documents: openapi::Documents::default(),
        }
    }

    /// The groups but the core one.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = self
            .registry
            .model
            .groups()
            .into_iter()
            .filter(|group| !group.name.is_empty())
            .map(|group| Group { name: group.name, versions: group.versions })
            .collect();
        let mut custom: Vec<Group> = Vec::new();
        for served in self.registry.kinds.custom() {
            let (name, version) = (&served.resource.group, &served.resource.version);
            let known = groups.iter_mut().chain(custom.iter_mut()).find(|group| group.name == *name);
            match known {
                Some(group) if group.versions.contains(version) => {}
                Some(group) => group.versions.push(version.clone()),
                None => custom.push(Group { name: name.clone(), versions: vec![version.clone()] }),
            }
        }
        for group in &mut custom {
            group.versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        }
        custom.sort_by(|a, b| a.name.cmp(&b.name));
        groups.extend(custom);
        self.with_extensions(groups)
    }

    /// The resources of a group's version, in order of name.
    pub(crate) fn resources(&self, group: &str, version: &str) -> Vec<Arc<Served>> {
        let mut found: Vec<Arc<Served>> = self
            .registry
            .kinds
            .all()
            .into_iter()
            .filter(|served| served.resource.group == group && served.resource.version == version)
            .collect();
        found.sort_by(|a, b| a.resource.plural.cmp(&b.resource.plural));
        found
    }

    /// `/api…` and `/apis…`.
    ///
    /// # Errors
    /// When there is no such group or version.
    pub fn serve(&self, parts: &[&str], asked: &Asked) -> Result<Response, ApiError> {
        let mut value = match parts {
            ["api" | "apis"] => {
                if let Some((version, encoding)) = wants_aggregated(asked.headers()) {
                    return Ok(self.aggregated(parts[0] == "api", version, encoding, asked.headers()));
                }
                if parts[0] == "api" { self.core_versions() } else { self.group_list() }
            }
            ["api", "v1"] => self.resource_list("", "v1").ok_or_else(ApiError::no_such_path)?,
            ["apis", group] => {
                let groups = self.groups();
                let found = groups.iter().find(|known| known.name == *group);
                let mut value = found.map(group_value).ok_or_else(ApiError::no_such_path)?;
                value["kind"] = json!("APIGroup");
                value["apiVersion"] = json!("v1");
                value
            }
            ["apis", group, version] => {
                self.resource_list(group, version).ok_or_else(ApiError::no_such_path)?
            }
            _ => return Err(ApiError::no_such_path()),
        };
        let offers = Offers { shapes: false, binary: true, stream: false };
        let form = choose(asked.headers(), asked.pretty(), offers)?;
        // The binary form has a place for the version that the oldest kinds do not say.
        if form.encoding == Encoding::Protobuf {
            value["apiVersion"] = json!("v1");
        }
        let bytes = value.to_string().into();
        Ok(respond(&self.registry.model, StatusCode::OK, form, bytes, asked.headers(), &[]))
    }

    fn core_versions(&self) -> Value {
        json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self.advertise}],
        })
    }

    fn group_list(&self) -> Value {
        let groups: Vec<Value> = self.groups().iter().map(group_value).collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    fn resource_list(&self, group: &str, version: &str) -> Option<Value> {
        let resources = self.resources(group, version);
        if resources.is_empty() {
            return None;
        }
        let list: Vec<Value> = resources.iter().flat_map(|served| self.resource_values(served)).collect();
        let group_version = crate::registry::kinds::api_version(group, version);
        let mut value = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
        // The oldest of these lists never said its own version.
        if !group.is_empty() {
            value["apiVersion"] = json!("v1");
        }
        Some(value)
    }

    /// What tells clients that objects are stored in another form since they last looked: a hash of the kind in the
    /// version it is stored in.
    fn storage_version_hash(&self, served: &Served) -> Option<String> {
        // What is not stored has no such version.
        if !served.has_verb("update") {
            return None;
        }
        let resource = &served.resource;
        let (group, mut version) = match served.storage_api_version.rsplit_once('/') {
            Some((group, version)) => (group, version),
            None => ("", served.storage_api_version.as_str()),
        };
        if served.custom.is_some() {
            self.registry.kinds.get(group, version, &resource.plural)?;
        } else if resource.storage_version != resource.version {
            version = &resource.storage_version;
        }
        let digest = Sha256::digest(format!("{group}/{version}/{}", resource.kind));
        Some(base64::engine::general_purpose::STANDARD.encode(digest.get(..8)?))
    }

    /// `/version`: indented, in the order of upstream's fields.
    pub fn version(&self) -> String {
        let mut numbers = self.version.split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let older = minor
            .parse::<u32>()
            .map_or_else(|_| minor.to_owned(), |minor| minor.saturating_sub(1).to_string());
        let commit = &tag::hash(self.version.as_bytes()).to_lowercase()[..40];
        let fields = [
            ("major", major),
            ("minor", minor),
            ("emulationMajor", major),
            ("emulationMinor", minor),
            ("minCompatibilityMajor", major),
            ("minCompatibilityMinor", &older),
            ("gitVersion", &format!("v{}", self.version)),
            ("gitCommit", commit),
            ("gitTreeState", "clean"),
            ("buildDate", "1970-01-01T00:00:00Z"),
            ("goVersion", ""),
            ("compiler", "rustc"),
            ("platform", "linux/amd64"),
        ];
        let lines: Vec<String> =
            fields.iter().map(|(name, value)| format!("  \"{name}\": \"{value}\"")).collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    }

    /// `/`.
    pub fn paths(&self) -> Value {
        let mut paths = vec![
            "/.well-known/openid-configuration".to_owned(),
            "/api".into(),
            "/api/v1".into(),
            "/apis".into(),
        ];
        for group in self.groups() {
            paths.push(format!("/apis/{}", group.name));
            paths.extend(group.versions.iter().map(|version| format!("/apis/{}/{version}", group.name)));
        }
        for path in [
            "/healthz",
            "/livez",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/openid/v1/jwks",
            "/readyz",
            "/version",
        ] {
            paths.push(path.to_owned());
        }
        paths.sort();
        json!({"paths": paths})
    }
}

/// Which version of aggregated discovery the client prefers to the plain one, and how encoded.
fn wants_aggregated(headers: &HeaderMap) -> Option<(&'static str, Encoding)> {
    let header = headers.get(header::ACCEPT)?.to_str().ok()?;
    for one in accepted(header) {
        let encoding = match one.media {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" => Encoding::Yaml,
            crate::protobuf::MEDIA_TYPE => Encoding::Protobuf,
            _ => continue,
        };
        match (one.parameter("g"), one.parameter("as"), one.parameter("v")) {
            (Some("apidiscovery.k8s.io"), Some("APIGroupDiscoveryList"), Some("v2")) => {
                return Some(("v2", encoding));
            }
            (Some("apidiscovery.k8s.io"), Some("APIGroupDiscoveryList"), Some("v2beta1")) => {
                return Some(("v2beta1", encoding));
            }
            (_, None, _) => return None,
            _ => {}
        }
    }
    None
}

fn group_value(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{}/{version}", group.name), "version": version}))
        .collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions.first()})
}

impl Discovery {
    fn resource_values(&self, served: &Served) -> Vec<Value> {
        let mut values = resource_values(served);
        if let (Some(hash), Some(first)) = (self.storage_version_hash(served), values.first_mut()) {
            first["storageVersionHash"] = json!(hash);
        }
        values
    }
}

fn resource_values(served: &Served) -> Vec<Value> {
    let resource = &served.resource;
    let mut value = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        value["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        value["categories"] = json!(resource.categories);
    }
    let mut all = vec![value];
    for sub in &resource.subresources {
        let mut value = json!({
            "name": format!("{}/{}", resource.plural, sub.name),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": sub.kind,
            "verbs": sub.verbs,
        });
        if (&sub.group, &sub.version) != (&resource.group, &resource.version) {
            value["group"] = json!(sub.group);
            value["version"] = json!(sub.version);
        }
        all.push(value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn finished_versions_come_first() {
        let mut versions = ["v1alpha1", "v1", "v2beta1", "v2", "v1beta2", "v1beta10"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v2", "v1", "v2beta1", "v1beta10", "v1beta2", "v1alpha1"]);
    }
}
