//! What a pod or a volume refers to.

use serde_json::Value;

use crate::attributes::{items, text};

/// Kinds of objects that nodes may read because a pod of theirs refers to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
    ResourceClaim,
}

/// Names of everything in its own namespace that a pod refers to.
pub(super) fn of_pod(pod: &Value) -> Vec<(Kind, String)> {
    // Nodes make mirror pods themselves and must not gain by it.
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        return Vec::new();
    }
    let mut found = Found(Vec::new());
    found.add(Kind::ServiceAccount, text(pod, "/spec/serviceAccountName"));
    for secret in items(pod, "/spec/imagePullSecrets") {
        found.add(Kind::Secret, text(secret, "/name"));
    }
    for list in ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"] {
        items(pod, list).iter().for_each(|container| found.add_environment(container));
    }
    let pod_name = text(pod, "/metadata/name");
    for volume in items(pod, "/spec/volumes") {
        found.add_volume(volume, pod_name);
    }
    for claim in items(pod, "/spec/resourceClaims").iter().chain(items(pod, "/status/resourceClaimStatuses"))
    {
        found.add(Kind::ResourceClaim, text(claim, "/resourceClaimName"));
    }
    found.add(Kind::ResourceClaim, text(pod, "/status/extendedResourceClaimStatus/resourceClaimName"));
    found.0
}

struct Found(Vec<(Kind, String)>);

impl Found {
    fn add(&mut self, kind: Kind, name: &str) {
        if !name.is_empty() && !self.0.iter().any(|(have, known)| *have == kind && known == name) {
            self.0.push((kind, name.to_owned()));
        }
    }

    fn add_environment(&mut self, container: &Value) {
        for source in items(container, "/envFrom") {
            self.add(Kind::Secret, text(source, "/secretRef/name"));
            self.add(Kind::ConfigMap, text(source, "/configMapRef/name"));
        }
        for variable in items(container, "/env") {
            self.add(Kind::Secret, text(variable, "/valueFrom/secretKeyRef/name"));
            self.add(Kind::ConfigMap, text(variable, "/valueFrom/configMapKeyRef/name"));
        }
    }

    fn add_volume(&mut self, volume: &Value, pod_name: &str) {
        const SECRETS: [&str; 10] = [
            "/secret/secretName",
            "/azureFile/secretName",
            "/csi/nodePublishSecretRef/name",
            "/cephfs/secretRef/name",
            "/cinder/secretRef/name",
            "/flexVolume/secretRef/name",
            "/iscsi/secretRef/name",
            "/rbd/secretRef/name",
            "/scaleIO/secretRef/name",
            "/storageos/secretRef/name",
        ];
        for pointer in SECRETS {
            self.add(Kind::Secret, text(volume, pointer));
        }
        self.add(Kind::ConfigMap, text(volume, "/configMap/name"));
        self.add(Kind::Claim, text(volume, "/persistentVolumeClaim/claimName"));
        if volume.get("ephemeral").is_some() {
            self.add(Kind::Claim, &format!("{pod_name}-{}", text(volume, "/name")));
        }
        for source in items(volume, "/projected/sources") {
            self.add(Kind::Secret, text(source, "/secret/name"));
            self.add(Kind::ConfigMap, text(source, "/configMap/name"));
        }
    }
}

/// The Secrets, as `namespace/name`, that a volume needs on a node.
pub(super) fn of_volume(volume: &Value) -> Vec<String> {
    // Of CSI only the node's own part: what the controller needs is for the controller.
    const REFERENCES: [&str; 8] = [
        "/spec/csi/nodePublishSecretRef",
        "/spec/csi/nodeStageSecretRef",
        "/spec/csi/nodeExpandSecretRef",
        "/spec/cephfs/secretRef",
        "/spec/flexVolume/secretRef",
        "/spec/iscsi/secretRef",
        "/spec/rbd/secretRef",
        "/spec/scaleIO/secretRef",
    ];
    let claims = text(volume, "/spec/claimRef/namespace");
    let mut found = Vec::new();
    let mut add = |namespace: &str, name: &str| {
        let namespace = if namespace.is_empty() { claims } else { namespace };
        if !name.is_empty() && !namespace.is_empty() {
            found.push(format!("{namespace}/{name}"));
        }
    };
    for reference in REFERENCES.iter().filter_map(|pointer| volume.pointer(pointer)) {
        add(text(reference, "/namespace"), text(reference, "/name"));
    }
    add(text(volume, "/spec/azureFile/secretNamespace"), text(volume, "/spec/azureFile/secretName"));
    found
}
