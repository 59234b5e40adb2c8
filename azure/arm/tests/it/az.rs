//! The real `az` against a TLS listener on loopback. Skipped, and said so, where there is none.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use kit::pki::{Authority, Leaf, Usage};
use serde_json::Value;

use crate::harness::{Both, World};

fn az() -> Option<PathBuf> {
    let named = std::env::var_os("LAZURITE_TEST_AZ").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    named.into_iter().chain(std::env::split_paths(&path).map(|d| d.join("az"))).find(|p| p.is_file())
}

struct Shell {
    az: PathBuf,
    dir: tempfile::TempDir,
    _tasks: kit::Tasks,
}

impl Shell {
    async fn run(&self, args: &[&str]) -> Output {
        tokio::process::Command::new(&self.az)
            .args(args)
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

    #[track_caller]
    fn text(args: &[&str], output: &Output) -> String {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "az {args:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn ok(&self, args: &[&str]) -> Value {
        let output = self.run(args).await;
        serde_json::from_str(&Self::text(args, &output)).unwrap_or(Value::Null)
    }

    async fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert!(!output.status.success(), "az {args:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

async fn serve(world: &World, dir: &Path) -> (u16, kit::Tasks) {
    kit::tls::install_provider();
    let year = std::time::Duration::from_secs(365 * 86_400);
    let authority = Authority::new("Test CA", year).unwrap();
    std::fs::write(dir.join("ca.crt"), authority.certificate_pem()).unwrap();
    let leaf = authority
        .issue(&Leaf {
            common_name: "localhost".to_owned(),
            organizations: Vec::new(),
            dns_names: vec!["localhost".to_owned()],
            addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            usage: Usage::Server,
            valid: year,
        })
        .unwrap();
    let certificates = kit::tls::Certificates::new();
    let chain = format!("{}{}", leaf.certificate_pem, authority.certificate_pem());
    certificates.set_default(&chain, &leaf.key_pem).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tasks = kit::Tasks::new();
    let both = Both {
        entra: world.entra.clone(),
        arm: world.front.service(),
        log: std::env::var_os("LAZURITE_TEST_LOG").is_some(),
    };
    kit::serve::tls(listener, kit::tls::server(certificates).unwrap(), Arc::new(both), &tasks);
    (port, tasks)
}

const TEMPLATE: &str = r#"{
  // az sends this as it is
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {"name": {"type": "string"}},
  "resources": [{"type": "Microsoft.Test/widgets", "apiVersion": "2025-01-01", "name": "[parameters('name')]",
    "location": "[resourceGroup().location]", "properties": {"slow": true}}],
  "outputs": {"state": {"type": "string", "value": "[reference(parameters('name')).provisioningState]"}}
}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_signs_in_and_works_with_groups_roles_and_locks() {
    let Some(az) = az() else {
        eprintln!("SKIPPED: no az on PATH nor in LAZURITE_TEST_AZ");
        return;
    };
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let (port, tasks) = serve(&world, dir.path()).await;
    let shell = Shell { az, dir, _tasks: tasks };
    let url = format!("https://localhost:{port}");
    shell.ok(&["cloud", "update", "-n", "AzureCloud", "--endpoint-resource-manager", &url]).await;
    let (app, secret, tenant) =
        (world.owner.app_id.clone(), world.owner.secret.clone(), world.entra.tenant_id());
    let wrong =
        shell.fails(&["login", "--service-principal", "-u", &app, "-p", "wrong", "--tenant", &tenant]).await;
    assert!(wrong.contains("AADSTS7000215"), "{wrong}");
    let accounts =
        shell.ok(&["login", "--service-principal", "-u", &app, "-p", &secret, "--tenant", &tenant]).await;
    assert_eq!(accounts[0]["id"], Value::from(world.sub.clone()));

    let group = shell.ok(&["group", "create", "-n", "rg-az", "-l", "eastus", "--tags", "a=b"]).await;
    assert_eq!(group["properties"]["provisioningState"], "Succeeded");
    assert_eq!(shell.ok(&["group", "list"]).await[0]["name"], "rg-az");
    let refused = shell.fails(&["group", "create", "-n", "x", "-l", "mars"]).await;
    assert!(
        refused.contains("LocationNotAvailableForResourceGroup") || refused.contains("not available"),
        "{refused}"
    );
    assert!(
        shell.ok(&["provider", "show", "-n", "Microsoft.Test"]).await["registrationState"] == "Registered"
    );

    let created = shell
        .ok(&[
            "ad",
            "sp",
            "create-for-rbac",
            "-n",
            "worker",
            "--role",
            "Reader",
            "--scopes",
            group["id"].as_str().unwrap(),
        ])
        .await;
    let worker = created["appId"].as_str().unwrap().to_owned();
    let listed = shell.ok(&["role", "assignment", "list", "-g", "rg-az"]).await;
    assert_eq!(listed[0]["roleDefinitionName"], "Reader", "{listed}");
    assert_eq!(listed[0]["principalName"], Value::from(worker.clone()));
    let scope = group["id"].as_str().unwrap();
    shell
        .ok(&[
            "role",
            "assignment",
            "create",
            "--assignee",
            &worker,
            "--role",
            "Contributor",
            "--scope",
            scope,
        ])
        .await;
    shell
        .ok(&[
            "role",
            "assignment",
            "delete",
            "--assignee",
            &worker,
            "--role",
            "Contributor",
            "--scope",
            scope,
        ])
        .await;

    let widget = format!("{}/providers/Microsoft.Test/widgets/w", group["id"].as_str().unwrap());
    let made = shell
        .ok(&["resource", "create", "--id", &widget, "-l", "eastus", "--properties", r#"{"slow":true}"#])
        .await;
    assert_eq!(made["properties"]["provisioningState"], "Succeeded", "{made}");
    assert_eq!(shell.ok(&["resource", "list", "-g", "rg-az"]).await[0]["name"], "w");
    let file = shell.dir.path().join("t.json");
    std::fs::write(&file, TEMPLATE).unwrap();
    let file = file.to_str().unwrap();
    let deployed = shell
        .ok(&["deployment", "group", "create", "-g", "rg-az", "-n", "d", "-f", file, "-p", "name=v"])
        .await;
    assert_eq!(deployed["properties"]["outputs"]["state"]["value"], "Succeeded", "{deployed}");
    let team =
        shell.ok(&["ad", "group", "create", "--display-name", "team", "--mail-nickname", "team"]).await;
    let worker_id = shell.ok(&["ad", "sp", "show", "--id", &worker, "--query", "id"]).await;
    shell
        .ok(&["ad", "group", "member", "add", "-g", "team", "--member-id", worker_id.as_str().unwrap()])
        .await;
    let members = shell.ok(&["ad", "group", "member", "list", "-g", team["id"].as_str().unwrap()]).await;
    assert_eq!(members[0]["appId"], Value::from(worker.clone()));
    shell.ok(&["lock", "create", "-n", "keep", "--lock-type", "CanNotDelete", "-g", "rg-az"]).await;
    let locked = shell.fails(&["group", "delete", "-n", "rg-az", "-y"]).await;
    assert!(locked.contains("ScopeLocked"), "{locked}");
    shell.ok(&["lock", "delete", "-n", "keep", "-g", "rg-az"]).await;
    shell.ok(&["group", "delete", "-n", "rg-az", "-y"]).await;
    assert_eq!(shell.ok(&["group", "exists", "-n", "rg-az"]).await, Value::Bool(false));
    let log = shell.ok(&["monitor", "activity-log", "list", "--offset", "1h", "--max-events", "5"]).await;
    assert!(log.as_array().is_some_and(|l| !l.is_empty()), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_signs_in_with_a_certificate() {
    let Some(az) = az() else {
        eprintln!("SKIPPED: no az on PATH nor in LAZURITE_TEST_AZ");
        return;
    };
    let world = World::new().await;
    world.group("g").await;
    let dir = tempfile::tempdir().unwrap();
    let (port, tasks) = serve(&world, dir.path()).await;
    let shell = Shell { az, dir, _tasks: tasks };
    let url = format!("https://localhost:{port}");
    shell.ok(&["cloud", "update", "-n", "AzureCloud", "--endpoint-resource-manager", &url]).await;
    let (app, secret, tenant) =
        (world.owner.app_id.clone(), world.owner.secret.clone(), world.entra.tenant_id());
    shell.ok(&["login", "--service-principal", "-u", &app, "-p", &secret, "--tenant", &tenant]).await;
    let scope = world.group_path("g");
    let made = shell
        .ok(&[
            "ad",
            "sp",
            "create-for-rbac",
            "-n",
            "certified",
            "--role",
            "Reader",
            "--scopes",
            &scope,
            "--create-cert",
        ])
        .await;
    let (app, file) = (made["appId"].as_str().unwrap(), made["fileWithCertAndPrivateKey"].as_str().unwrap());
    shell.ok(&["account", "clear"]).await;
    shell.ok(&["login", "--service-principal", "-u", app, "--certificate", file, "--tenant", &tenant]).await;
    assert_eq!(shell.ok(&["group", "list"]).await[0]["name"], "g");
    let refused = shell.fails(&["group", "create", "-n", "h", "-l", "eastus"]).await;
    assert!(refused.contains("AuthorizationFailed") && refused.contains(app), "{refused}");
}
