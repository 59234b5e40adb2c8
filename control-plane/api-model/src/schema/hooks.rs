//! Defaults that depend on other fields, by the name of the type they belong to. Each rule is upstream's documented behaviour.

use super::value::{set_if_unset, text};
use crate::quantity::Quantity;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Object = Map<String, Value>;
type Rule = fn(&mut Object);

/// Runs before the fixed defaults of the type.
pub(super) fn before(name: &str, o: &mut Object) {
    for part in always_there(name) {
        or_object(o, part);
    }
    if let Some(rule) = rule_before(name) {
        rule(o);
    }
}

/// Whether any rule here is for the type.
pub(super) fn has_rules(name: &str) -> bool {
    !always_there(name).is_empty() || rule_before(name).is_some() || rule_after(name).is_some()
}

fn rule_before(name: &str) -> Option<Rule> {
    let rule: Rule = match name {
        "api.core.v1.Container" | "api.core.v1.EphemeralContainer" => image_pull_policy,
        "api.core.v1.Pod" => pod,
        "api.core.v1.PodSpec" => pod_spec,
        "api.core.v1.ResourceRequirements" => requests_from_limits,
        "api.core.v1.Volume" => volume,
        "api.core.v1.Secret" => string_data,
        "api.core.v1.Namespace" => namespace_label,
        "api.core.v1.ServiceSpec" => service_spec,
        "api.core.v1.ReplicationController" => rc,
        "api.apps.v1.DeploymentStrategy" => {
            |o| rolling(o, &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))])
        }
        "api.apps.v1.DaemonSetUpdateStrategy" => {
            |o| rolling(o, &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))])
        }
        "api.apps.v1.StatefulSetUpdateStrategy" => |o| rolling(o, &[("partition", json!(0))]),
        "api.apps.v1.StatefulSetSpec" => claim_templates,
        "api.batch.v1.JobSpec" => job_spec,
        "api.networking.v1.NetworkPolicySpec" => policy_types,
        "api.rbac.v1.RoleRef" => |o| set_if_unset(o, "apiGroup", || json!("rbac.authorization.k8s.io")),
        "api.rbac.v1.Subject" => subject,
        "api.autoscaling.v2.HorizontalPodAutoscalerBehavior" => hpa_behavior,
        "api.core.v1.PersistentVolumeClaimSpec" => data_source,
        "api.core.v1.LimitRangeItem" => limits,
        "api.resource.v1.ExactDeviceRequest" | "api.resource.v1.DeviceSubRequest" => device_request,
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec" => crd_names,
        _ => return None,
    };
    Some(rule)
}

/// The parts upstream's decoder makes when nobody gave them, so that what is inside them has its defaults.
fn always_there(name: &str) -> &'static [&'static str] {
    match name {
        "api.core.v1.Pod"
        | "api.core.v1.PodTemplateSpec"
        | "api.core.v1.ReplicationController"
        | "api.core.v1.Service"
        | "api.core.v1.PersistentVolume"
        | "api.core.v1.PersistentVolumeClaim"
        | "api.apps.v1.Deployment"
        | "api.apps.v1.ReplicaSet"
        | "api.apps.v1.StatefulSet"
        | "api.apps.v1.DaemonSet"
        | "api.batch.v1.Job"
        | "api.batch.v1.JobTemplateSpec"
        | "api.batch.v1.CronJob"
        | "api.networking.v1.NetworkPolicy"
        | "api.autoscaling.v1.HorizontalPodAutoscaler"
        | "api.autoscaling.v2.HorizontalPodAutoscaler" => &["spec"],
        "api.core.v1.PodTemplate"
        | "api.apps.v1.DeploymentSpec"
        | "api.apps.v1.ReplicaSetSpec"
        | "api.apps.v1.StatefulSetSpec"
        | "api.apps.v1.DaemonSetSpec"
        | "api.batch.v1.JobSpec" => &["template"],
        "api.batch.v1.CronJobSpec" => &["jobTemplate"],
        _ => &[],
    }
}

