//! The real `az` on network resources, over TLS on loopback. Skipped, and said so, where there is none.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arm::{Caller, CallerKind, Front, FrontConfig, TokenError, TokenVerifier};
use async_trait::async_trait;
use entra::{Entra, VerifyError};
use kit::http::{BoxService, Request, Response, Service};
use kit::pki::{Authority, Leaf, Usage};
use providers::fake::FakeDirectory;
use serde_json::{Value, json};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn az() -> Option<PathBuf> {
    let named = std::env::var_os("LAZURITE_TEST_AZ").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    named.into_iter().chain(std::env::split_paths(&path).map(|d| d.join("az"))).find(|p| p.is_file())
}

struct Verifier(Arc<Entra>);

#[async_trait]
impl TokenVerifier for Verifier {
    async fn verify(&self, bearer: &str, audiences: &[String]) -> Result<Caller, TokenError> {
        let claims = self.0.verify(bearer, audiences).map_err(|error| match error {
            VerifyError::Expired { at } => TokenError::Expired { at },
            _ => TokenError::Invalid,
        })?;
        Ok(Caller {
            name: claims.appid.clone().unwrap_or_default(),
            object_id: claims.oid,
            tenant_id: claims.tid,
            app_id: claims.appid,
            kind: CallerKind::ServicePrincipal,
            groups: claims.groups,
            claims: claims.all,
        })
    }
}

struct Both {
    entra: Arc<Entra>,
    arm: BoxService,
}

#[async_trait]
impl Service for Both {
    async fn call(&self, request: Request) -> Response {
        match self.entra.owns_path(request.uri().path()) {
            true => self.entra.service().call(request).await,
            false => self.arm.call(request).await,
        }
    }
}

struct Shell {
    az: PathBuf,
    dir: tempfile::TempDir,
    _tasks: kit::Tasks,
}

impl Shell {
    /// A signed-in az; `None` with a printed reason where there is no az.
    async fn start() -> Option<Self> {
        let Some(az) = az() else {
            eprintln!("SKIPPED: no az on PATH nor in LAZURITE_TEST_AZ");
            return None;
        };
        let (dir, tasks) = (tempfile::tempdir().unwrap(), kit::Tasks::new());
        let clock: Arc<dyn kit::Clock> = Arc::new(kit::SystemClock);
        let hosts = FrontConfig::usual_hosts();
        let config = entra::Config {
            state_dir: dir.path().to_owned(),
            hosts: hosts.clone(),
            clock: clock.clone(),
            issuers: Arc::new(entra::NoIssuers),
        };
        let entra = Entra::open(config, &tasks).await.unwrap();
        let owner = entra.bootstrap("owner").await.unwrap().unwrap();
        let config = FrontConfig {
            state_dir: dir.path().to_owned(),
            tenant_id: entra.tenant_id(),
            tenant_domain: entra.domain(),
            subscription_id: entra.subscription_id(),
            subscription_name: "Test".to_owned(),
            owners: vec![entra.bootstrap_principal().unwrap()],
            hosts,
            cloud: Default::default(),
            verifier: Arc::new(Verifier(entra.clone())),
            directory: Arc::new(FakeDirectory::default()),
            clock,
            tasks: tasks.clone(),
        };
        let front = Front::builder(config).provider(providers::network::provider()).build().await.unwrap();
        let port = serve(Both { entra: entra.clone(), arm: front.service() }, dir.path(), &tasks).await;
        let shell = Self { az, dir, _tasks: tasks };
        let url = format!("https://localhost:{port}");
        shell.ok(&format!("cloud update -n AzureCloud --endpoint-resource-manager {url}")).await;
        let tenant = entra.tenant_id();
        let (app, secret) = (owner.app_id, owner.secret);
        let login = ["login", "--service-principal", "-u", &app, "-p", &secret, "--tenant", &tenant];
        let output = shell.run(&login).await;
        assert!(output.status.success(), "az login: {}", String::from_utf8_lossy(&output.stderr));
        Some(shell)
    }

