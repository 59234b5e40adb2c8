//! The real kubectl, over TLS with a client certificate, as its users use it.
//!
//! Skipped when there is no kubectl: set `LAZURITE_TEST_KUBECTL` or have it on the PATH.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use tokio::io::AsyncWriteExt;

use crate::harness::{Server, start};

const NAME: &str = "cluster.test";

struct Kubectl {
    program: PathBuf,
    home: tempfile::TempDir,
    _server: Server,
}

fn find() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("LAZURITE_TEST_KUBECTL") {
        return Some(given.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file())
}

fn base64_of(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

impl Kubectl {
    async fn start() -> Option<Self> {
        let Some(program) = find() else {
            eprintln!("SKIPPED: no kubectl found");
            return None;
        };
        let server = start().await;
        let certificates = kit::tls::Certificates::new();
        let leaf = |common_name: &str, organizations: &[&str], usage| kit::pki::Leaf {
            common_name: common_name.to_owned(),
            organizations: organizations.iter().map(|one| (*one).to_owned()).collect(),
            dns_names: vec![NAME.to_owned()],
            addresses: Vec::new(),
            usage,
            valid: Duration::from_secs(3600),
        };
        let own = server.authority.issue(&leaf(NAME, &[], kit::pki::Usage::Server)).unwrap();
        certificates.set(NAME, &own.certificate_pem, &own.key_pem).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        kit::serve::tls(listener, kit::tls::server(certificates).unwrap(), server.api.service(), &server.tasks);
        let admin = server.authority.issue(&leaf("admin", &["system:masters"], kit::pki::Usage::Client)).unwrap();
        let home = tempfile::tempdir().unwrap();
        let text = kubeconfig(address, server.authority.certificate_pem(), &admin);
        std::fs::write(home.path().join("config"), text).unwrap();
        Some(Self { program, home, _server: server })
    }

    async fn run(&self, arguments: &str, input: &str) -> (bool, String) {
        let mut child = tokio::process::Command::new(&self.program)
            .args(shlex(arguments))
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("HOME", self.home.path())
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    #[track_caller]
    fn expect(&self, ran: (bool, String), text: &str) {
        assert!(ran.0 && ran.1.contains(text), "wanted `{text}`, got:\n{}", ran.1);
    }
}

/// Splits at blanks; single quotes hold together.
fn shlex(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn kubeconfig(address: SocketAddr, authority: &str, admin: &kit::pki::Issued) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: 'https://{address}', tls-server-name: {NAME}, certificate-authority-data: {}}}}}]\n\
         users: [{{name: admin, user: {{client-certificate-data: {}, client-key-data: {}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\n",
        base64_of(authority),
        base64_of(&admin.certificate_pem),
        base64_of(&admin.key_pem)
    )
}

const MANIFEST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {app: web}}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n      - name: c\n        image: nginx\n        ports: [{containerPort: 80}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: '1'}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_made_shown_changed_and_deleted() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let run = async |arguments: &str| kubectl.run(arguments, "").await;
    kubectl.expect(run("version").await, "Server Version: v1.35.6");
    kubectl.expect(run("api-resources").await, "deployments");
    kubectl.expect(run("create deployment hello --image=nginx --replicas=2").await, "deployment.apps/hello created");
    kubectl.expect(run("expose deployment hello --port 80").await, "service/hello exposed");
    kubectl.expect(run("get svc,deploy").await, "service/hello");
    kubectl.expect(run("get deployment hello -o jsonpath='{.spec.replicas}'").await, "2");
    kubectl.expect(run("scale deployment hello --replicas=3").await, "deployment.apps/hello scaled");
    kubectl.expect(run("label deployment hello team=a").await, "deployment.apps/hello labeled");
    kubectl.expect(run("annotate deployment hello note=b").await, "deployment.apps/hello annotated");
    kubectl.expect(run("set image deployment/hello nginx=nginx:2").await, "image updated");
    kubectl.expect(run("rollout restart deployment hello").await, "deployment.apps/hello restarted");
    kubectl.expect(run("patch deployment hello -p '{\"spec\":{\"paused\":true}}'").await, "deployment.apps/hello patched");
    kubectl.expect(run("describe deployment hello").await, "nginx:2");
    kubectl.expect(run("get events -A").await, "");
    kubectl.expect(run("auth can-i create pods").await, "yes");
    kubectl.expect(run("auth whoami").await, "admin");
    kubectl.expect(run("create secret generic s --from-literal=k=v").await, "secret/s created");
    kubectl.expect(run("create namespace team").await, "namespace/team created");
    kubectl.expect(run("get ns").await, "team");
    kubectl.expect(run("delete deployment hello --wait=true").await, "deleted");
    let (found, text) = run("get deployment hello").await;
    assert!(!found && text.contains("(NotFound): deployments.apps \"hello\" not found"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_are_applied_from_both_sides() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.expect(kubectl.run("apply -f -", MANIFEST).await, "deployment.apps/web created");
    kubectl.expect(kubectl.run("apply -f -", MANIFEST).await, "deployment.apps/web unchanged");
    let more = MANIFEST.replace("replicas: 2", "replicas: 4");
    kubectl.expect(kubectl.run("apply -f -", &more).await, "deployment.apps/web configured");
    kubectl.expect(kubectl.run("get deploy web -o jsonpath='{.spec.replicas}'", "").await, "4");
    let other = more.replace("name: web", "name: side").replace("name: settings", "name: side");
    kubectl.expect(kubectl.run("apply --server-side -f -", &other).await, "deployment.apps/side serverside-applied");
    let changed = other.replace("replicas: 4", "replicas: 6");
    let (done, text) = kubectl.run("apply --server-side --field-manager=other -f -", &changed).await;
    assert!(!done && text.contains("conflict"), "{text}");
    kubectl.expect(
        kubectl.run("apply --server-side --field-manager=other --force-conflicts -f -", &changed).await,
        "serverside-applied",
    );
    let odd = MANIFEST.replace("replicas: 2", "replicaz: 2");
    let (done, text) = kubectl.run("apply -f -", &odd).await;
    assert!(!done && text.contains("unknown field \"spec.replicaz\""), "{text}");
    kubectl.expect(kubectl.run("delete -f -", MANIFEST).await, "configmap \"settings\" deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_are_explained_and_waited_for() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.expect(kubectl.run("explain deployment.spec.replicas", "").await, "integer");
    kubectl.expect(kubectl.run("run p --image=nginx", "").await, "pod/p created");
    kubectl.expect(kubectl.run("get pods", "").await, "NAME");
    let status = "patch pod p --subresource=status --type=merge -p '{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}'";
    kubectl.expect(kubectl.run(status, "").await, "pod/p patched");
    kubectl.expect(kubectl.run("wait --for=condition=Ready pod/p --timeout=10s", "").await, "condition met");
    kubectl.expect(kubectl.run("delete pod p", "").await, "deleted");
}

#[test]
fn words_are_split() {
    assert_eq!(shlex("a 'b c' d"), ["a", "b c", "d"]);
    assert!(Path::new("/").is_dir());
}