/// Fields of the type whose fixed default does not hold for this value.
pub(super) fn withheld(name: &str, o: &Object) -> &'static str {
    match name {
        // Who is reached by name is not reached by address, in no mode.
        "api.core.v1.LoadBalancerIngress" if text(o, "ip").is_empty() => "ipMode",
        _ => "",
    }
}

/// Runs after everything below the type is defaulted.
pub(super) fn after(name: &str, o: &mut Object) {
    if let Some(rule) = rule_after(name) {
        rule(o);
    }
}

fn rule_after(name: &str) -> Option<Rule> {
    let rule: Rule = match name {
        "api.core.v1.Pod" => |o| {
            pod_requests(o);
            pod_level_requests(o);
        },
        "api.core.v1.PodSpec" => host_ports,
        "api.core.v1.Probe" => probe,
        "api.apps.v1.DaemonSet" => template_generation,
        "api.batch.v1.Job" => job_labels,
        _ => return None,
    };
    Some(rule)
}

/// `:latest` or no tag is pulled always, anything else when it is not there.
fn image_pull_policy(o: &mut Object) {
    let image = text(o, "image");
    let base = image.split('@').next().unwrap_or_default();
    let last = base.rsplit('/').next().unwrap_or_default();
    let tag = last.rsplit_once(':').map(|(_, tag)| tag);
    let latest = match tag {
        Some(tag) => tag == "latest",
        None => !image.contains('@'),
    };
    set_if_unset(o, "imagePullPolicy", || json!(if latest { "Always" } else { "IfNotPresent" }));
}

fn pod(o: &mut Object) {
    if let Some(Value::Object(spec)) = o.get_mut("spec") {
        set_if_unset(spec, "enableServiceLinks", || json!(true));
    }
}

/// The old and the new name of the service account stay equal.
fn pod_spec(o: &mut Object) {
    let (new, old) = (text(o, "serviceAccountName").to_owned(), text(o, "serviceAccount").to_owned());
    if new.is_empty() && !old.is_empty() {
        o.insert("serviceAccountName".into(), old.into());
    } else if !new.is_empty() {
        o.insert("serviceAccount".into(), new.into());
    }
}

fn requests_from_limits(o: &mut Object) {
    for key in ["limits", "requests"] {
        if let Some(Value::Object(list)) = o.get_mut(key) {
            canonical_quantities(list);
        }
    }
}

/// Upstream answers quantities in their canonical form.
fn canonical_quantities(list: &mut Object) {
    for value in list.values_mut() {
        let parsed = match &*value {
            Value::String(text) => crate::quantity::Quantity::parse(text).ok(),
            Value::Number(number) => crate::quantity::Quantity::parse(&number.to_string()).ok(),
            _ => None,
        };
        if let Some(quantity) = parsed {
            *value = quantity.canonical().into();
        }
    }
}

/// A limit without a request is also the request; only in pods, as upstream.
fn pod_requests(o: &mut Object) {
    let Some(Value::Object(spec)) = o.get_mut("spec") else { return };
    for key in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = spec.get_mut(key) else { continue };
        for container in containers {
            let Some(Value::Object(resources)) = container.get_mut("resources") else { continue };
            let Some(Value::Object(limits)) = resources.get("limits") else { continue };
            let missing: Vec<(String, Value)> = limits.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            if let Value::Object(requests) = resources.entry("requests").or_insert_with(|| json!({})) {
                for (name, quantity) in missing {
                    requests.entry(name).or_insert(quantity);
                }
                if requests.is_empty() {
                    resources.remove("requests");
                }
            }
        }
    }
}

