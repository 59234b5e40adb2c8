//! A container's environment: literal values, fields of the pod, config maps, secrets, Services.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use super::expand::expand;
use super::quantity::{milli, value};
use super::resources;

/// The objects a container's environment refers to; `None`: looked for and not there.
#[derive(Default)]
pub struct Sources {
    /// By name, in the pod's namespace.
    pub config_maps: HashMap<String, Option<Arc<ConfigMap>>>,
    /// By name, in the pod's namespace.
    pub secrets: HashMap<String, Option<Arc<Secret>>>,
}

/// What the pod's fields cannot say by themselves.
pub struct Facts {
    /// The pod's addresses, first the main one.
    pub pod_ips: Vec<String>,
    /// The node's address.
    pub host_ip: String,
    /// The node's allocatable processors, in thousandths.
    pub node_milli_cpu: i128,
    /// The node's allocatable memory.
    pub node_memory_bytes: i128,
}

/// The names of config maps and secrets a container's environment needs.
pub fn references(container: &Container) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    for source in container.env_from.iter().flatten() {
        maps.extend(source.config_map_ref.as_ref().map(|one| one.name.clone()));
        secrets.extend(source.secret_ref.as_ref().map(|one| one.name.clone()));
    }
    for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        maps.extend(from.config_map_key_ref.as_ref().map(|one| one.name.clone()));
        secrets.extend(from.secret_key_ref.as_ref().map(|one| one.name.clone()));
    }
    (maps, secrets)
}

/// The environment in order. An error is the message of `CreateContainerConfigError`.
pub fn build(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    services: &BTreeMap<String, String>,
    facts: &Facts,
) -> Result<Vec<(String, String)>, String> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut set = |name: String, value: String| match out.iter_mut().find(|(known, _)| *known == name) {
        Some(entry) => entry.1 = value,
        None => out.push((name, value)),
    };
    for (name, value) in from_whole_objects(container, sources)? {
        set(name, value);
    }
    let mut known: HashMap<String, String> = services.clone().into_iter().collect();
    known.extend(out.iter().cloned());
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => Some(expand(variable.value.as_deref().unwrap_or_default(), |name| {
                known.get(name).map(String::as_str)
            })),
            Some(from) => from_source(pod, container, from, sources, facts)?,
        };
        let Some(value) = value else { continue };
        known.insert(variable.name.clone(), value.clone());
        match out.iter_mut().find(|(name, _)| *name == variable.name) {
            Some(entry) => entry.1 = value,
            None => out.push((variable.name.clone(), value)),
        }
    }
    for (name, value) in services {
        if !out.iter().any(|(known, _)| known == name) {
            out.push((name.clone(), value.clone()));
        }
    }
    Ok(out)
}

fn from_whole_objects(container: &Container, sources: &Sources) -> Result<Vec<(String, String)>, String> {
    let mut out = Vec::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            match sources.config_maps.get(&reference.name).and_then(Option::as_ref) {
                Some(map) => {
                    let data = map.data.iter().flatten();
                    out.extend(data.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("configmap {:?} not found", reference.name)),
            }
        }
        if let Some(reference) = &source.secret_ref {
            match sources.secrets.get(&reference.name).and_then(Option::as_ref) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        out.push((format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned()));
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("secret {:?} not found", reference.name)),
            }
        }
    }
    Ok(out)
}

fn from_source(
    pod: &Pod,
    container: &Container,
    from: &EnvVarSource,
    sources: &Sources,
    facts: &Facts,
) -> Result<Option<String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(reference) = &from.field_ref {
        return field(pod, &reference.field_path, facts).map(Some);
    }
    if let Some(reference) = &from.resource_field_ref {
        let named = reference.container_name.as_deref().filter(|name| !name.is_empty());
        let spec = pod.spec.as_ref();
        let other = named.and_then(|name| {
            let spec = spec?;
            spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|one| one.name == name)
        });
        let divisor = reference.divisor.as_ref().map_or(0, milli);
        return resource(other.unwrap_or(container), &reference.resource, divisor, facts).map(Some);
    }
    if let Some(reference) = &from.config_map_key_ref {
        let optional = reference.optional == Some(true);
        return match sources.config_maps.get(&reference.name).and_then(Option::as_ref) {
            None if optional => Ok(None),
            None => Err(format!("configmap {:?} not found", reference.name)),
            Some(map) => match map.data.as_ref().and_then(|data| data.get(&reference.key)) {
                Some(value) => Ok(Some(value.clone())),
                None if optional => Ok(None),
                None => Err(format!(
                    "couldn't find key {} in ConfigMap {namespace}/{}",
                    reference.key, reference.name
                )),
            },
        };
    }
    if let Some(reference) = &from.secret_key_ref {
        let optional = reference.optional == Some(true);
        return match sources.secrets.get(&reference.name).and_then(Option::as_ref) {
            None if optional => Ok(None),
            None => Err(format!("secret {:?} not found", reference.name)),
            Some(secret) => match secret.data.as_ref().and_then(|data| data.get(&reference.key)) {
                Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
                None if optional => Ok(None),
                None => Err(format!(
                    "couldn't find key {} in Secret {namespace}/{}",
                    reference.key, reference.name
                )),
            },
        };
    }
    Ok(None)
}

