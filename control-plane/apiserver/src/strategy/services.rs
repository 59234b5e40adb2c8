//! Services: cluster addresses, IP families and node ports.
//!
//! Clusters have one family, IPv4. What a service cannot be given is refused before its other rules are asked, as upstream: the fields
//! that ask for too much are named, and a range with nothing left is the server's failure, not the caller's.

use api_model::{Cause, FieldPath};
use serde_json::{Value, json};

use crate::allocation::Allocation;
use crate::attributes::ApiError;
use crate::registry::{Target, object};

const NONE: &str = "None";

/// Why a service is not given what it needs.
#[derive(Debug)]
pub enum Refused {
    /// It asks for what cannot be given.
    Fields(Vec<Cause>),
    /// There is nothing left, or a port that no field can be blamed for is taken.
    Server(String),
}

impl Refused {
    fn field(path: &str, value: &Value, why: &str) -> Self {
        Self::Fields(vec![Cause::invalid(&FieldPath::new(path), value, why)])
    }

    /// As the API answers it.
    pub fn answer(&self, target: &Target) -> ApiError {
        match self {
            Self::Fields(causes) => target.invalid(&target.name, causes),
            Self::Server(why) => ApiError::internal(why),
        }
    }
}

fn spec_text<'a>(service: &'a Value, key: &str) -> &'a str {
    object::text(service, &["spec", key])
}

fn kind_of(service: &Value) -> &str {
    match spec_text(service, "type") {
        "" => "ClusterIP",
        kind => kind,
    }
}

fn has_node_ports(kind: &str) -> bool {
    matches!(kind, "NodePort" | "LoadBalancer")
}

fn wants_health_check(service: &Value) -> bool {
    kind_of(service) == "LoadBalancer" && spec_text(service, "externalTrafficPolicy") == "Local"
}

/// Fills in what the server gives. `old` is the stored service on updates.
///
/// # Errors
/// What cannot be given.
pub fn allocate(
    service: &mut Value,
    old: Option<&Value>,
    allocation: &mut Allocation,
) -> Result<(), Refused> {
    follow_first_address(service, old);
    if let Some(old) = old {
        drop_what_the_type_has_not(service, old);
        carry_over(service, old);
    }
    let kind = kind_of(service).to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    families(service)?;
    address(service, allocation)?;
    if has_node_ports(&kind) {
        node_ports(service, &kind, allocation)?;
    }
    health_check_port(service, allocation)
}

/// `clusterIP` and the first of `clusterIPs` are the same: who knows one of them only is understood.
fn follow_first_address(service: &mut Value, old: Option<&Value>) {
    let first = spec_text(service, "clusterIP").to_owned();
    let all = object::at(service, &["spec", "clusterIPs"]).clone();
    let has_all = all.as_array().is_some_and(|all| !all.is_empty());
    let spec = object::map_mut(service, "spec");
    let Some(old) = old else {
        if !first.is_empty() && !has_all {
            spec.insert("clusterIPs".to_owned(), json!([first]));
        }
        return;
    };
    let (old_first, old_all) = (spec_text(old, "clusterIP"), object::at(old, &["spec", "clusterIPs"]));
    if first != old_first && all == *old_all {
        if first.is_empty() {
            spec.remove("clusterIPs");
        } else if old_first.is_empty() {
            spec.insert("clusterIPs".to_owned(), json!([first]));
        } else if let Some(Value::Array(all)) = spec.get_mut("clusterIPs") {
            all.splice(..1.min(all.len()), [json!(first)]);
        }
    } else if first == old_first && !has_all && old_all.is_array() {
        spec.remove("clusterIP");
    }
}

/// What the old type needed and the new one has no use for goes, unless the caller insists on something else.
fn drop_what_the_type_has_not(service: &mut Value, old: &Value) {
    let (kind, old_kind) = (kind_of(service).to_owned(), kind_of(old));
    let mut gone: Vec<&str> = Vec::new();
    if kind == "ExternalName" && old_kind != "ExternalName" {
        gone.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]);
    }
    if !has_node_ports(&kind) && has_node_ports(old_kind) {
        drop_old_ports(service, old);
        gone.push("externalTrafficPolicy");
    }
    if kind != "LoadBalancer" && old_kind == "LoadBalancer" {
        gone.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if !wants_health_check(service) && wants_health_check(old) {
        gone.push("healthCheckNodePort");
    }
    let spec = object::map_mut(service, "spec");
    for key in gone {
        if spec.get(key) == Some(object::at(old, &["spec", key])) {
            spec.remove(key);
        }
    }
}

