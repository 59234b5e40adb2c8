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
/// How long a command may take: whole installs take theirs on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

pub struct Kubectl {
    program: PathBuf,
    home: tempfile::TempDir,
    pub server: Server,
}

/// The kubectl that the environment names, or the one on the path.
pub fn find() -> Option<PathBuf> {
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
    pub async fn start() -> Option<Self> {
        let Some(program) = find() else {
            eprintln!("SKIPPED: no kubectl found");
            return None;
        };
        Self::start_with(program).await
    }

    /// A server of its own for `program`, which reads a kubeconfig as kubectl does.
    pub async fn start_with(program: PathBuf) -> Option<Self> {
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
        kit::serve::tls(
            listener,
            kit::tls::server(certificates).unwrap(),
            server.api.service(),
            &server.tasks,
        );
        let admin =
            server.authority.issue(&leaf("admin", &["system:masters"], kit::pki::Usage::Client)).unwrap();
        let home = tempfile::tempdir().unwrap();
        let text = kubeconfig(address, server.authority.certificate_pem(), &admin);
        std::fs::write(home.path().join("config"), text).unwrap();
        Some(Self { program, home, server })
    }

    /// Where the program runs, with its kubeconfig `config`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs the program; gives whether it succeeded and what it printed.
    pub async fn run(&self, arguments: &str, input: &str) -> (bool, String) {
        self.run_with(&[], arguments, input).await
    }

    /// A command that is not started yet.
    pub fn command(&self, arguments: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(shlex(arguments))
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("HOME", self.home.path())
            // A server that shares its processors with a compiler answers late, and is there.
            .env("HTTP2_PING_TIMEOUT_SECONDS", LIMIT.as_secs().to_string())
            .current_dir(self.home.path());
        command
    }

    /// Runs a command with more in its environment; gives whether it went well and all it wrote.
    pub async fn run_with(
        &self,
        environment: &[(&str, &str)],
        arguments: &str,
        input: &str,
    ) -> (bool, String) {
        let mut command = self.command(arguments);
        command
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let write = async move {
            // A command that takes no input may be gone before it is written.
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let (output, ()) = tokio::join!(tokio::time::timeout(LIMIT, child.wait_with_output()), write);
        let output = output.unwrap_or_else(|_| panic!("`{arguments}` does not end")).unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
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
    kubectl.expect(
        run("create deployment hello --image=nginx --replicas=2").await,
        "deployment.apps/hello created",
    );
    kubectl.expect(run("expose deployment hello --port 80").await, "service/hello exposed");
    kubectl.expect(run("get svc,deploy").await, "service/hello");
    kubectl.expect(run("get deployment hello -o jsonpath='{.spec.replicas}'").await, "2");
    kubectl.expect(run("scale deployment hello --replicas=3").await, "deployment.apps/hello scaled");
    kubectl.expect(run("label deployment hello team=a").await, "deployment.apps/hello labeled");
    kubectl.expect(run("annotate deployment hello note=b").await, "deployment.apps/hello annotated");
    kubectl.expect(run("set image deployment/hello nginx=nginx:2").await, "image updated");
    kubectl.expect(run("rollout restart deployment hello").await, "deployment.apps/hello restarted");
    kubectl.expect(
        run("patch deployment hello -p '{\"spec\":{\"paused\":true}}'").await,
        "deployment.apps/hello patched",
    );
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
    kubectl.expect(
        kubectl.run("apply --server-side -f -", &other).await,
        "deployment.apps/side serverside-applied",
    );
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

/// Columns of a table by where their headings begin; `-` for an empty cell.
fn columns(table: &str) -> Vec<String> {
    let mut lines = table.lines();
    let head = lines.next().unwrap();
    let starts: Vec<usize> = head
        .char_indices()
        .filter(|(at, c)| *c != ' ' && (*at == 0 || head.as_bytes()[at - 1] == b' '))
        .map(|(at, _)| at)
        .collect();
    let cells = |line: &str| {
        let ends = starts.iter().skip(1).copied().chain([line.len()]);
        let cell = |(start, end): (usize, usize)| {
            line.get(start..end.min(line.len())).unwrap_or_default().trim().to_owned()
        };
        let cells: Vec<String> = starts.iter().copied().zip(ends).map(cell).collect();
        cells.iter().map(|cell| if cell.is_empty() { "-" } else { cell }).collect::<Vec<_>>().join(" ")
    };
    lines.map(cells).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_and_versions_are_listed_as_by_a_default_server() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let (done, table) = kubectl.run("api-resources -o wide --sort-by=name", "").await;
    assert!(done, "{table}");
    let listed: std::collections::BTreeSet<String> = columns(&table).into_iter().collect();
    assert_eq!(listed, crate::discovery::expected_resources("1.35"));
    let (_, versions) = kubectl.run("api-versions", "").await;
    assert_eq!(versions, crate::discovery::expected_versions("1.35"));
}

/// Every kind, with all its fields, in words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_is_explained_with_all_its_fields() {
    let Some(kubectl) = Kubectl::start().await else { return };
    for line in crate::discovery::expected_resources("1.35") {
        let words: Vec<&str> = line.split(' ').collect();
        let [plural, _, version, _, kind, ..] = words[..] else { panic!("{line}") };
        let (done, text) =
            kubectl.run(&format!("explain {plural} --api-version={version} --recursive"), "").await;
        assert!(done && text.contains(&format!("KIND:       {kind}\n")), "{plural}: {text}");
        let about = text
            .split_once("DESCRIPTION:\n")
            .map(|(_, rest)| rest.split("\nFIELDS:").next().unwrap_or_default());
        assert!(
            about.is_some_and(|about| about.trim().len() > 10 && !about.contains("<empty>")),
            "{plural}: {text}"
        );
        assert!(text.contains("apiVersion\t<string>"), "{plural}: {text}");
    }
    let (_, text) = kubectl.run("explain pod.spec.containers.resources", "").await;
    for part in [
        "GROUP",
        "FIELD: resources <ResourceRequirements>",
        "limits\t<map[string]Quantity>",
        "Limits describes the maximum",
    ] {
        let absent = part == "GROUP";
        assert_eq!(text.contains(part), !absent, "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_validated_as_kubectl_asks() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let odd = MANIFEST.split("---").next().unwrap().replace("replicas: 2", "replicaz: 2");
    for validate in ["strict", "true"] {
        let (done, text) = kubectl.run(&format!("create --validate={validate} -f -"), &odd).await;
        assert!(!done && text.contains("unknown field \"spec.replicaz\""), "{text}");
    }
    let (done, text) = kubectl.run("create --validate=warn -f -", &odd).await;
    assert!(done && text.contains("Warning: unknown field \"spec.replicaz\""), "{text}");
    kubectl.expect(kubectl.run("get deployment web --subresource=scale", "").await, "DESIRED");
}

#[test]
fn words_are_split() {
    assert_eq!(shlex("a 'b c' d"), ["a", "b c", "d"]);
    assert!(Path::new("/").is_dir());
}

/// Commands and what each must print; run in order against one cluster.
const COMMANDS: &[(&str, &str)] = &[
    ("get --raw /readyz", "ok"),
    ("cluster-info", "control plane"),
    ("create serviceaccount robot", "serviceaccount/robot created"),
    ("create token robot", "ey"),
    ("create role reader --verb=get,list --resource=pods", "role.rbac.authorization.k8s.io/reader created"),
    ("create rolebinding readers --role=reader --serviceaccount=default:robot", "created"),
    ("auth can-i list pods --as=system:serviceaccount:default:robot", "yes"),
    ("create clusterrole nodes --verb=get --resource=nodes", "created"),
    ("create job once --image=busybox -- true", "job.batch/once created"),
    ("get job once -o jsonpath='{.spec.selector.matchLabels}'", "controller-uid"),
    ("create cronjob often --image=busybox --schedule='* * * * *' -- true", "cronjob.batch/often created"),
    ("create job manual --from=cronjob/often", "job.batch/manual created"),
    ("create ingress web --rule=foo.com/bar=svc1:80", "ingress.networking.k8s.io/web created"),
    ("create quota limits --hard=pods=100", "resourcequota/limits created"),
    ("create pdb budget --selector=app=x --min-available=1", "poddisruptionbudget.policy/budget created"),
    ("create priorityclass high --value=1000", "priorityclass.scheduling.k8s.io/high created"),
    ("create configmap cm --from-literal=a=b", "configmap/cm created"),
    ("create service nodeport np --tcp=80:8080", "service/np created"),
    ("create service externalname en --external-name=example.com", "service/en created"),
    ("create deployment web --image=nginx --replicas=2 --port=80", "created"),
    ("autoscale deployment web --min=1 --max=3 --cpu-percent=80", "autoscaled"),
    ("get hpa web -o jsonpath='{.spec.maxReplicas}'", "3"),
    ("set env deployment/web A=b", "env updated"),
    ("set resources deployment web --limits=cpu=200m,memory=64Mi", "resource requirements updated"),
    ("rollout pause deployment web", "paused"),
    ("rollout resume deployment web", "resumed"),
    ("get deployment web -o yaml", "cpu: 200m"),
    ("get all", "deployment.apps/web"),
    ("get deploy,svc,cm,sa -A -o wide", "NAMESPACE"),
    ("get pods --field-selector=status.phase=Running", "No resources found"),
    ("run p --image=nginx", "pod/p created"),
    ("get pod p -o name", "pod/p"),
    ("label pod p a=b --overwrite", "labeled"),
    ("label pod p a-", "unlabeled"),
    ("events", ""),
    ("describe pod p", "nginx"),
    ("get node n1 --ignore-not-found", ""),
    ("delete pod p --grace-period=0 --force", "deleted"),
    ("delete job,cronjob,ingress --all", "deleted"),
    ("get pods,jobs --show-labels", ""),
    ("config view --minify", "cluster.test"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_day_commands_work() {
    let Some(kubectl) = Kubectl::start().await else { return };
    for (command, text) in COMMANDS {
        let ran = kubectl.run(command, "").await;
        assert!(ran.0 && ran.1.contains(text), "`{command}` wanted `{text}`, got:\n{}", ran.1);
    }
}

const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {capacity: {cpu: '2', memory: 4Gi, pods: '110'}, conditions: [{type: Ready, status: 'True'}]}\n";
const BOUND: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: bound, labels: {app: x}}\nspec: {nodeName: n1, containers: [{name: c, image: nginx}]}\n";
const WIDGET: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, description: What it is., properties: {color: {type: string, description: Its color.}}}}}}\n    additionalPrinterColumns: [{name: Color, type: string, jsonPath: .spec.color}]\n";
const RED: &str = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: red}\nspec: {color: red}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_cordoned_and_custom_kinds_are_like_others() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.expect(kubectl.run("apply -f -", NODE).await, "node/n1 created");
    kubectl.expect(kubectl.run("get nodes -o wide", "").await, "n1");
    kubectl.expect(kubectl.run("taint nodes n1 k=v:NoSchedule", "").await, "tainted");
    kubectl.expect(kubectl.run("apply -f -", BOUND).await, "pod/bound created");
    kubectl.expect(kubectl.run("cordon n1", "").await, "cordoned");
    let (_, text) = kubectl.run("drain n1 --force --timeout=2s", "").await;
    assert!(text.contains("evicting pod default/bound"), "{text}");
    kubectl.expect(kubectl.run("get pod bound -o jsonpath='{.metadata.deletionTimestamp}'", "").await, "20");
    kubectl.expect(kubectl.run("uncordon n1", "").await, "uncordoned");
    kubectl.expect(kubectl.run("apply -f -", WIDGET).await, "created");
    kubectl.expect(
        kubectl.run("wait --for=condition=Established crd/widgets.example.com --timeout=5s", "").await,
        "met",
    );
    kubectl.expect(kubectl.run("apply -f -", RED).await, "widget.example.com/red created");
    kubectl.expect(kubectl.run("get wd", "").await, "COLOR");
    kubectl.expect(kubectl.run("explain widget.spec.color", "").await, "Its color.");
    kubectl.expect(
        kubectl.run("patch widget red --type=merge -p '{\"spec\":{\"color\":\"blue\"}}'", "").await,
        "patched",
    );
    kubectl
        .expect(kubectl.run("apply --server-side --force-conflicts -f -", RED).await, "serverside-applied");
    kubectl.expect(kubectl.run("delete crd widgets.example.com --timeout=10s", "").await, "deleted");
}
