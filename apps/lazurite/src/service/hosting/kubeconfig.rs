//! The kubeconfig that `az aks get-credentials` merges.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use container_service::Credential;
use kit::pki::{Leaf, Usage};
use serde_json::json;

use super::Plane;

/// Client certificates live two years, as AKS's.
const VALID: Duration = Duration::from_secs(2 * 365 * 86_400);

/// A kubeconfig with a client certificate of its own. The server is the host's listener, which tells
/// clusters apart by `tls-server-name`.
pub(super) fn render(plane: &Plane, who: Credential, api: SocketAddr) -> Result<String> {
    let name = match who {
        Credential::Admin => "clusterAdmin",
        Credential::User => "clusterUser",
    };
    let issued = plane.authority.issue(&Leaf {
        common_name: name.to_owned(),
        organizations: Vec::new(),
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usage: Usage::Client,
        valid: VALID,
    })?;
    let spec = &plane.spec;
    let user = format!("{name}_{}_{}", spec.resource_group, spec.name);
    // Clients rename an administrator's context to `<name>-admin` when they merge it.
    let context = &spec.name;
    // JSON is YAML, and az and kubectl read it as such; a YAML writer would only change the looks.
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": spec.name, "cluster": {
            "certificate-authority-data": STANDARD.encode(&plane.keys.ca_pem),
            "server": format!("https://{api}"),
            "tls-server-name": spec.fqdn}}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&issued.certificate_pem),
            "client-key-data": STANDARD.encode(&issued.key_pem)}}],
        "contexts": [{"name": context, "context": {"cluster": spec.name, "user": user}}],
        "current-context": context});
    Ok(serde_json::to_string_pretty(&document)?)
}