/// The value of a `fieldPath`.
pub fn field(pod: &Pod, path: &str, facts: &Facts) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let found = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return Err(format!("invalid field path {path:?}")),
        };
        return Ok(found.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.hostIP" | "status.hostIPs" => facts.host_ip.clone(),
        "status.podIP" => facts.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// The value of a `resourceFieldRef`, in units of `divisor_milli` (0: one).
pub fn resource(
    container: &Container,
    name: &str,
    divisor_milli: i128,
    facts: &Facts,
) -> Result<String, String> {
    let divisor = if divisor_milli == 0 { 1000 } else { divisor_milli };
    let (limits, kind) = name.split_once('.').ok_or_else(|| format!("unsupported resource: {name}"))?;
    let found = match limits {
        "limits" => resources::limit(container, kind),
        "requests" => resources::request(container, kind),
        _ => return Err(format!("unsupported container resource : {name}")),
    };
    let amount = match (found, limits, kind) {
        (Some(quantity), _, "cpu") => milli(quantity),
        (Some(quantity), _, _) => i128::from(value(quantity)) * 1000,
        (None, "limits", "cpu") => facts.node_milli_cpu,
        (None, "limits", "memory") => facts.node_memory_bytes * 1000,
        (None, _, _) => 0,
    };
    Ok((amount / divisor + i128::from(amount % divisor != 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts() -> Facts {
        Facts {
            pod_ips: vec!["10.244.0.5".into()],
            host_ip: "10.224.0.4".into(),
            node_milli_cpu: 1900,
            node_memory_bytes: 1 << 30,
        }
    }

    fn sources() -> Sources {
        let mut sources = Sources::default();
        let map = json!({"metadata": {"name": "conf"}, "data": {"k": "v", "l": "w"}});
        sources.config_maps.insert("conf".into(), Some(Arc::new(serde_json::from_value(map).unwrap())));
        sources.config_maps.insert("gone".into(), None);
        let secret = json!({"metadata": {"name": "s"}, "data": {"pw": "aHVudGVyMg=="}});
        sources.secrets.insert("s".into(), Some(Arc::new(serde_json::from_value(secret).unwrap())));
        sources
    }

    fn environment(container: serde_json::Value) -> Result<Vec<(String, String)>, String> {
        let mut container: Container = serde_json::from_value(container).unwrap();
        container.name = "c".into();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u1", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [container.clone()]}
        }))
        .unwrap();
        let services = BTreeMap::from([("KUBERNETES_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned())]);
        build(&pod, &container, &sources(), &services, &facts())
    }

    #[test]
    fn every_source_of_a_value() {
        let built = environment(json!({"name": "c",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "conf"}}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(P_k)-$(KUBERNETES_SERVICE_HOST)-$(NO)"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "x", "optional": true}}},
                {"name": "P_l", "value": "over"}
            ]})).unwrap();
        let expected = [
            ("P_k", "v"),
            ("P_l", "over"),
            ("A", "1"),
            ("B", "1-v-10.0.0.1-$(NO)"),
            ("IP", "10.244.0.5"),
            ("APP", "web"),
            ("PW", "hunter2"),
            ("CPU", "2"),
            ("MEM", "1024"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ];
        let expected: Vec<_> = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert_eq!(built, expected);
    }

    #[test]
    fn what_is_missing_is_named() {
        let gone = environment(json!({"name": "c", "envFrom": [{"configMapRef": {"name": "gone"}}]}));
        assert_eq!(gone, Err("configmap \"gone\" not found".into()));
        let key = environment(json!({"name": "c",
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no"}}}]}));
        assert_eq!(key, Err("couldn't find key no in Secret ns/s".into()));
    }
}
