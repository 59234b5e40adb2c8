//! The objects that put the add-ons into a cluster.

use std::net::Ipv4Addr;

use serde_json::Value;

/// What the manifests need to know of their cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The address of the DNS service.
    pub dns_service_ip: Ipv4Addr,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Lazurite's own image, which every node has.
    pub image: String,
}

/// A manifest that is not what it should be; a defect of this crate.
#[derive(Debug, thiserror::Error)]
#[error("failed to read manifest `{name}`")]
pub struct ManifestError {
    name: &'static str,
    #[source]
    source: serde_yaml_ng::Error,
}

const FILES: [(&str, &str); 1] = [("coredns", include_str!("manifests/coredns.yaml"))];

/// Every object of every add-on, in the order they are to be applied.
pub fn all(cluster: &Cluster) -> Result<Vec<Value>, ManifestError> {
    let mut objects = Vec::new();
    for (name, text) in FILES {
        let text = text
            .replace("{{dnsServiceIp}}", &cluster.dns_service_ip.to_string())
            .replace("{{clusterDomain}}", &cluster.cluster_domain)
            .replace("{{image}}", &cluster.image);
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let object: Value =
                serde::Deserialize::deserialize(document).map_err(|source| ManifestError { name, source })?;
            if !object.is_null() {
                objects.push(object);
            }
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_says_who_manages_it() {
        let cluster = Cluster {
            dns_service_ip: Ipv4Addr::new(10, 0, 0, 10),
            cluster_domain: "cluster.local".into(),
            image: "lazurite:1".into(),
        };
        let objects = all(&cluster).unwrap();
        assert!(objects.len() > 5);
        for object in &objects {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["kubernetes.azure.com/managedby"], "aks", "{}", object["kind"]);
        }
        assert!(!serde_json::to_string(&objects).unwrap().contains("{{"));
    }
}
