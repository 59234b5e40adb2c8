//! Lets claims, volumes and attributes classes go that are being deleted, once nothing uses them: admission gives each a
//! finalizer when it is made.
//!
//! A claim is in use while a pod that has a node names it; a volume while it is bound; a class while a claim or a volume has it
//! or is to get it.

use std::sync::Arc;

use informers::objects::{has_finalizer, is_deleting, node_name};
use informers::{Error, Informer, Key, Next, Queue};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::ResourceExt;
use kube::api::{Api, PostParams};

use crate::context::Context;

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";
const CLASS: &str = "kubernetes.io/vac-protection";

/// The claims that a pod's volumes name, those that are made for it included.
fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(claim), _) => Some(claim.claim_name.clone()),
            (None, Some(_)) => Some(format!("{}-{}", pod.name_any(), volume.name)),
            (None, None) => None,
        })
        .collect()
}

fn uses(pod: &Pod, claim: &str) -> bool {
    !node_name(pod).is_empty() && claims_of(pod).iter().any(|name| name == claim)
}

/// Takes the finalizer away; a conflict or that it is gone leaves nothing to do here: another event follows.
async fn let_go<K>(api: Api<K>, mut object: K, finalizer: &str) -> Result<(), Error>
where
    K: informers::Object,
{
    let name = object.meta().name.clone().unwrap_or_default();
    if let Some(all) = object.meta_mut().finalizers.as_mut() {
        all.retain(|one| one != finalizer);
    }
    match api.replace(&name, &PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The loop of claims.
pub(crate) fn start_claims(context: &Context) {
    let claims = context.informer::<PersistentVolumeClaim>();
    let pods = context.informer::<Pod>();
    let queue = Queue::new();
    claims.enqueue_to(&queue);
    let waiting = queue.clone();
    pods.subscribe(move |change| {
        let pod = change.object();
        let namespace = pod.namespace().unwrap_or_default();
        claims_of(pod).into_iter().for_each(|claim| waiting.add(Key::new(&namespace, claim)));
    });
    let client = context.client("pvc-protection-controller");
    let (c, p) = (claims.clone(), pods.clone());
    let ready = async move {
        c.synced().await;
        p.synced().await;
    };
    context.loops.run("persistentvolumeclaim-protection-controller", 1, queue, ready, move |key: Key| {
        let (client, claims, pods) = (client.clone(), claims.clone(), pods.clone());
        async move { claim(client, &claims, &pods, key).await }
    });
}

async fn claim(
    client: kube::Client,
    claims: &Informer<PersistentVolumeClaim>,
    pods: &Informer<Pod>,
    key: Key,
) -> Result<Next, Error> {
    let held = |claim: &Arc<PersistentVolumeClaim>| {
        is_deleting(&claim.metadata) && has_finalizer(&claim.metadata, CLAIM)
    };
    let Some(claim) = claims.get(&key).filter(held) else { return Ok(None) };
    if pods.list_in(&key.namespace).iter().any(|pod| uses(pod, &key.name)) {
        return Ok(None);
    }
    let_go(Api::namespaced(client, &key.namespace), claim.as_ref().clone(), CLAIM).await?;
    Ok(None)
}

/// The loop of volumes.
pub(crate) fn start_volumes(context: &Context) {
    let volumes = context.informer::<PersistentVolume>();
    let queue = Queue::new();
    volumes.enqueue_to(&queue);
    let client = context.client("pv-protection-controller");
    let v = volumes.clone();
    let ready = async move { v.synced().await };
    context.loops.run("persistentvolume-protection-controller", 1, queue, ready, move |key: Key| {
        let (client, volumes) = (client.clone(), volumes.clone());
        async move {
            let held = |volume: &Arc<PersistentVolume>| {
                let bound =
                    volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
                is_deleting(&volume.metadata) && has_finalizer(&volume.metadata, VOLUME) && !bound
            };
            if let Some(volume) = volumes.get(&key).filter(held) {
                let_go(Api::all(client), volume.as_ref().clone(), VOLUME).await?;
            }
            Ok(None)
        }
    });
}

/// The attributes classes that a claim has, wants, or is on its way to.
fn classes_of_claim(claim: &PersistentVolumeClaim) -> Vec<String> {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    let status = claim.status.as_ref();
    let has = status.and_then(|status| status.current_volume_attributes_class_name.clone());
    let target = status.and_then(|status| status.modify_volume_status.as_ref());
    let target = target.and_then(|target| target.target_volume_attributes_class_name.clone());
    [wanted, has, target].into_iter().flatten().collect()
}

fn class_of_volume(volume: &PersistentVolume) -> Option<String> {
    volume.spec.as_ref()?.volume_attributes_class_name.clone()
}

/// The loop of attributes classes.
pub(crate) fn start_classes(context: &Context) {
    let classes = context.informer::<VolumeAttributesClass>();
    let (claims, volumes) =
        (context.informer::<PersistentVolumeClaim>(), context.informer::<PersistentVolume>());
    let queue = Queue::new();
    classes.enqueue_to(&queue);
    let waiting = queue.clone();
    // Any change of a user may have been the last use of a class that waits, so all that wait are looked at.
    let held = classes.clone();
    let look = Arc::new(move || {
        held.list()
            .iter()
            .filter(|class| is_deleting(&class.metadata))
            .for_each(|class| waiting.add(Key::new("", class.name_any())));
    });
    let also = look.clone();
    claims.subscribe(move |_| look());
    volumes.subscribe(move |_| also());
    let client = context.client("volumeattributesclass-protection-controller");
    let (k, c, v) = (classes.clone(), claims.clone(), volumes.clone());
    let ready = async move {
        k.synced().await;
        c.synced().await;
        v.synced().await;
    };
    context.loops.run("volumeattributesclass-protection-controller", 1, queue, ready, move |key: Key| {
        let (client, classes, claims, volumes) =
            (client.clone(), classes.clone(), claims.clone(), volumes.clone());
        async move {
            let held = |class: &Arc<VolumeAttributesClass>| {
                is_deleting(&class.metadata) && has_finalizer(&class.metadata, CLASS)
            };
            let Some(class) = classes.get(&key).filter(held) else { return Ok(None) };
            let used = claims.list().iter().any(|claim| classes_of_claim(claim).contains(&key.name))
                || volumes.list().iter().any(|volume| class_of_volume(volume).as_ref() == Some(&key.name));
            if !used {
                let_go(Api::all(client), class.as_ref().clone(), CLASS).await?;
            }
            Ok(None)
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_in_use_while_a_placed_pod_names_it() {
        let pod = |node: &str| -> Pod {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "p"},
                "spec": {"nodeName": node, "containers": [], "volumes": [
                    {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "e", "ephemeral": {}}]},
            }))
            .unwrap()
        };
        assert!(uses(&pod("n"), "c") && uses(&pod("n"), "p-e"));
        assert!(!uses(&pod("n"), "v") && !uses(&pod(""), "c"));
    }

    #[test]
    fn a_class_is_in_use_by_what_has_it_and_by_what_is_to_get_it() {
        let claim: PersistentVolumeClaim = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "c"}, "spec": {"volumeAttributesClassName": "gold"},
            "status": {"currentVolumeAttributesClassName": "silver",
                       "modifyVolumeStatus": {"status": "InProgress", "targetVolumeAttributesClassName": "gold"}},
        }))
        .unwrap();
        assert_eq!(classes_of_claim(&claim), ["gold", "silver", "gold"]);
        assert_eq!(classes_of_claim(&PersistentVolumeClaim::default()), Vec::<String>::new());
    }
}
