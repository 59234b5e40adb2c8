//! Clients nobody here wrote: kubectl of five minors, Helm 3 and 4, the Kubernetes clients for Python and JavaScript.
//!
//! `make tools` installs them; `LAZURITE_TEST_TOOLS` says where. Without it these tests say SKIPPED.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::every_verb::{Listed, listed, objects};
use crate::kubectl::Kubectl;

const MINORS: [&str; 5] = ["1.33", "1.34", "1.35", "1.36", "1.37"];

/// The kubectl of every minor that is installed.
pub fn kubectls() -> Vec<(&'static str, PathBuf)> {
    MINORS.into_iter().filter_map(|minor| Some((minor, tool(&format!("kubectl-{minor}"))?))).collect()
}

pub fn tool(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("LAZURITE_TEST_TOOLS").map(|dir| Path::new(&dir).join(name));
    let found = found.filter(|tool| tool.exists());
    if found.is_none() {
        eprintln!(
            "SKIPPED: `{name}` is not installed; `make tools` brings it, LAZURITE_TEST_TOOLS says where"
        );
    }
    found
}

/// A program with arguments, run to its end; its output is in the failure.
async fn run(command: &mut tokio::process::Command) -> String {
    let output = command.kill_on_drop(true).output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} failed:\n{text}", command.as_std().get_program());
    text
}

/// An object of every kind, with the plural that discovery gives it.
async fn every_kind(cluster: &Kubectl) -> Value {
    let resources: Vec<Listed> = listed(&cluster.server).await;
    let mut all = Vec::new();
    for ((api_version, kind), mut object) in objects() {
        let mut plurals = resources.iter().filter(|one| one.group_version == api_version && one.kind == kind);
        let Some(plural) = plurals.find(|one| !one.name.contains('/')) else { continue };
        object["plural"] = json!(plural.name);
        all.push(object);
    }
    Value::Array(all)
}

/// What the Python client does not get through, with the reason. This list only shrinks.
const PYTHON_FAILS: [(&str, &str); 0] = [];

async fn drive(
    program: &mut tokio::process::Command,
    script: &str,
    cluster: &Kubectl,
    excused: &[(&str, &str)],
) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let file = cluster.home().join("objects.json");
    std::fs::write(&file, every_kind(cluster).await.to_string()).unwrap();
    let text = run(program.arg(script).arg(cluster.home().join("config")).arg(file)).await;
    let failed = text.lines().filter_map(|line| line.strip_prefix("FAILED "));
    let failed: Vec<&str> = failed.filter_map(|line| line.split_once(':').map(|(what, _)| what)).collect();
    let wanted: Vec<&str> =
        excused.iter().map(|(what, _)| *what).filter(|what| !failed.contains(what)).collect();
    assert!(failed.iter().all(|what| excused.iter().any(|(known, _)| known == what)), "{text}");
    assert!(wanted.is_empty(), "no longer fail, so take them off the list: {wanted:?}");
    // Most kinds are known to every client; a client that knows few would prove little.
    let known = text.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(known >= 50, "only {known} kinds:\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_handles_every_kind() {
    let Some(python) = tool("python/bin/python") else { return };
    let Some(cluster) = Kubectl::start().await else { return };
    drive(&mut tokio::process::Command::new(python), "python_client.py", &cluster, &PYTHON_FAILS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_handles_every_kind() {
    let Some(modules) = tool("javascript/node_modules") else { return };
    let Some(cluster) = Kubectl::start().await else { return };
    let mut node = tokio::process::Command::new("node");
    drive(node.env("NODE_PATH", modules), "javascript_client.mjs", &cluster, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_minors_of_kubectl_do_what_they_do_most() {
    for (minor, program) in kubectls() {
        let Some(cluster) = Kubectl::start_with(program).await else { return };
        for (arguments, wanted) in [
            ("version", "v1.35."),
            ("api-resources --api-group=apps -o name", "deployments.apps"),
            ("explain deployment.spec.strategy", "DESCRIPTION"),
            ("create deployment web --image=nginx --replicas=2", "deployment.apps/web created"),
            ("scale deployment web --replicas=3", "deployment.apps/web scaled"),
            ("set image deployment/web nginx=nginx:2", "deployment.apps/web image updated"),
            ("label deployment web tier=front", "deployment.apps/web labeled"),
            ("get deployments -o wide", "nginx:2"),
            ("get deployment web -o jsonpath={.spec.replicas}", "3"),
            ("expose deployment web --port 80", "service/web exposed"),
            ("describe service web", "Selector:"),
            ("patch deployment web -p {\"spec\":{\"replicas\":1}}", "deployment.apps/web patched"),
            ("create configmap settings --from-literal=a=b --dry-run=server -o yaml", "a: b"),
            ("auth can-i create pods", "yes"),
            ("delete deployment,service web --wait=false", "\"web\" deleted"),
        ] {
            let (succeeded, text) = cluster.run(arguments, "").await;
            assert!(
                succeeded && text.contains(wanted),
                "kubectl {minor} {arguments}: wanted `{wanted}`:\n{text}"
            );
        }
        let applied = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: one}\n";
        for (arguments, wanted) in [
            ("apply -f -", "created"),
            ("apply -f -", "unchanged"),
            ("diff -f -", ""),
            ("apply --server-side --force-conflicts -f -", "serverside-applied"),
        ] {
            let (succeeded, text) = cluster.run(arguments, applied).await;
            assert!(
                succeeded && text.contains(wanted),
                "kubectl {minor} {arguments}: wanted `{wanted}`:\n{text}"
            );
        }
    }
}

/// A chart with the usual kinds.
fn chart(at: &Path) {
    std::fs::create_dir_all(at.join("templates")).unwrap();
    std::fs::write(at.join("Chart.yaml"), "apiVersion: v2\nname: web\nversion: 0.1.0\n").unwrap();
    std::fs::write(at.join("values.yaml"), "replicas: 1\n").unwrap();
    let template = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Release.Name }}, labels: {app: web}}\n\
        spec:\n  replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
        spec: {containers: [{name: web, image: nginx}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}}\n\
        spec: {selector: {app: web}, ports: [{port: 80}]}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: {{ .Release.Name }}}\nstringData: {a: b}\n";
    std::fs::write(at.join("templates/all.yaml"), template).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    for major in ["3", "4"] {
        let Some(program) = tool(&format!("helm-{major}")) else { continue };
        let Some(cluster) = Kubectl::start_with(program).await else { return };
        chart(&cluster.home().join("web"));
        for (arguments, wanted) in [
            ("install web ./web", "STATUS: deployed"),
            ("upgrade web ./web --set replicas=3", "has been upgraded"),
            ("history web", "superseded"),
            ("rollback web 1", "Rollback was a success"),
            ("get manifest web", "replicas: 1"),
            ("list", "web"),
        ] {
            let (succeeded, text) = cluster.run(arguments, "").await;
            assert!(
                succeeded && text.contains(wanted),
                "helm {major} {arguments}: wanted `{wanted}`:\n{text}"
            );
        }
        let deployment = "/apis/apps/v1/namespaces/default/deployments/web";
        assert_eq!(cluster.server.get(deployment).await.ok()["spec"]["replicas"], 1);
        let (succeeded, text) = cluster.run("uninstall web", "").await;
        assert!(succeeded, "helm {major}: {text}");
        cluster.server.get(deployment).await.refused(404);
    }
}