    async fn run(&self, words: &[&str]) -> std::process::Output {
        tokio::process::Command::new(&self.az)
            .args(words)
            .env("AZURE_CONFIG_DIR", self.dir.path().join("az"))
            .env("HOME", self.dir.path())
            .env("REQUESTS_CA_BUNDLE", self.dir.path().join("ca.crt"))
            .env("AZURE_CORE_INSTANCE_DISCOVERY", "false")
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            .env("AZURE_CORE_NO_COLOR", "true")
            .env("AZURE_CORE_OUTPUT", "json")
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .unwrap()
    }

    async fn ok(&self, line: &str) -> Value {
        let output = self.run(&line.split_whitespace().collect::<Vec<_>>()).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "az {line}: {error}");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    async fn refused(&self, line: &str) -> String {
        let output = self.run(&line.split_whitespace().collect::<Vec<_>>()).await;
        assert!(!output.status.success(), "az {line} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

async fn serve(both: Both, dir: &std::path::Path, tasks: &kit::Tasks) -> u16 {
    kit::tls::install_provider();
    let authority = Authority::new("Test CA", YEAR).unwrap();
    std::fs::write(dir.join("ca.crt"), authority.certificate_pem()).unwrap();
    let leaf = authority
        .issue(&Leaf {
            common_name: "localhost".to_owned(),
            organizations: Vec::new(),
            dns_names: vec!["localhost".to_owned()],
            addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            usage: Usage::Server,
            valid: YEAR,
        })
        .unwrap();
    let certificates = kit::tls::Certificates::new();
    let chain = format!("{}{}", leaf.certificate_pem, authority.certificate_pem());
    certificates.set_default(&chain, &leaf.key_pem).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    kit::serve::tls(listener, kit::tls::server(certificates).unwrap(), Arc::new(both), tasks);
    port
}

/// A value that az printed, at a pointer.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_makes_networks_that_are_peered_filtered_routed_and_named() {
    let Some(az) = Shell::start().await else { return };
    az.ok("group create -n rg -l eastus").await;
    let hub = az
        .ok("network vnet create -g rg -n hub --address-prefixes 10.0.0.0/16 --subnet-name s --subnet-prefixes 10.0.0.0/24")
        .await;
    assert_eq!(at(&hub, "/newVNet/subnets/0/name"), "s", "{hub}");
    az.ok("network vnet create -g rg -n spoke --address-prefixes 10.1.0.0/16 --subnet-name s --subnet-prefixes 10.1.0.0/24")
        .await;
    az.ok("network vnet create -g rg -n twin --address-prefixes 10.0.0.0/16").await;
    let there = "network vnet peering create -g rg -n to-spoke --vnet-name hub --remote-vnet spoke --allow-vnet-access --allow-forwarded-traffic";
    assert_eq!(az.ok(there).await["peeringState"], "Initiated");
    let back =
        "network vnet peering create -g rg -n to-hub --vnet-name spoke --remote-vnet hub --allow-vnet-access";
    assert_eq!(az.ok(back).await["peeringState"], "Connected");
    let listed = az.ok("network vnet peering list -g rg --vnet-name hub").await;
    assert_eq!(
        (&listed[0]["peeringState"], &listed[0]["peeringSyncLevel"]),
        (&json!("Connected"), &json!("FullyInSync"))
    );
    let refused =
        az.refused("network vnet peering create -g rg -n x --vnet-name hub --remote-vnet twin").await;
    assert!(refused.contains("VnetAddressSpacesOverlap"), "{refused}");

    az.ok("network asg create -g rg -n web").await;
    az.ok("network nsg create -g rg -n nsg").await;
    az.ok("network nsg rule create -g rg --nsg-name nsg -n web --priority 100 --access Allow --protocol Tcp --direction Inbound --source-address-prefixes Internet --destination-asgs web --destination-port-ranges 80 443")
        .await;
    let refused = az
        .refused(
            "network nsg rule create -g rg --nsg-name nsg -n low --priority 99 --destination-port-ranges 80",
        )
        .await;
    assert!(refused.contains("SecurityRuleInvalidPriority"), "{refused}");
    az.ok("network route-table create -g rg -n routes").await;
    az.ok("network route-table route create -g rg --route-table-name routes -n all --address-prefix 0.0.0.0/0 --next-hop-type VirtualAppliance --next-hop-ip-address 10.0.0.9")
        .await;
    az.ok("network public-ip prefix create -g rg -n prefix --length 30").await;
    az.ok("network nat gateway create -g rg -n nat --public-ip-prefixes prefix").await;
    az.ok("network vnet subnet update -g rg --vnet-name spoke -n s --network-security-group nsg --route-table routes --nat-gateway nat --service-endpoints Microsoft.Storage --delegations Microsoft.ContainerInstance/containerGroups")
        .await;
    let subnet = az.ok("network vnet subnet show -g rg --vnet-name spoke -n s").await;
    assert_eq!(
        at(&subnet, "/delegations/0/serviceName"),
        "Microsoft.ContainerInstance/containerGroups",
        "{subnet}"
    );
    assert_eq!(at(&subnet, "/serviceEndpoints/0/service"), "Microsoft.Storage", "{subnet}");
    for (line, code) in [
        ("network nsg delete -g rg -n nsg", "InUseNetworkSecurityGroupCannotBeDeleted"),
        ("network route-table delete -g rg -n routes", "InUseRouteTableCannotBeDeleted"),
        ("network nat gateway delete -g rg -n nat", "InUseNatGatewayCannotBeDeleted"),
        ("network public-ip prefix delete -g rg -n prefix", "InUsePublicIpPrefixCannotBeDeleted"),
        ("network asg delete -g rg -n web", "InUseApplicationSecurityGroupCannotBeDeleted"),
    ] {
        let refused = az.refused(line).await;
        assert!(refused.contains(code), "{line}: {refused}");
    }

    az.ok("network nic create -g rg -n nic --vnet-name spoke --subnet s --application-security-groups web --network-security-group nsg")
        .await;
    let groups = az.ok("network nic list-effective-nsg -g rg -n nic").await;
    assert_eq!(at(&groups, "/value/0/effectiveSecurityRules/0/name"), "securityRules/web", "{groups}");
    let routes = az.ok("network nic show-effective-route-table -g rg -n nic").await;
    let peering = routes["value"].as_array().unwrap().iter().find(|r| r["nextHopType"] == "VNetPeering");
    assert_eq!(peering.map(|r| r["addressPrefix"].clone()), Some(json!(["10.0.0.0/16"])), "{routes}");
    let refused = az.refused("network vnet subnet delete -g rg --vnet-name spoke -n s").await;
    assert!(refused.contains("InUseSubnetCannotBeDeleted"), "{refused}");
    let free = az.ok("network vnet check-ip-address -g rg -n spoke --ip-address 10.1.0.4").await;
    assert_eq!(free["available"], false, "{free}");
    let usages = az.ok("network list-usages -l eastus").await;
    let networks = usages.as_array().unwrap().iter().find(|u| at(u, "/name/value") == "VirtualNetworks");
    assert_eq!(
        networks.map(|u| u["currentValue"].to_string()).as_deref().map(|n| n.trim_matches('"')),
        Some("3"),
        "{usages}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_fills_private_zones() {
    let Some(az) = Shell::start().await else { return };
    az.ok("group create -n rg -l eastus").await;
    az.ok("network vnet create -g rg -n v --address-prefixes 10.0.0.0/16").await;
    az.ok("network private-dns zone create -g rg -n contoso.internal").await;
    az.ok("network private-dns link vnet create -g rg -n l -z contoso.internal -v v -e true").await;
    az.ok("network private-dns record-set a add-record -g rg -z contoso.internal -n web -a 10.0.0.4").await;
    az.ok("network private-dns record-set a add-record -g rg -z contoso.internal -n web -a 10.0.0.5").await;
    az.ok("network private-dns record-set cname set-record -g rg -z contoso.internal -n www -c web.contoso.internal").await;
    az.ok("network private-dns record-set txt add-record -g rg -z contoso.internal -n @ -v hello").await;
    az.ok("network private-dns record-set mx add-record -g rg -z contoso.internal -n @ -e mail -p 10").await;
    az.ok("network private-dns record-set srv add-record -g rg -z contoso.internal -n _sip._tcp -p 1 -w 2 -r 5060 -t web").await;
    let web = az.ok("network private-dns record-set a show -g rg -z contoso.internal -n web").await;
    assert_eq!(
        web["aRecords"],
        json!([{ "ipv4Address": "10.0.0.4" }, { "ipv4Address": "10.0.0.5" }]),
        "{web}"
    );
    assert_eq!(
        az.ok("network private-dns record-set list -g rg -z contoso.internal").await.as_array().map(Vec::len),
        Some(6)
    );
    az.ok("network private-dns record-set a remove-record -g rg -z contoso.internal -n web -a 10.0.0.4")
        .await;
    let zone = az.ok("network private-dns zone show -g rg -n contoso.internal").await;
    assert_eq!(zone["numberOfRecordSets"], 6, "{zone}");
    assert_eq!(zone["numberOfVirtualNetworkLinksWithRegistration"], 1, "{zone}");
    for line in [
        "network private-dns zone list -g rg -o table",
        "network private-dns link vnet list -g rg -z contoso.internal -o table",
    ] {
        az.ok(line).await;
    }
    let refused = az.refused("network private-dns zone delete -g rg -n contoso.internal -y").await;
    assert!(refused.contains("nested resources"), "{refused}");
    az.ok("network private-dns link vnet delete -g rg -n l -z contoso.internal -y").await;
    az.ok("network private-dns zone delete -g rg -n contoso.internal -y").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_makes_balancers_and_private_links() {
    let Some(az) = Shell::start().await else { return };
    az.ok("group create -n rg -l eastus").await;
    az.ok("network vnet create -g rg -n v --address-prefixes 10.0.0.0/16 --subnet-name s --subnet-prefixes 10.0.0.0/24")
        .await;
    az.ok("network vnet subnet update -g rg --vnet-name v -n s --disable-private-link-service-network-policies true")
        .await;
    az.ok("network lb create -g rg -n lb --sku Standard --vnet-name v --subnet s --frontend-ip-name f --backend-pool-name p")
        .await;
    az.ok("network lb probe create -g rg --lb-name lb -n h --protocol Http --port 8080 --path /healthz")
        .await;
    az.ok("network lb rule create -g rg --lb-name lb -n r --protocol Tcp --frontend-port 80 --backend-port 8080 --frontend-ip f --backend-pool-name p --probe h --enable-floating-ip false --load-distribution SourceIP")
        .await;
    let rule = az.ok("network lb rule show -g rg --lb-name lb -n r").await;
    assert_eq!(
        (&rule["loadDistribution"], &rule["backendPort"]),
        (&json!("SourceIP"), &json!(8080)),
        "{rule}"
    );
    let balancer = az.ok("network lb show -g rg -n lb").await;
    let frontend = at(&balancer, "/frontendIPConfigurations/0/id").as_str().unwrap().to_owned();
    assert_eq!(at(&balancer, "/frontendIPConfigurations/0/privateIPAddress"), "10.0.0.4", "{balancer}");

    az.ok(&format!("network private-link-service create -g rg -n pls --vnet-name v --subnet s --lb-frontend-ip-configs {frontend}"))
        .await;
    let service = az.ok("network private-link-service show -g rg -n pls").await;
    let service_id = service["id"].as_str().unwrap().to_owned();
    az.ok(&format!("network private-endpoint create -g rg -n pe --vnet-name v --subnet s --connection-name c --private-connection-resource-id {service_id}"))
        .await;
    let endpoint = az.ok("network private-endpoint show -g rg -n pe").await;
    let state = "/privateLinkServiceConnections/0/privateLinkServiceConnectionState/status";
    assert_eq!(at(&endpoint, state), "Approved", "{endpoint}");
    let refused = az.refused("network private-link-service delete -g rg -n pls").await;
    assert!(refused.contains("PrivateLinkServiceCannotBeDeleted"), "{refused}");
    az.ok("network private-endpoint delete -g rg -n pe").await;
    az.ok("network private-link-service delete -g rg -n pls").await;
}
