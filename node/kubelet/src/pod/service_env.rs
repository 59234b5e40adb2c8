//! The variables by which a pod learns of Services: `NAME_SERVICE_HOST` and its companions.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;

/// The variables of the Services of `namespace` (when `links`), and always of `default/kubernetes`.
pub fn variables(
    services: &[std::sync::Arc<Service>],
    namespace: &str,
    links: bool,
) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let is = |service: &Service, namespace: &str| service.metadata.namespace.as_deref() == Some(namespace);
    let master =
        |service: &Service| is(service, "default") && service.metadata.name.as_deref() == Some("kubernetes");
    for service in services.iter().filter(|service| master(service)) {
        add(service, &mut out);
    }
    if links {
        for service in services.iter().filter(|service| is(service, namespace)) {
            add(service, &mut out);
        }
    }
    out
}

fn add(service: &Service, out: &mut BTreeMap<String, String>) {
    let (Some(name), Some(spec)) = (&service.metadata.name, &service.spec) else { return };
    let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { return };
    let Some(ports) = spec.ports.as_deref().filter(|ports| !ports.is_empty()) else { return };
    let prefix = variable(name);
    out.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    out.insert(format!("{prefix}_SERVICE_PORT"), ports[0].port.to_string());
    for (index, port) in ports.iter().enumerate() {
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            out.insert(format!("{prefix}_SERVICE_PORT_{}", variable(port_name)), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_ascii_lowercase();
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let url = format!("{lower}://{host}:{}", port.port);
        let own = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_ascii_uppercase());
        if index == 0 {
            out.insert(format!("{prefix}_PORT"), url.clone());
        }
        out.insert(own.clone(), url);
        out.insert(format!("{own}_PROTO"), lower);
        out.insert(format!("{own}_PORT"), port.port.to_string());
        out.insert(format!("{own}_ADDR"), ip.to_owned());
    }
}

fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn a_pod_sees_the_api_server_and_its_own_namespace() {
        let service =
            |namespace: &str, name: &str, ip: &str| {
                Arc::new(serde_json::from_value::<Service>(json!({
                "metadata": {"namespace": namespace, "name": name},
                "spec": {"clusterIP": ip, "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}
            })).unwrap())
            };
        let services = [
            service("default", "kubernetes", "10.0.0.1"),
            service("shop", "my-db", "10.0.0.7"),
            service("shop", "headless", "None"),
            service("other", "x", "10.0.0.9"),
        ];
        let seen = variables(&services, "shop", true);
        assert_eq!(seen["KUBERNETES_SERVICE_HOST"], "10.0.0.1");
        assert_eq!(seen["KUBERNETES_SERVICE_PORT"], "443");
        assert_eq!(seen["KUBERNETES_SERVICE_PORT_HTTPS"], "443");
        assert_eq!(seen["KUBERNETES_PORT_443_TCP_ADDR"], "10.0.0.1");
        assert_eq!(seen["MY_DB_PORT"], "tcp://10.0.0.7:443");
        assert!(!seen.keys().any(|key| key.starts_with("X_") || key.starts_with("HEADLESS")));
        assert!(variables(&services, "shop", false).keys().all(|key| key.starts_with("KUBERNETES_")));
    }
}
