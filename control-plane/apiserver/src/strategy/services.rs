//! Services: cluster addresses, IP families and node ports.

use api_model::Cause;
use serde_json::{Value, json};

use crate::allocation::{Allocation, AllocationError};
use crate::registry::object;

/// A cause for the field where allocation failed.
fn cause(field: &str, value: &Value, error: &AllocationError) -> Cause {
    let path = api_model::FieldPath::new(field);
    Cause::invalid(&path, value, &error.to_string())
}

fn spec_text<'a>(service: &'a Value, key: &str) -> &'a str {
    object::text(service, &["spec", key])
}

/// Fills in what the server gives. `old` is the stored service on updates.
///
/// # Errors
/// The fields that ask for what cannot be given.
pub fn allocate(
    service: &mut Value,
    old: Option<&Value>,
    allocation: &mut Allocation,
) -> Result<(), Vec<Cause>> {
    let kind = match spec_text(service, "type") {
        "" => "ClusterIP".to_owned(),
        kind => kind.to_owned(),
    };
    if let Some(old) = old {
        carry_over(service, old, &kind);
    }
    if kind == "ExternalName" {
        let spec = object::map_mut(service, "spec");
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            spec.remove(key);
        }
        return Ok(());
    }
    address(service, allocation).map_err(|cause| vec![cause])?;
    if kind == "NodePort" || kind == "LoadBalancer" {
        node_ports(service, &kind, allocation).map_err(|cause| vec![cause])?;
        if kind == "LoadBalancer" {
            let spec = object::map_mut(service, "spec");
            spec.entry("allocateLoadBalancerNodePorts").or_insert(json!(true));
        }
        object::map_mut(service, "spec").entry("externalTrafficPolicy").or_insert(json!("Cluster"));
    }
    health_check_port(service, &kind, allocation).map_err(|cause| vec![cause])
}