fn drop_old_ports(service: &mut Value, old: &Value) {
    let old_ports = object::items(old, &["spec", "ports"]);
    let Some(Value::Array(ports)) = object::map_mut(service, "spec").get_mut("ports") else { return };
    for port in ports {
        let number = object::at(port, &["nodePort"]).clone();
        if old_ports.iter().any(|old| object::at(old, &["nodePort"]) == &number) {
            object::set(port, "nodePort", Value::Null);
        }
    }
}

/// What a service has and the update does not mention stays.
fn carry_over(service: &mut Value, old: &Value) {
    let kind = kind_of(service).to_owned();
    if kind == "ExternalName" || kind_of(old) == "ExternalName" {
        return;
    }
    let unsaid = spec_text(service, "clusterIP").is_empty()
        && object::items(service, &["spec", "clusterIPs"]).is_empty();
    let mut kept = vec!["ipFamilies", "ipFamilyPolicy"];
    if unsaid {
        kept.extend(["clusterIP", "clusterIPs"]);
    }
    if wants_health_check(service) {
        kept.push("healthCheckNodePort");
    }
    for key in kept {
        let value = object::at(old, &["spec", key]);
        if !value.is_null() && object::at(service, &["spec", key]).is_null() {
            object::map_mut(service, "spec").insert(key.to_owned(), value.clone());
        }
    }
    if has_node_ports(&kind) && has_node_ports(kind_of(old)) {
        keep_node_ports(service, old);
    }
}

fn keep_node_ports(service: &mut Value, old: &Value) {
    let old_ports = object::items(old, &["spec", "ports"]);
    let Some(Value::Array(ports)) = object::map_mut(service, "spec").get_mut("ports") else { return };
    for port in ports {
        if object::number(port, &["nodePort"]).unwrap_or_default() != 0 {
            continue;
        }
        let same = |old: &&Value| {
            object::number(old, &["port"]) == object::number(port, &["port"])
                && object::text(old, &["protocol"]) == object::text(port, &["protocol"])
        };
        let kept = old_ports.iter().find(same).and_then(|old| object::number(old, &["nodePort"]));
        if let Some(kept) = kept.filter(|kept| *kept != 0) {
            object::set(port, "nodePort", json!(kept));
        }
    }
}

/// The families of a service. One without selector whose clients find its endpoints themselves may have both; nobody has to serve it.
fn families(service: &mut Value) -> Result<(), Refused> {
    let headless = object::items(service, &["spec", "clusterIPs"]).first() == Some(&json!(NONE));
    let selects = matches!(object::at(service, &["spec", "selector"]), Value::Object(map) if !map.is_empty());
    let spec = object::map_mut(service, "spec");
    if headless && !selects {
        let policy = spec.entry("ipFamilyPolicy").or_insert(json!("RequireDualStack")).clone();
        let families = spec.entry("ipFamilies").or_insert(json!(["IPv4"]));
        if let Value::Array(families) = families
            && families.len() == 1
            && policy != "SingleStack"
        {
            let other = if families[..] == [json!("IPv4")] { "IPv6" } else { "IPv4" };
            families.push(json!(other));
        }
        return Ok(());
    }
    if spec.get("ipFamilyPolicy") == Some(&json!("RequireDualStack")) {
        let why = "this cluster is not configured for dual-stack services";
        return Err(Refused::field("spec.ipFamilyPolicy", &json!("RequireDualStack"), why));
    }
    let listed = spec.get("ipFamilies").and_then(Value::as_array).cloned().unwrap_or_default();
    let foreign = |family: &&Value| *family != "IPv4";
    let causes: Vec<Cause> = listed
        .iter()
        .enumerate()
        .filter(|(_, family)| foreign(family))
        .map(|(index, family)| {
            let path = FieldPath::new("spec.ipFamilies").index(index);
            Cause::invalid(&path, family, "not configured on this cluster")
        })
        .collect();
    if !causes.is_empty() {
        return Err(Refused::Fields(causes));
    }
    spec.entry("ipFamilies").or_insert(json!(["IPv4"]));
    spec.entry("ipFamilyPolicy").or_insert(json!("SingleStack"));
    Ok(())
}