/// A pod that limits itself as a whole asks for what its containers ask for, and for its limits where they ask for nothing.
fn pod_level_requests(o: &mut Object) {
    let Some(Value::Object(spec)) = o.get_mut("spec") else { return };
    let limits =
        spec.get("resources").and_then(|resources| resources.get("limits")).and_then(Value::as_object);
    let Some(limits) = limits.filter(|limits| !limits.is_empty()).cloned() else { return };
    let counts = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    let asked = containers_requests(spec);
    let Some(Value::Object(resources)) = spec.get_mut("resources") else { return };
    let Value::Object(requests) = resources.entry("requests").or_insert_with(|| json!({})) else { return };
    for (name, quantity) in asked.iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory")) {
        requests.entry(name.clone()).or_insert_with(|| quantity.canonical().into());
    }
    for (name, quantity) in limits.into_iter().filter(|(name, _)| counts(name)) {
        requests.entry(name).or_insert(quantity);
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

/// What the containers ask for together: those that run at the same time added up, or an init container that asks for more.
fn containers_requests(spec: &Object) -> BTreeMap<String, Quantity> {
    let amounts = |container: &Value| -> Vec<(String, Quantity)> {
        let requests = container.pointer("/resources/requests").and_then(Value::as_object);
        let quantity = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok());
        requests
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), quantity(value)?)))
            .collect()
    };
    let list = |key: &str| spec.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (mut running, mut most) = (BTreeMap::<String, Quantity>::new(), BTreeMap::<String, Quantity>::new());
    let add = |to: &mut BTreeMap<String, Quantity>, name: String, quantity: &Quantity| {
        let sum = to.get(&name).map_or(*quantity, |had| had.add(quantity));
        to.insert(name, sum);
    };
    for container in list("initContainers") {
        let stays = container.get("restartPolicy").and_then(Value::as_str) == Some("Always");
        for (name, quantity) in amounts(&container) {
            let beside = running.get(&name).map_or(quantity, |had| had.add(&quantity));
            if most.get(&name).is_none_or(|most| most.cmp(&beside).is_lt()) {
                most.insert(name.clone(), beside);
            }
            if stays {
                add(&mut running, name, &quantity);
            }
        }
    }
    for container in list("containers") {
        for (name, quantity) in amounts(&container) {
            add(&mut running, name, &quantity);
        }
    }
    for (name, quantity) in most {
        if running.get(&name).is_none_or(|had| had.cmp(&quantity).is_lt()) {
            running.insert(name, quantity);
        }
    }
    running
}

/// The limits of containers say each other: who may use so much and no more has that by default, and who has it asks for it.
fn limits(o: &mut Object) {
    if text(o, "type") != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let Some(Value::Object(amounts)) = o.get(from).cloned() else { continue };
        if let Value::Object(defaults) = or_object(o, to) {
            for (name, amount) in amounts {
                defaults.entry(name).or_insert(amount);
            }
        }
    }
}

/// One device, unless all are asked for or another number is.
fn device_request(o: &mut Object) {
    set_if_unset(o, "allocationMode", || json!("ExactCount"));
    let uncounted = matches!(o.get("count").and_then(Value::as_i64), None | Some(0));
    if text(o, "allocationMode") == "ExactCount" && uncounted {
        o.insert("count".into(), json!(1));
    }
}

/// In the host's network a container's port is the host's.
fn host_ports(o: &mut Object) {
    if o.get("hostNetwork") != Some(&Value::Bool(true)) {
        return;
    }
    for key in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = o.get_mut(key) else { continue };
        for container in containers {
            let Some(Value::Array(ports)) = container.get_mut("ports") else { continue };
            for port in ports.iter_mut().filter_map(Value::as_object_mut) {
                let unset = port.get("hostPort").and_then(Value::as_i64).unwrap_or(0) == 0;
                if unset && let Some(number) = port.get("containerPort").cloned() {
                    port.insert("hostPort".into(), number);
                }
            }
        }
    }
}

fn probe(o: &mut Object) {
    // A gRPC probe without service asks for the server's overall health.
    if let Some(Value::Object(grpc)) = o.get_mut("grpc") {
        set_if_unset(grpc, "service", || json!(""));
    }
}