fn address(service: &mut Value, allocation: &mut Allocation) -> Result<(), Cause> {
    let first = object::items(service, &["spec", "clusterIPs"]).first().and_then(Value::as_str);
    let wanted = match spec_text(service, "clusterIP") {
        "" => first.unwrap_or_default().to_owned(),
        wanted => wanted.to_owned(),
    };
    let given = match wanted.as_str() {
        "None" => "None".to_owned(),
        "" => match allocation.any_address() {
            Ok(address) => address.to_string(),
            Err(error) => {
                let text = format!("failed to allocate a serviceIP: {error}");
                let path = api_model::FieldPath::new("spec.clusterIPs");
                return Err(Cause::invalid(&path, &json!([]), &text));
            }
        },
        text => {
            let field = "spec.clusterIPs";
            let shown = json!([text]);
            let address = text.parse().map_err(|_| {
                Cause::invalid(
                    &api_model::FieldPath::new("spec.clusterIPs[0]"),
                    &json!(text),
                    "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                )
            })?;
            allocation.address(address).map_err(|error| {
                let path = api_model::FieldPath::new(field);
                Cause::invalid(&path, &shown, &format!("failed to allocate IP {text}: {error}"))
            })?;
            text.to_owned()
        }
    };
    let spec = object::map_mut(service, "spec");
    spec.insert("clusterIP".to_owned(), json!(given));
    spec.insert("clusterIPs".to_owned(), json!([given]));
    spec.entry("ipFamilies").or_insert(json!(["IPv4"]));
    // Dual stack is not served: one family, whatever is preferred.
    spec.entry("ipFamilyPolicy").or_insert(json!("SingleStack"));
    spec.entry("internalTrafficPolicy").or_insert(json!("Cluster"));
    Ok(())
}

fn node_ports(service: &mut Value, kind: &str, allocation: &mut Allocation) -> Result<(), Cause> {
    let wanted = object::at(service, &["spec", "allocateLoadBalancerNodePorts"]).as_bool();
    let make = kind == "NodePort" || wanted != Some(false);
    let Some(Value::Array(ports)) = object::map_mut(service, "spec").get_mut("ports") else { return Ok(()) };
    // One port number may serve several protocols of the same service.
    let mut given: Vec<(i64, String, u16)> = Vec::new();
    for (index, port) in ports.iter_mut().enumerate() {
        let protocol = object::text(port, &["protocol"]).to_owned();
        let number = object::number(port, &["port"]).unwrap_or_default();
        let field = format!("spec.ports[{index}].nodePort");
        let asked = object::number(port, &["nodePort"]).unwrap_or_default();
        if asked != 0 {
            let shown = json!(asked);
            let asked =
                u16::try_from(asked).map_err(|_| cause(&field, &shown, &AllocationError::Taken("port")))?;
            let shared = given.iter().any(|(_, other, port)| *port == asked && *other != protocol);
            if !shared {
                allocation.port(asked).map_err(|error| cause(&field, &shown, &error))?;
            }
            given.push((number, protocol, asked));
        } else if make {
            let same = given
                .iter()
                .find(|(other, of, _)| *other == number && *of != protocol)
                .map(|(_, _, port)| *port);
            let port_number = match same {
                Some(port) => port,
                None => allocation.any_port().map_err(|error| cause(&field, &json!(0), &error))?,
            };
            object::set(port, "nodePort", json!(port_number));
            given.push((number, protocol, port_number));
        }
    }
    Ok(())
}

fn health_check_port(service: &mut Value, kind: &str, allocation: &mut Allocation) -> Result<(), Cause> {
    let wanted = kind == "LoadBalancer" && spec_text(service, "externalTrafficPolicy") == "Local";
    let field = "spec.healthCheckNodePort";
    let asked = object::number(service, &["spec", "healthCheckNodePort"]).unwrap_or_default();
    if !wanted {
        object::map_mut(service, "spec").remove("healthCheckNodePort");
        return Ok(());
    }
    if let Some(asked) = u16::try_from(asked).ok().filter(|asked| *asked != 0) {
        return allocation.port(asked).map_err(|error| cause(field, &json!(asked), &error));
    }
    let port = allocation.any_port().map_err(|error| cause(field, &json!(0), &error))?;
    object::map_mut(service, "spec").insert("healthCheckNodePort".to_owned(), json!(port));
    Ok(())
}

/// What a service has and the update does not mention stays.
fn carry_over(service: &mut Value, old: &Value, kind: &str) {
    let old_kind = spec_text(old, "type");
    let keeps_address = kind != "ExternalName" && old_kind != "ExternalName";
    let unsaid = spec_text(service, "clusterIP").is_empty();
    if keeps_address && unsaid {
        for key in ["clusterIP", "clusterIPs"] {
            let value = object::at(old, &["spec", key]).clone();
            if !value.is_null() {
                object::map_mut(service, "spec").insert(key.to_owned(), value);
            }
        }
    }
    for key in ["ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
        let value = object::at(old, &["spec", key]).clone();
        if keeps_address && !value.is_null() {
            object::map_mut(service, "spec").entry(key).or_insert(value);
        }
    }
    let has_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    if !has_ports(kind) {
        // Leaving these types gives the ports back, unless the caller insists on other ones.
        if has_ports(old_kind) {
            drop_old_ports(service, old);
        }
        return;
    }
    let old_ports = object::items(old, &["spec", "ports"]).to_vec();
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

fn drop_old_ports(service: &mut Value, old: &Value) {
    let old_ports = object::items(old, &["spec", "ports"]).to_vec();
    let Some(Value::Array(ports)) = object::map_mut(service, "spec").get_mut("ports") else { return };
    for port in ports {
        let number = object::at(port, &["nodePort"]).clone();
        if old_ports.iter().any(|old| object::at(old, &["nodePort"]) == &number) {
            object::set(port, "nodePort", Value::Null);
        }
    }
    let spec = object::map_mut(service, "spec");
    spec.remove("allocateLoadBalancerNodePorts");
    spec.remove("externalTrafficPolicy");
}
