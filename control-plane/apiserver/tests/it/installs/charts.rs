//! Installs that Helm brings: `crds/`, templates, hooks; and a second chart with what users make.

use std::time::Duration;

use futures::TryStreamExt as _;
use kube::api::{Api, WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::shape::{Shape, yaml};
use super::{World, all_established, head};
use crate::every_verb::listed;

/// Writes the two charts of a shape.
fn write(world: &World, shape: &Shape) {
    let chart = |name: &str, version: &str| {
        format!("apiVersion: v2\nname: {name}\nversion: {version}\nkubeVersion: '>= 1.30.0-0'\n")
    };
    let at = |file: &str| format!("{}/{file}", shape.name);
    world.write(&at("Chart.yaml"), &chart(shape.name, "1.0.0"));
    world.write(&at("values.yaml"), "replicas: 1\ncheck: {image: busybox}\n");
    for (kind, definition) in shape.kinds.iter().zip(&shape.definitions) {
        world.write(&at(&format!("crds/{}.yaml", kind.name())), &yaml([definition]));
    }
    let objects = yaml(&shape.objects).replace("  replicas: 1\n", "  replicas: {{ .Values.replicas }}\n");
    world.write(&at("templates/all.yaml"), &objects);
    world.write(&at("templates/hooks.yaml"), &yaml(&hooks(shape)));
    let users = format!("{}-users", shape.name);
    world.write(&format!("{users}/Chart.yaml"), &chart(&users, "1.0.0"));
    world
        .write(&format!("{users}/templates/all.yaml"), &yaml(shape.customs.iter().map(|(_, custom)| custom)));
}

/// A check after the install, with an account of its own, as such charts have it.
fn hooks(shape: &Shape) -> [Value; 2] {
    let annotations = |weight: &str| {
        json!({"helm.sh/hook": "post-install,post-upgrade", "helm.sh/hook-weight": weight,
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded"})
    };
    let meta = |weight: &str| json!({"name": "startup-check", "namespace": shape.namespace, "annotations": annotations(weight)});
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("-5")}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("1"), "spec": {"backoffLimit": 4, "template": {
            "metadata": {"labels": {"app": "startup-check"}},
            "spec": {"serviceAccountName": "startup-check", "restartPolicy": "OnFailure",
                "containers": [{"name": "check", "image": "{{ .Values.check.image }}", "command": ["check", "api", "--wait=1m"]}]}}}}),
    ]
}

/// Does what the job controller and the kubelet would: every Job succeeds. Gives no word back; ends with the server.
fn jobs_succeed(world: &World) {
    let jobs: Api<k8s_openapi::api::batch::v1::Job> = Api::all(world.server().client());
    let client = world.server().client();
    world.server().tasks.spawn("jobs", async move {
        // A watch ends after some minutes, and the next begins with what is there.
        loop {
            let mut events = Box::pin(jobs.watch(&WatchParams::default(), "0").await.unwrap());
            while let Ok(Some(event)) = events.try_next().await {
                let WatchEvent::Added(job) = event else { continue };
                let (name, namespace) = (job.metadata.name.unwrap(), job.metadata.namespace.unwrap());
                let now = job.metadata.creation_timestamp.unwrap().0.to_string();
                let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": now, "lastTransitionTime": now});
                let status = json!({"status": {"startTime": now, "completionTime": now, "succeeded": 1,
                    "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}});
                let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status");
                let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
                client.send(request.body(status.to_string().into_bytes().into()).unwrap()).await.unwrap();
            }
        }
    });
}

/// Everything of a product that discovery lists and that is there.
async fn left(world: &World, shape: &Shape) -> Vec<String> {
    let mut found = Vec::new();
    let selector = format!("labelSelector=app.kubernetes.io%2Fpart-of%3D{}", shape.name);
    for one in listed(world.server()).await {
        if one.name.contains('/')
            || one.kind == "CustomResourceDefinition"
            || !one.verbs.iter().any(|verb| verb == "list")
        {
            continue;
        }
        let root = if one.group_version.contains('/') { "apis" } else { "api" };
        let list =
            world.server().get(&format!("/{root}/{}/{}?{selector}", one.group_version, one.name)).await.ok();
        for item in list["items"].as_array().unwrap() {
            found.push(format!("{} {}", one.kind, item["metadata"]["name"]));
        }
    }
    found
}

async fn comes_and_goes(world: &World, shape: &Shape, major: &str) {
    let run = async |arguments: &str, wanted: &str| {
        let (succeeded, text) = world.cluster.run(arguments, "").await;
        assert!(
            succeeded && text.contains(wanted),
            "helm {major} {arguments}: wanted `{wanted}`:\n{}",
            head(&text)
        );
    };
    let (name, namespace) = (shape.name, shape.namespace);
    run(&format!("install {name} ./{name} -n {namespace} --create-namespace"), "STATUS: deployed").await;
    run(&format!("install users ./{name}-users -n {namespace}"), "STATUS: deployed").await;
    let of = |kind: &str| format!("/apis/apps/v1/namespaces/{namespace}/deployments/{kind}");
    let first = shape.objects.iter().find(|one| one["kind"] == "Deployment").unwrap();
    let deployment = of(first["metadata"]["name"].as_str().unwrap());
    assert_eq!(world.server().get(&deployment).await.ok()["spec"]["replicas"], 1);

    run(&format!("upgrade {name} ./{name} -n {namespace} --set replicas=3"), "has been upgraded").await;
    assert_eq!(world.server().get(&deployment).await.ok()["spec"]["replicas"], 3);
    let users = shape.customs.iter().map(|(_, custom)| custom);
    let before = world.there(users.clone()).await;
    run(&format!("upgrade users ./{name}-users -n {namespace}"), "has been upgraded").await;
    assert_eq!(before, world.there(users).await, "helm {major}: an upgrade to the same changes nothing");
    run(&format!("rollback {name} 1 -n {namespace}"), "Rollback was a success").await;
    assert_eq!(world.server().get(&deployment).await.ok()["spec"]["replicas"], 1);
    let job = format!("/apis/batch/v1/namespaces/{namespace}/jobs/startup-check");
    world.server().get(&job).await.refused(404);

    run(&format!("uninstall users -n {namespace}"), "uninstalled").await;
    run(&format!("uninstall {name} -n {namespace}"), "uninstalled").await;
    // What goes in the background goes soon.
    let gone = async {
        while !left(world, shape).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), gone).await.is_err() {
        panic!("helm {major}: {:?} are left", left(world, shape).await);
    }
}

async fn with(major: &str) {
    let Some(program) = crate::clients::tool(&format!("helm-{major}")) else { return };
    let Some(world) = World::start(Some(program)).await else { return };
    jobs_succeed(&world);
    for shape in &world.shapes {
        write(&world, shape);
        comes_and_goes(&world, shape, major).await;
    }
    // Helm never takes definitions away.
    all_established(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn helm_3_brings_three_installs_and_takes_them_away() {
    with("3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn helm_4_brings_three_installs_and_takes_them_away() {
    with("4").await;
}