fn address(service: &mut Value, allocation: &mut Allocation) -> Result<(), Refused> {
    let first = object::items(service, &["spec", "clusterIPs"]).first().and_then(Value::as_str);
    let wanted = first.filter(|first| !first.is_empty()).unwrap_or_default().to_owned();
    match wanted.as_str() {
        NONE => {}
        "" => {
            let given = allocation
                .any_address()
                .map_err(|error| Refused::Server(format!("failed to allocate a serviceIP: {error}")))?;
            object::map_mut(service, "spec").insert("clusterIPs".to_owned(), json!([given]));
        }
        text => {
            let address = text.parse().map_err(|_| {
                let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                Refused::field("spec.clusterIPs[0]", &json!(text), why)
            })?;
            allocation.address(address).map_err(|error| {
                let shown = object::at(service, &["spec", "clusterIPs"]);
                Refused::field("spec.clusterIPs", shown, &format!("failed to allocate IP {text}: {error}"))
            })?;
        }
    }
    let first = object::items(service, &["spec", "clusterIPs"]).first().cloned().unwrap_or_default();
    object::map_mut(service, "spec").entry("clusterIP").or_insert(first);
    Ok(())
}

fn node_ports(service: &mut Value, kind: &str, allocation: &mut Allocation) -> Result<(), Refused> {
    let wanted = object::at(service, &["spec", "allocateLoadBalancerNodePorts"]).as_bool();
    let make = kind == "NodePort" || wanted != Some(false);
    let Some(Value::Array(ports)) = object::map_mut(service, "spec").get_mut("ports") else { return Ok(()) };
    // One port number may serve several protocols of the same service.
    let mut given: Vec<(i64, String, i64)> = Vec::new();
    for (index, port) in ports.iter_mut().enumerate() {
        let protocol = object::text(port, &["protocol"]).to_owned();
        let number = object::number(port, &["port"]).unwrap_or_default();
        let asked = object::number(port, &["nodePort"]).unwrap_or_default();
        if asked != 0 {
            let shared = given.iter().any(|(_, other, port)| *port == asked && *other != protocol);
            // A port given twice is for the rules to find.
            if !shared && !given.iter().any(|(_, _, port)| *port == asked) {
                let port = u16::try_from(asked).unwrap_or(0);
                allocation.port(port).map_err(|error| {
                    let field = format!("spec.ports[{index}].nodePort");
                    Refused::field(&field, &json!(asked), &error.to_string())
                })?;
            }
            given.push((number, protocol, asked));
        } else if make {
            let same = given
                .iter()
                .find(|(other, of, _)| *other == number && *of != protocol)
                .map(|(_, _, port)| *port);
            let port_number =
                match same {
                    Some(port) => port,
                    None => i64::from(allocation.any_port().map_err(|error| {
                        Refused::Server(format!("failed to allocate a nodePort: {error}"))
                    })?),
                };
            object::set(port, "nodePort", json!(port_number));
            given.push((number, protocol, port_number));
        }
    }
    Ok(())
}

fn health_check_port(service: &mut Value, allocation: &mut Allocation) -> Result<(), Refused> {
    if !wants_health_check(service) {
        return Ok(());
    }
    let asked = object::number(service, &["spec", "healthCheckNodePort"]).unwrap_or_default();
    if asked != 0 {
        let port = u16::try_from(asked).unwrap_or(0);
        return allocation.port(port).map_err(|error| {
            Refused::Server(format!("failed to allocate requested HealthCheck NodePort {asked}: {error}"))
        });
    }
    let port = allocation.any_port().map_err(|error| {
        Refused::Server(format!("failed to allocate a HealthCheck NodePort {asked}: {error}"))
    })?;
    object::map_mut(service, "spec").insert("healthCheckNodePort".to_owned(), json!(port));
    Ok(())
}
