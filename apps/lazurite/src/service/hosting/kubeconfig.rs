//! The kubeconfig that `az aks get-credentials` merges.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use container_service::{Credential, Login};
use kit::pki::{Leaf, Usage};
use serde_json::{Value, json};

use super::Plane;

/// Client certificates live two years, as AKS's.
const VALID: Duration = Duration::from_secs(2 * 365 * 86_400);

/// The application that stands for the API servers of all AKS clusters, and the public client people sign in with.
const SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";
const CLIENT: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";
const ENVIRONMENT: &str = "AzurePublicCloud";
/// As AKS has it: what kubectl says when it does not find kubelogin.
const INSTALL_HINT: &str = "\nkubelogin is not installed which is required to connect to AAD enabled cluster.\n\n\
    To learn more, please go to https://aka.ms/aks/kubelogin\n";

/// A kubeconfig. The server is the host's listener, which tells clusters apart by `tls-server-name`.
pub(super) fn render(
    plane: &Plane,
    who: Credential,
    namespace: Option<&str>,
    api: SocketAddr,
) -> Result<String> {
    let (name, login) = match who {
        Credential::Admin => ("clusterAdmin", None),
        Credential::User(login) => ("clusterUser", Some(login)),
        Credential::MonitoringUser => ("clusterMonitoringUser", None),
    };
    let spec = &plane.spec;
    let credential = match login.filter(|_| spec.entra) {
        Some(Login::Exec) => kubelogin(&spec.tenant_id),
        Some(Login::AuthProvider) => auth_provider(&spec.tenant_id),
        None => certificate(plane, name)?,
    };
    let user = format!("{name}_{}_{}", spec.resource_group, spec.name);
    // Clients rename an administrator's context to `<name>-admin` when they merge it.
    let context = &spec.name;
    let mut inside = json!({"cluster": spec.name, "user": user});
    if let Some(namespace) = namespace {
        inside["namespace"] = json!(namespace);
    }
    // JSON is YAML, and az and kubectl read it as such; a YAML writer would only change the looks.
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": spec.name, "cluster": {
            "certificate-authority-data": STANDARD.encode(&plane.keys.ca_pem),
            "server": format!("https://{api}"),
            "tls-server-name": spec.fqdn}}],
        "users": [{"name": user, "user": credential}],
        "contexts": [{"name": context, "context": inside}],
        "current-context": context});
    Ok(serde_json::to_string_pretty(&document)?)
}

/// A client certificate of its own.
fn certificate(plane: &Plane, name: &str) -> Result<Value> {
    let issued = plane.authority.issue(&Leaf {
        common_name: name.to_owned(),
        organizations: Vec::new(),
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usage: Usage::Client,
        valid: VALID,
    })?;
    Ok(json!({
        "client-certificate-data": STANDARD.encode(&issued.certificate_pem),
        "client-key-data": STANDARD.encode(&issued.key_pem)}))
}

/// No secret: kubectl asks kubelogin for a token.
fn kubelogin(tenant: &str) -> Value {
    json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "args": ["get-token", "--environment", ENVIRONMENT, "--server-id", SERVER, "--client-id", CLIENT,
            "--tenant-id", tenant, "--login", "devicecode"],
        "command": "kubelogin",
        "env": null,
        "installHint": INSTALL_HINT,
        "provideClusterInfo": false}})
}

/// The same for clients of before 1.26, which sign in themselves.
fn auth_provider(tenant: &str) -> Value {
    json!({ "auth-provider": { "name": "azure", "config": {
        "apiserver-id": SERVER,
        "client-id": CLIENT,
        "config-mode": "1",
        "environment": ENVIRONMENT,
        "tenant-id": tenant}}})
}
