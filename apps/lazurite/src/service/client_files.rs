//! What users' programs need: the authority to trust, and credentials to sign in with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use entra::Entra;
use kit::files::{Readers, read_string, write_atomic};
use kit::pki::{Authority, Leaf, Usage};
use providers::network::platform;

use crate::place::{Credentials, Home, State};

const AUTHORITY_VALID: Duration = Duration::from_secs(10 * 365 * 86_400);
const FRONT_VALID: Duration = Duration::from_secs(397 * 86_400);
const APPLICATION: &str = "lazurite-cli";

/// Names of the front door on the host.
const OWN_NAMES: [&str; 2] = ["localhost", "lazurite"];

/// This installation's authority; made at the first start.
pub(super) fn authority(state: &State) -> Result<Authority> {
    let (certificate, key) = (state.join("ca.crt"), state.join("ca.key"));
    if key.exists() && certificate.exists() {
        return Ok(Authority::load(&read_string(&certificate)?, &read_string(&key)?)?);
    }
    let made = Authority::new("Lazurite CA", AUTHORITY_VALID)?;
    write_atomic(&key, made.key_pem().as_bytes(), Readers::Owner)?;
    write_atomic(&certificate, made.certificate_pem().as_bytes(), Readers::Everyone)?;
    Ok(made)
}

/// The front door's TLS set-up, with a new certificate: for the host's names and all the platform's services.
pub(super) fn front_tls(authority: &Authority) -> Result<Arc<rustls::ServerConfig>> {
    let names = OWN_NAMES.into_iter().chain(platform::names().map(|(name, _)| name));
    let addresses = platform::answering().map(|service| IpAddr::V4(service.address()));
    let issued = authority.issue(&Leaf {
        common_name: "localhost".into(),
        organizations: Vec::new(),
        dns_names: names.map(str::to_owned).collect(),
        addresses: std::iter::once(IpAddr::V4(Ipv4Addr::LOCALHOST)).chain(addresses).collect(),
        usage: Usage::Server,
        valid: FRONT_VALID,
    })?;
    let certificates = kit::tls::Certificates::new();
    // Clients that were told to trust the authority get it along: some want a chain up to a root.
    let chain = format!("{}{}", issued.certificate_pem, authority.certificate_pem());
    certificates.set_default(&chain, &issued.key_pem)?;
    Ok(kit::tls::server(certificates)?)
}

/// Writes the user's files: the authority's certificate always, the credentials when they are not there or
/// belong to another installation.
pub(super) async fn write(
    state: &State,
    authority: &Authority,
    entra: &Arc<Entra>,
    front: SocketAddr,
) -> Result<()> {
    let home = Home::locate();
    prepare(home.path())?;
    write_atomic(&home.join("ca.crt"), authority.certificate_pem().as_bytes(), Readers::Everyone)?;
    let endpoint = format!("https://localhost:{}", front.port());
    let kept = home.credentials().ok().filter(|kept| kept.tenant_id == entra.tenant_id());
    let (client_id, client_secret) = match (entra.bootstrap(APPLICATION).await?, kept) {
        (Some(made), _) => (made.app_id, made.secret),
        (None, Some(kept)) => (kept.client_id, kept.client_secret),
        // The directory knows the application but its secret is lost: a new one takes its place.
        (None, None) => {
            let made = entra.reset_bootstrap().await?;
            (made.app_id, made.secret)
        }
    };
    let credentials = Credentials {
        endpoint,
        tenant_id: entra.tenant_id(),
        subscription_id: entra.subscription_id(),
        client_id,
        client_secret,
    };
    write_atomic(&home.join("credentials.json"), &serde_json::to_vec_pretty(&credentials)?, Readers::Owner)?;
    let _ = state;
    home.hand_over()
}

fn prepare(home: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    kit::files::make_dir(home)?;
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("failed to protect `{}`", home.display()))
}
