//! An API server alone: one process, a store in a directory, TLS on loopback, a kubeconfig for its administrator.
//!
//! No controllers, no nodes, no cloud: what a benchmark compares with another API server and its database, and
//! what tests of operators need.
//!
//! `standalone DIRECTORY [ADDRESS]` writes `DIRECTORY/kubeconfig` (0600) once it answers, and runs until it is killed.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Config};
use base64::Engine;

// A write makes and drops thousands of small values; the C library's allocator took a quarter of its time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An address of documentation (RFC 5737).
const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NAME: &str = "kubernetes.default.svc";
const VALID: Duration = Duration::from_secs(365 * 24 * 3600);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory: PathBuf = arguments.next().ok_or("usage: standalone DIRECTORY [ADDRESS]")?.into();
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("127.0.0.1:0").parse()?;
    kit::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&directory, address))
}

async fn serve(directory: &Path, address: SocketAddr) -> Result<(), Failure> {
    std::fs::create_dir_all(directory)?;
    let tasks = kit::Tasks::new();
    let authority = kit::pki::Authority::new("kubernetes", VALID)?;
    let store = store::Embedded::open(&directory.join("store.redb"), store::Options::default(), &tasks)?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    // Nobody in a cluster looks for this server, and its own address is loopback, which no Endpoints may name.
    let advertise = SocketAddrV4::new(NOWHERE, address.port());
    let config = Config {
        name: "standalone".to_owned(),
        model: api_model::Model::load("1.35")?,
        store,
        authority: authority.clone(),
        service_account_key_pem: kit::pki::rsa_key_pem()?,
        issuer: format!("https://{NAME}"),
        service_cidr: "10.0.0.0/16".parse()?,
        dns_service_ip: "10.0.0.10".parse()?,
        advertise,
        version: "1.35.6".to_owned(),
        clock: Arc::new(kit::SystemClock),
        token_reviewers: Vec::new(),
        access: apiserver::Access::default(),
    };
    let api = ApiServer::start(config, &tasks).await?;
    let certificates = kit::tls::Certificates::new();
    let own = authority.issue(&leaf(NAME, &[], kit::pki::Usage::Server))?;
    certificates.set_default(&own.certificate_pem, &own.key_pem)?;
    kit::serve::tls(listener, kit::tls::server(certificates)?, api.service(), &tasks);
    let admin = authority.issue(&leaf("admin", &["system:masters"], kit::pki::Usage::Client))?;
    write(&directory.join("kubeconfig"), &kubeconfig(address, authority.certificate_pem(), &admin))?;
    println!("https://{address}");
    std::future::pending().await
}

fn leaf(common_name: &str, organizations: &[&str], usage: kit::pki::Usage) -> kit::pki::Leaf {
    kit::pki::Leaf {
        common_name: common_name.to_owned(),
        organizations: organizations.iter().map(|one| (*one).to_owned()).collect(),
        dns_names: vec![NAME.to_owned()],
        addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        usage,
        valid: VALID,
    }
}

/// Whole or not at all, and for its owner's eyes only.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(fresh, path)
}

fn kubeconfig(address: SocketAddr, authority: &str, admin: &kit::pki::Issued) -> String {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: standalone\n\
         clusters: [{{name: standalone, cluster: {{server: 'https://{address}', tls-server-name: {NAME}, certificate-authority-data: {}}}}}]\n\
         users: [{{name: admin, user: {{client-certificate-data: {}, client-key-data: {}}}}}]\n\
         contexts: [{{name: standalone, context: {{cluster: standalone, user: admin}}}}]\n",
        base64(authority),
        base64(&admin.certificate_pem),
        base64(&admin.key_pem),
    )
}