/// A volume without any source is an empty directory.
fn volume(o: &mut Object) {
    if o.keys().all(|key| key == "name") && o.contains_key("name") {
        o.insert("emptyDir".into(), json!({}));
    }
    if let Some(Value::Object(image)) = o.get_mut("image") {
        let mut as_container =
            Object::from_iter([("image".to_owned(), image.get("reference").cloned().unwrap_or_default())]);
        image_pull_policy(&mut as_container);
        if let Some(policy) = as_container.remove("imagePullPolicy") {
            set_if_unset(image, "pullPolicy", || policy);
        }
    }
}

/// `stringData` is written, encoded, over `data`, and never stored.
fn string_data(o: &mut Object) {
    use base64::Engine;
    let Some(Value::Object(plain)) = o.remove("stringData") else { return };
    if plain.is_empty() {
        return;
    }
    if !matches!(o.get("data"), Some(Value::Object(_))) {
        o.insert("data".into(), json!({}));
    }
    let Some(Value::Object(data)) = o.get_mut("data") else { return };
    for (key, value) in plain {
        if let Value::String(text) = value {
            data.insert(key, base64::engine::general_purpose::STANDARD.encode(text).into());
        }
    }
}

/// Every namespace carries its name as a label.
fn namespace_label(o: &mut Object) {
    let Some(Value::Object(metadata)) = o.get_mut("metadata") else { return };
    let name = text(metadata, "name").to_owned();
    if name.is_empty() {
        return;
    }
    if let Value::Object(labels) = metadata.entry("labels").or_insert_with(|| json!({})) {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

fn service_spec(o: &mut Object) {
    let kind = match text(o, "type") {
        "" => "ClusterIP".to_owned(),
        kind => kind.to_owned(),
    };
    let external = kind == "ExternalName";
    if let Some(Value::Array(ports)) = o.get_mut("ports") {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            let target = port.get("targetPort");
            let unset = super::value::is_unset(target) || target == Some(&json!(0));
            if unset && let Some(number) = port.get("port").cloned() {
                port.insert("targetPort".into(), number);
            }
        }
    }
    if text(o, "sessionAffinity") == "ClientIP" {
        let config = o.entry("sessionAffinityConfig").or_insert_with(|| json!({}));
        if let Value::Object(config) = config
            && let Value::Object(client) = config.entry("clientIP").or_insert_with(|| json!({}))
        {
            set_if_unset(client, "timeoutSeconds", || json!(10800));
        }
    } else {
        o.remove("sessionAffinityConfig");
    }
    if !external {
        set_if_unset(o, "internalTrafficPolicy", || json!("Cluster"));
    }
    let has_external_ips = matches!(o.get("externalIPs"), Some(Value::Array(ips)) if !ips.is_empty());
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && has_external_ips) {
        set_if_unset(o, "externalTrafficPolicy", || json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        set_if_unset(o, "allocateLoadBalancerNodePorts", || json!(true));
    }
}

/// Selector and labels of an old-style controller come from its template.
fn rc(o: &mut Object) {
    let labels = o.get("spec").and_then(|s| s.pointer("/template/metadata/labels")).cloned();
    let Some(labels) = labels else { return };
    if let Some(Value::Object(spec)) = o.get_mut("spec") {
        set_if_unset(spec, "selector", || labels.clone());
    }
    if let Some(Value::Object(metadata)) = o.get_mut("metadata") {
        set_if_unset(metadata, "labels", || labels);
    }
}

fn rolling(o: &mut Object, defaults: &[(&str, Value)]) {
    if !matches!(text(o, "type"), "" | "RollingUpdate") {
        return;
    }
    if let Value::Object(update) = or_object(o, "rollingUpdate") {
        for (key, value) in defaults {
            set_if_unset(update, key, || value.clone());
        }
    }
}

fn or_object<'a>(o: &'a mut Object, key: &str) -> &'a mut Value {
    if matches!(o.get(key), None | Some(Value::Null)) {
        o.insert(key.to_owned(), json!({}));
    }
    o.entry(key.to_owned()).or_insert(Value::Null)
}

