//! Every kind through the Rust client: its own types where it has them, and for all kinds what discovery tells it.

use std::fmt::Debug;
use std::path::PathBuf;

use futures::future::LocalBoxFuture;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, autoscaling::v1 as autoscaling_v1,
    autoscaling::v2 as autoscaling, batch::v1 as batch, certificates::v1 as certificates,
    coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery, events::v1 as events,
    flowcontrol::v1 as flow, networking::v1 as networking, node::v1 as node, policy::v1 as policy,
    rbac::v1 as rbac, resource::v1 as resource, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as registration;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{Discovery, Scope};
use kube::{Client, Config, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::every_verb::objects;
use crate::kubectl::Kubectl;

/// What the client does not get through, with the reason. This list only shrinks.
const FAILS: [(&str, &str); 0] = [];

const WATCH_LIMIT_SECONDS: u32 = 10;

/// A server behind TLS and the client that its kubeconfig makes.
async fn connect() -> (Kubectl, Client) {
    let cluster = Kubectl::start_with(PathBuf::new()).await.unwrap();
    let kubeconfig = Kubeconfig::read_from(cluster.home().join("config")).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    (cluster, client)
}

/// An object's life: made, read, listed, watched, patched, applied, replaced and deleted.
async fn drive<K>(api: Api<K>, object: &Value) -> Result<(), String>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let told = |what: &'static str| move |error: kube::Error| format!("{what}: {error}");
    let body: K = serde_json::from_value(object.clone()).map_err(|error| format!("its type: {error}"))?;
    let made = api.create(&PostParams::default(), &body).await.map_err(told("create"))?;
    let name = made.name_any();
    let read = api.get(&name).await.map_err(told("get"))?;
    expect(read.uid() == made.uid(), "another object than was made is read")?;
    let listed = api.list(&ListParams::default()).await.map_err(told("list"))?;
    expect(listed.items.iter().any(|item| item.name_any() == name), "it is not in the list")?;
    seen(&api, &name, "0", |event| matches!(event, WatchEvent::Added(_))).await?;
    let since = listed.metadata.resource_version.unwrap_or_default();
    let patch = json!({"metadata": {"labels": {"patched": "yes"}}});
    let patched = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    let patched = patched.map_err(told("patch"))?;
    expect(patched.labels().get("patched").is_some_and(|value| value == "yes"), "the patch did nothing")?;
    seen(&api, &name, &since, |event| matches!(event, WatchEvent::Modified(_))).await?;
    let applied = json!({"apiVersion": object["apiVersion"], "kind": object["kind"],
        "metadata": {"name": name, "labels": {"applied": "yes"}}});
    let applied = api.patch(&name, &PatchParams::apply("kube"), &Patch::Apply(applied)).await;
    let mut applied = applied.map_err(told("apply"))?;
    expect(applied.labels().len() >= 2, "what is applied takes the place of what is there")?;
    applied.annotations_mut().insert("replaced".into(), "yes".into());
    let replaced = api.replace(&name, &PostParams::default(), &applied).await.map_err(told("replace"))?;
    expect(replaced.annotations().contains_key("replaced"), "the replacement did nothing")?;
    let before = replaced.resource_version();
    let again = api.replace(&name, &PostParams::default(), &replaced).await.map_err(told("replace"))?;
    // The server's own loops write the status of these.
    let kept = ["FlowSchema", "ValidatingAdmissionPolicy"].iter().any(|kind| object["kind"] == *kind);
    expect(kept || again.resource_version() == before, "replacing it by itself is a change")?;
    let parameters = DeleteParams::background().grace_period(0);
    let _ = api.delete(&name, &parameters).await.map_err(told("delete"))?;
    // Nobody removes finalizers where no controllers run: those who have one stay, marked.
    let left = api.get_opt(&name).await.map_err(told("get"))?;
    expect(left.is_none_or(|left| left.meta().deletion_timestamp.is_some()), "it is still there")
}

/// The same on the heap: the lives of all kinds together are too much for a stack.
fn boxed<'o, K>(api: Api<K>, object: &'o Value) -> LocalBoxFuture<'o, Result<(), String>>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + 'static,
{
    drive(api, object).boxed_local()
}

fn expect(holds: bool, else_: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(else_.to_owned()) }
}

/// Waits until a watch shows the object in such an event.
async fn seen<K>(
    api: &Api<K>,
    name: &str,
    since: &str,
    wanted: impl Fn(&WatchEvent<K>) -> bool,
) -> Result<(), String>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let parameters =
        WatchParams::default().fields(&format!("metadata.name={name}")).timeout(WATCH_LIMIT_SECONDS);
    let stream = api.watch(&parameters, since).await.map_err(|error| format!("watch: {error}"))?;
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        if wanted(&event.map_err(|error| format!("watch: {error}"))?) {
            return Ok(());
        }
    }
    Err("the watch does not show it".to_owned())
}

