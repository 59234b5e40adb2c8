//! What a cluster's control plane keeps for good: its authority, keys, address, token and settings.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use container_service::ControlPlaneSpec;
use kit::files::{Readers, read, remove, write_atomic};
use kit::pki::Authority;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Their file in a cluster's directory.
pub(super) const KEYS: &str = "keys.json";
const SPEC: &str = "spec.json";

/// AKS's cluster authorities live 30 years.
const AUTHORITY_VALID: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Keys and names made once per cluster.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// The API server's public address.
    pub(crate) address: Ipv4Addr,
    /// The authority's certificate.
    pub(crate) ca_pem: String,
    /// The authority's key.
    ca_key_pem: String,
    /// Signs service-account tokens.
    pub(crate) service_account_key_pem: String,
    /// Public keys of those that signed before and whose tokens are still good. Not in files of before.
    #[serde(default)]
    pub(crate) retired_service_account_keys_pem: Vec<String>,
    /// The rotation that made the signing key; empty: none did.
    #[serde(default)]
    pub(super) signing_rotation: String,
    /// The authority of proxies that say who asks, certificate and key. Not in files of before.
    #[serde(default)]
    proxy_ca_pem: String,
    #[serde(default)]
    proxy_ca_key_pem: String,
    /// With it nodes ask for certificates: `<id>.<secret>`.
    pub(crate) bootstrap_token: String,
}

impl Keys {
    /// New keys, without an address yet. Takes some tens of milliseconds of processor.
    pub(crate) fn make() -> Result<Self> {
        let authority = Authority::new("ca", AUTHORITY_VALID)?;
        let mut keys = Self {
            address: Ipv4Addr::UNSPECIFIED,
            ca_pem: authority.certificate_pem().to_owned(),
            ca_key_pem: authority.key_pem().to_owned(),
            service_account_key_pem: kit::pki::rsa_key_pem()?,
            retired_service_account_keys_pem: Vec::new(),
            signing_rotation: String::new(),
            proxy_ca_pem: String::new(),
            proxy_ca_key_pem: String::new(),
            bootstrap_token: format!("{}.{}", random(6), random(16)),
        };
        keys.complete()?;
        Ok(keys)
    }

    /// Keys of a new authority at the same address. Tokens of service accounts are signed as before.
    pub(crate) fn renewed(&self) -> Result<Self> {
        let new = Self::make()?;
        Ok(Self {
            ca_pem: new.ca_pem,
            ca_key_pem: new.ca_key_pem,
            proxy_ca_pem: new.proxy_ca_pem,
            proxy_ca_key_pem: new.proxy_ca_key_pem,
            bootstrap_token: new.bootstrap_token,
            ..self.clone()
        })
    }

    /// The same keys with a new one that signs; the one before it is retired, those before that are gone. Keys that this
    /// rotation made already stay as they are.
    pub(crate) fn with_new_signer(&self, rotation: &str) -> Result<Self> {
        if self.signing_rotation == rotation {
            return Ok(self.clone());
        }
        let retired = kit::pki::public_key_pem(&self.service_account_key_pem)?;
        Ok(Self {
            service_account_key_pem: kit::pki::rsa_key_pem()?,
            retired_service_account_keys_pem: vec![retired],
            signing_rotation: rotation.to_owned(),
            ..self.clone()
        })
    }

    /// Makes what keys of before do not have; says whether something was missing.
    fn complete(&mut self) -> Result<bool> {
        if !self.proxy_ca_pem.is_empty() {
            return Ok(false);
        }
        let authority = Authority::new("front-proxy-ca", AUTHORITY_VALID)?;
        self.proxy_ca_pem = authority.certificate_pem().to_owned();
        self.proxy_ca_key_pem = authority.key_pem().to_owned();
        Ok(true)
    }

    /// The keys stored in a cluster's directory, if there are any.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        match read(&dir.join(KEYS)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).context("the stored keys are damaged")?)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same with what is kept since, made and stored. For whoever has the cluster's turn.
    pub(crate) fn read_complete(dir: &Path) -> Result<Option<Self>> {
        let Some(mut keys) = Self::read(dir)? else { return Ok(None) };
        if keys.complete()? {
            keys.write(dir)?;
        }
        Ok(Some(keys))
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        Ok(write_atomic(&dir.join(KEYS), &serde_json::to_vec(self)?, Readers::Owner)?)
    }

    pub(crate) fn authority(&self) -> Result<Authority> {
        Ok(Authority::load(&self.ca_pem, &self.ca_key_pem)?)
    }

    /// The authority of proxies that say who asks.
    pub(crate) fn proxy_authority(&self) -> Result<Authority> {
        Ok(Authority::load(&self.proxy_ca_pem, &self.proxy_ca_key_pem)?)
    }
}

fn random(length: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut source = rand::rng();
    (0..length).map(|_| char::from(LETTERS[source.random_range(0..LETTERS.len())])).collect()
}

/// A spec as stored: a file of its own, there while the plane is to run.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ControlPlaneSpec")]
struct Stored {
    cluster: String,
    name: String,
    subscription_id: String,
    tenant_id: String,
    resource_group: String,
    node_resource_group: String,
    location: String,
    version: String,
    fqdn: String,
    issuer: String,
    service_cidr: ipnet::Ipv4Net,
    dns_service_ip: Ipv4Addr,
    pod_cidr: Option<ipnet::Ipv4Net>,
    principal_id: String,
    /// Not in files of before.
    #[serde(default)]
    tier: String,
    #[serde(default)]
    entra: bool,
    #[serde(default)]
    admin_groups: Vec<String>,
    #[serde(default)]
    azure_rbac: bool,
    #[serde(default)]
    authorized_ranges: Vec<ipnet::Ipv4Net>,
    #[serde(default)]
    outbound_addresses: Vec<Ipv4Addr>,
}

#[derive(Serialize, Deserialize)]
struct SpecFile(#[serde(with = "Stored")] ControlPlaneSpec);

pub(crate) fn write_spec(dir: &Path, spec: &ControlPlaneSpec) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(&SpecFile(spec.clone()))?;
    Ok(write_atomic(&dir.join(SPEC), &bytes, Readers::Owner)?)
}

pub(crate) fn forget_spec(dir: &Path) -> Result<()> {
    Ok(remove(&dir.join(SPEC))?)
}

/// What the plane in this directory is to be; none: it is not to run.
pub(crate) fn stored_spec(dir: &Path) -> Option<ControlPlaneSpec> {
    let path = dir.join(SPEC);
    match read(&path).map(|bytes| serde_json::from_slice::<SpecFile>(&bytes)) {
        Ok(Ok(SpecFile(spec))) => return Some(spec),
        Ok(Err(error)) => tracing::error!(path = %path.display(), %error, "damaged cluster settings"),
        Err(error) if error.is_missing() => {}
        Err(error) => tracing::error!(error = %kit::Chain(&error), "unreadable cluster settings"),
    }
    None
}

/// The specs of all planes that are to run.
pub(crate) fn stored_specs(clusters: &Path) -> Vec<ControlPlaneSpec> {
    let entries = std::fs::read_dir(clusters).into_iter().flatten().flatten();
    entries.filter_map(|entry| stored_spec(&entry.path())).collect()
}

/// The addresses that stored clusters have.
pub(crate) fn stored_addresses(clusters: &Path) -> HashSet<Ipv4Addr> {
    let entries = std::fs::read_dir(clusters).into_iter().flatten().flatten();
    entries.filter_map(|entry| Keys::read(&entry.path()).ok()?).map(|keys| keys.address).collect()
}