/// Claim templates are whole claims and say so.
fn claim_templates(o: &mut Object) {
    let Some(Value::Array(templates)) = o.get_mut("volumeClaimTemplates") else { return };
    for template in templates.iter_mut().filter_map(Value::as_object_mut) {
        set_if_unset(template, "apiVersion", || json!("v1"));
        set_if_unset(template, "kind", || json!("PersistentVolumeClaim"));
    }
}

fn job_spec(o: &mut Object) {
    let indexed_backoff = o.get("backoffLimitPerIndex").is_some_and(|v| !v.is_null());
    if indexed_backoff {
        set_if_unset(o, "backoffLimit", || json!(i32::MAX));
    }
    let absent = |o: &Object, key: &str| matches!(o.get(key), None | Some(Value::Null));
    if absent(o, "completions") && absent(o, "parallelism") {
        o.insert("completions".into(), json!(1));
        o.insert("parallelism".into(), json!(1));
    }
    set_if_unset(o, "parallelism", || json!(1));
    let failure_policy = matches!(o.get("podFailurePolicy"), Some(Value::Object(_)));
    if failure_policy {
        set_if_unset(o, "podReplacementPolicy", || json!("Failed"));
    }
}

fn job_labels(o: &mut Object) {
    let labels = o.get("spec").and_then(|s| s.pointer("/template/metadata/labels")).cloned();
    if let (Some(labels), Some(Value::Object(metadata))) = (labels, o.get_mut("metadata")) {
        set_if_unset(metadata, "labels", || labels);
    }
}

fn template_generation(o: &mut Object) {
    // The annotation that once was `spec.templateGeneration`; the registry counts it from here.
    if let Some(Value::Object(metadata)) = o.get_mut("metadata") {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Value::Object(annotations) = annotations {
            set_if_unset(annotations, "deprecated.daemonset.template.generation", || json!("1"));
        }
    }
}

/// A policy is about what comes in, and about what goes out when it has rules for that.
fn policy_types(o: &mut Object) {
    if !o.contains_key("podSelector") {
        o.insert("podSelector".into(), json!({}));
    }
    let has_types = matches!(o.get("policyTypes"), Some(Value::Array(types)) if !types.is_empty());
    if !has_types {
        let egress = matches!(o.get("egress"), Some(Value::Array(rules)) if !rules.is_empty());
        o.insert(
            "policyTypes".into(),
            if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) },
        );
    }
}

fn subject(o: &mut Object) {
    let group = match text(o, "kind") {
        "User" | "Group" => "rbac.authorization.k8s.io",
        _ => return,
    };
    set_if_unset(o, "apiGroup", || json!(group));
}

fn hpa_behavior(o: &mut Object) {
    let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]});
    let down =
        json!({"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]});
    for (key, defaults) in [("scaleUp", up), ("scaleDown", down)] {
        if let (Value::Object(rules), Value::Object(defaults)) = (or_object(o, key), defaults) {
            for (field, value) in defaults {
                set_if_unset(rules, &field, || value);
            }
        }
    }
}

/// The old and the new reference to a claim's source stay equal.
fn data_source(o: &mut Object) {
    if let Some(source) = o.get("dataSource").filter(|s| !s.is_null()).cloned() {
        set_if_unset(o, "dataSourceRef", || source);
    } else if let Some(source) = o.get("dataSourceRef").filter(|s| !s.is_null()).cloned()
        && source.get("namespace").is_none()
    {
        o.insert("dataSource".into(), source);
    }
}

fn crd_names(o: &mut Object) {
    let Some(Value::Object(names)) = o.get_mut("names") else { return };
    let kind = text(names, "kind").to_owned();
    if kind.is_empty() {
        return;
    }
    set_if_unset(names, "singular", || kind.to_lowercase().into());
    set_if_unset(names, "listKind", || format!("{kind}List").into());
}