/// Drives the object of each kind listed here through its type; gives what was driven and what went wrong.
macro_rules! drive_types {
    ($client:expr, $all:expr; namespaced: $($inside:ty),* $(,)?; of_cluster: $($outside:ty),* $(,)?) => {{
        let mut driven: Vec<(String, Result<(), String>)> = Vec::new();
        $({
            let (what, object) = one::<$inside>($all);
            driven.push((what, boxed(Api::<$inside>::default_namespaced($client.clone()), object).await));
        })*
        $({
            let (what, object) = one::<$outside>($all);
            driven.push((what, boxed(Api::<$outside>::all($client.clone()), object).await));
        })*
        driven
    }};
}

type Objects = std::collections::BTreeMap<(String, String), Value>;

/// The object of a type.
fn one<K: Resource<DynamicType = ()>>(all: &Objects) -> (String, &Value) {
    let (version, kind) = (K::api_version(&()).into_owned(), K::kind(&()).into_owned());
    let what = format!("{version} {kind}");
    let object = all.get(&(version, kind)).unwrap_or_else(|| panic!("no object of {what}"));
    (what, object)
}

fn judged(driven: Vec<(String, Result<(), String>)>) {
    let excused = |what: &String| FAILS.iter().any(|(known, _)| known == what);
    let failed: Vec<String> = driven
        .iter()
        .filter_map(|(what, result)| Some((what, result.as_ref().err()?)))
        .filter(|(what, _)| !excused(what))
        .map(|(what, why)| format!("{what}: {why}"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    for (what, result) in driven.iter().filter(|(what, _)| excused(what)) {
        assert!(result.is_err(), "{what} no longer fails, so take it off the list");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_clients_own_types_hold_every_kind() {
    let (_cluster, client) = connect().await;
    let all = objects();
    let driven = drive_types!(client, &all;
        namespaced:
            core::ConfigMap, core::Endpoints, core::Event, core::LimitRange, core::PersistentVolumeClaim, core::Pod,
            core::PodTemplate, core::ReplicationController, core::ResourceQuota, core::Secret, core::Service,
            core::ServiceAccount, apps::ControllerRevision, apps::DaemonSet, apps::Deployment, apps::ReplicaSet,
            apps::StatefulSet, autoscaling_v1::HorizontalPodAutoscaler, autoscaling::HorizontalPodAutoscaler,
            batch::CronJob, batch::Job, coordination::Lease, discovery::EndpointSlice, events::Event,
            networking::Ingress, networking::NetworkPolicy, policy::PodDisruptionBudget, rbac::Role,
            rbac::RoleBinding, resource::ResourceClaim, resource::ResourceClaimTemplate, storage::CSIStorageCapacity;
        of_cluster:
            core::Namespace, core::Node, core::PersistentVolume, admission::MutatingWebhookConfiguration,
            admission::ValidatingAdmissionPolicy, admission::ValidatingAdmissionPolicyBinding,
            admission::ValidatingWebhookConfiguration, certificates::CertificateSigningRequest, flow::FlowSchema,
            flow::PriorityLevelConfiguration, networking::IPAddress, networking::IngressClass,
            networking::ServiceCIDR, node::RuntimeClass, rbac::ClusterRole, rbac::ClusterRoleBinding,
            resource::DeviceClass, resource::ResourceSlice, scheduling::PriorityClass, storage::CSIDriver,
            storage::CSINode, storage::StorageClass, storage::VolumeAttachment, storage::VolumeAttributesClass,
            extensions::CustomResourceDefinition, registration::APIService,
    );
    // All kinds that are stored: a type that is forgotten here is missed.
    let kinds: Vec<String> = all.keys().map(|(version, kind)| format!("{version} {kind}")).collect();
    let mut known: Vec<String> = driven.iter().map(|(what, _)| what.clone()).collect();
    known.sort();
    assert_eq!(known, kinds);
    judged(driven);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_finds_and_handles_every_kind_by_discovery() {
    let (_cluster, client) = connect().await;
    let found = Discovery::new(client.clone()).run_aggregated().await.unwrap();
    let all = objects();
    let mut driven = Vec::new();
    for group in found.groups() {
        for (kind, capabilities) in group.versions().flat_map(|version| group.versioned_resources(version)) {
            let Some(object) = all.get(&(kind.api_version.clone(), kind.kind.clone())) else { continue };
            let api: Api<DynamicObject> = match capabilities.scope {
                Scope::Namespaced => Api::default_namespaced_with(client.clone(), &kind),
                Scope::Cluster => Api::all_with(client.clone(), &kind),
            };
            driven.push((format!("{} {}", kind.api_version, kind.kind), drive(api, object).await));
        }
    }
    assert_eq!(driven.len(), all.len(), "{driven:?}");
    judged(driven);
}
