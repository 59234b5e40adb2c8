//! Controller revisions: the templates a daemon set or stateful set has had.

use std::collections::BTreeMap;
use std::sync::Arc;

use informers::objects::{controlled_by, uid};
use informers::{Error, Informer, Object};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{Api, DeleteParams, Patch, PatchParams};

use super::hash;

/// The label that carries a revision's hash.
pub(crate) const HASH: &str = "controller-revision-hash";

/// A template as revisions store it: a strategic merge patch that replaces the template.
fn data(template: &PodTemplateSpec) -> Result<serde_json::Value, Error> {
    let mut value = serde_json::to_value(template).map_err(|e| Error::other(e.to_string()))?;
    value["$patch"] = "replace".into();
    Ok(serde_json::json!({"spec": {"template": value}}))
}

/// The revision of the present template, made or moved to the end as needed, and all others, oldest first.
pub(crate) async fn current<O>(
    client: &kube::Client,
    revisions: &Informer<ControllerRevision>,
    owner: &O,
    template: &PodTemplateSpec,
    labels: &BTreeMap<String, String>,
    collisions: Option<i32>,
) -> Result<(Arc<ControllerRevision>, Vec<Arc<ControllerRevision>>), Error>
where
    O: Object + kube::Resource<Scope = NamespaceResourceScope>,
{
    let meta = owner.meta();
    let api: Api<ControllerRevision> =
        Api::namespaced(client.clone(), meta.namespace.as_deref().unwrap_or_default());
    let data = data(template)?;
    let mut all = revisions.controlled_by(uid(meta));
    all.sort_by_key(|r| r.revision);
    let last = all.last().map_or(0, |r| r.revision);
    let same = all.iter().position(|r| r.data.as_ref().is_some_and(|d| d.0 == data));
    if let Some(at) = same {
        let mut found = all.remove(at);
        if found.revision < last {
            let patch = serde_json::json!({"revision": last + 1});
            let name = found.metadata.name.clone().unwrap_or_default();
            let moved = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            revisions.observe(moved.clone());
            found = Arc::new(moved);
        }
        return Ok((found, all));
    }
    let hash = hash::of(&data, collisions);
    let mut labels = labels.clone();
    labels.insert(HASH.into(), hash.clone());
    let made = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", meta.name.as_deref().unwrap_or_default())),
            namespace: meta.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![controlled_by(owner)]),
            ..Default::default()
        },
        data: Some(RawExtension(data)),
        revision: last + 1,
    };
    let made = revisions.create(&api, &made).await?;
    Ok((Arc::new(made), all))
}

/// A revision's hash.
pub(crate) fn hash_of(revision: &ControllerRevision) -> String {
    informers::objects::label(&revision.metadata, HASH).unwrap_or_default().to_owned()
}

/// The template a revision holds.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut value = revision.data.as_ref()?.0.get("spec")?.get("template")?.clone();
    value.as_object_mut()?.remove("$patch");
    serde_json::from_value(value).ok()
}

/// Removes the oldest revisions beyond the limit, except those in use.
pub(crate) async fn clean(
    client: &kube::Client,
    revisions: &Informer<ControllerRevision>,
    old: &[Arc<ControllerRevision>],
    limit: Option<i32>,
    is_used: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let unused: Vec<_> = old.iter().filter(|r| !is_used(&hash_of(r))).collect();
    let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
    for revision in unused.iter().take(unused.len().saturating_sub(limit)) {
        let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<ControllerRevision> = Api::namespaced(client.clone(), namespace);
        revisions.delete(&api, revision, DeleteParams::default()).await?;
    }
    Ok(())
}
