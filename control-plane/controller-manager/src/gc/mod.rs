//! Garbage collection: what lost its owners goes, in the background, before its owner, or lives on as an orphan.
//!
//! The graph only says where to look; every deletion is decided by live reads of the object and its owners
//! and carries the uid and version it was decided for.

mod graph;
mod monitor;

use std::sync::Arc;

use informers::{Error, Next};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};

use crate::context::Context;
use crate::discover::Served;
use graph::{FOREGROUND, Node, ORPHAN};
use monitor::Shared;

struct Collector {
    shared: Arc<Shared>,
}

/// Starts the loop and its watches.
pub(crate) fn start(context: &Context) {
    let name = "garbage-collector-controller";
    let tasks = context.loops.tasks();
    let shared = Arc::new(Shared::new(context.client("generic-garbage-collector"), tasks.clone()));
    let (first, mut discovered) = tokio::sync::watch::channel(false);
    tasks.spawn(name, monitor::keep_watching(shared.clone(), first));
    let collector = Arc::new(Collector { shared: shared.clone() });
    let s = shared.clone();
    let ready = async move {
        drop(discovered.wait_for(|done| *done).await);
        s.synced().await;
    };
    let ready = futures::FutureExt::shared(futures::FutureExt::boxed(ready));
    let c = collector.clone();
    context.loops.run(name, 5, shared.delete.clone(), ready.clone(), move |uid| {
        let collector = c.clone();
        async move { collector.attempt_delete(&uid).await }
    });
    context.loops.run("garbage-collector-orphans", 2, shared.orphan.clone(), ready, move |uid| {
        let collector = collector.clone();
        async move { collector.orphan(&uid).await }
    });
}

/// What an object's owners are, by live reads.
#[derive(Debug, Default, PartialEq)]
struct Owners {
    solid: Vec<OwnerReference>,
    gone: Vec<OwnerReference>,
    waiting: Vec<OwnerReference>,
}

/// What to do with an object whose owners are known.
#[derive(Debug, PartialEq)]
enum Verdict {
    Keep,
    /// Forget these owners, live on with the others.
    Unlink(Vec<String>),
    DeleteForeground,
    Delete,
}

fn verdict(owners: &Owners, has_dependents: bool) -> Verdict {
    if !owners.solid.is_empty() {
        let lost: Vec<String> = owners.gone.iter().chain(&owners.waiting).map(|o| o.uid.clone()).collect();
        return if lost.is_empty() { Verdict::Keep } else { Verdict::Unlink(lost) };
    }
    if owners.gone.is_empty() && owners.waiting.is_empty() {
        return Verdict::Keep;
    }
    if !owners.waiting.is_empty() && has_dependents { Verdict::DeleteForeground } else { Verdict::Delete }
}

impl Collector {
    fn api(&self, kind: &Served, namespace: &str) -> Api<DynamicObject> {
        if kind.namespaced {
            Api::namespaced_with(self.shared.client.clone(), namespace, &kind.resource)
        } else {
            Api::all_with(self.shared.client.clone(), &kind.resource)
        }
    }

    fn kind(&self, api_version: &str, kind: &str) -> Result<Served, Error> {
        self.shared.kind(api_version, kind).ok_or_else(|| {
            self.shared.kinds_changed.notify_one();
            Error::other(format!("no kind `{kind}` is served in `{api_version}`"))
        })
    }

    async fn live(&self, node: &Node) -> Result<(Served, Option<ObjectMeta>), Error> {
        let kind = self.kind(&node.api_version, &node.kind)?;
        let live = self.api(&kind, &node.namespace).get_metadata_opt(&node.name).await?;
        Ok((kind, live.map(|l| l.metadata)))
    }

    async fn attempt_delete(&self, uid: &str) -> Result<Next, Error> {
        let Some(node) = self.shared.graph.lock().get(uid).cloned() else { return Ok(None) };
        if node.deleting && !node.waits_for_dependents() {
            return Ok(None);
        }
        let (kind, live) = self.live(&node).await?;
        let Some(live) = live.filter(|l| l.uid.as_deref() == Some(uid)) else {
            let work = self.shared.graph.lock().remove(uid);
            self.shared.assign(work);
            return Ok(None);
        };
        if !node.seen {
            // It exists; its own watch will show it.
            return Ok(None);
        }
        if node.waits_for_dependents() {
            return self.finish_foreground(uid, &node, &kind, &live).await;
        }
        if live.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let owners = self.owners(&node, live.owner_references.as_deref().unwrap_or_default()).await?;
        let has_dependents = !self.shared.graph.lock().dependents(uid).is_empty();
        let api = self.api(&kind, &node.namespace);
        let params = match verdict(&owners, has_dependents) {
            Verdict::Keep => return Ok(None),
            Verdict::Unlink(lost) => {
                self.unlink(&api, &live, &lost).await?;
                return Ok(None);
            }
            Verdict::DeleteForeground => DeleteParams::foreground(),
            Verdict::Delete if node.finalizers.iter().any(|f| f == ORPHAN) => DeleteParams::orphan(),
            Verdict::Delete if node.finalizers.iter().any(|f| f == FOREGROUND) => DeleteParams::foreground(),
            Verdict::Delete => DeleteParams::background(),
        };
        let preconditions =
            Preconditions { uid: Some(uid.to_owned()), resource_version: live.resource_version };
        match api.delete(&node.name, &params.preconditions(preconditions)).await {
            Err(kube::Error::Api(s)) if s.code == 404 => Ok(None),
            other => Ok(other.map(|_| None)?),
        }
    }

    async fn owners(&self, node: &Node, references: &[OwnerReference]) -> Result<Owners, Error> {
        let mut owners = Owners::default();
        for reference in references {
            let kind = self.kind(&reference.api_version, &reference.kind)?;
            if kind.namespaced && node.namespace.is_empty() {
                return Err(Error::other(format!(
                    "the cluster-scoped {} `{}` names a namespaced owner",
                    node.kind, node.name
                )));
            }
            let live = self.api(&kind, &node.namespace).get_metadata_opt(&reference.name).await?;
            match live.map(|l| l.metadata).filter(|l| l.uid.as_ref() == Some(&reference.uid)) {
                None => owners.gone.push(reference.clone()),
                Some(l)
                    if l.deletion_timestamp.is_some()
                        && l.finalizers.iter().flatten().any(|f| f == FOREGROUND) =>
                {
                    owners.waiting.push(reference.clone());
                }
                Some(_) => owners.solid.push(reference.clone()),
            }
        }
        Ok(owners)
    }

    /// The object waits for its dependents: hurry those that block it, or let it go.
    async fn finish_foreground(
        &self,
        uid: &str,
        node: &Node,
        kind: &Served,
        live: &ObjectMeta,
    ) -> Result<Next, Error> {
        let blocking = self.shared.graph.lock().blocking(uid);
        if blocking.is_empty() {
            self.drop_finalizer(kind, node, live, FOREGROUND).await?;
            return Ok(None);
        }
        for (dependent, node) in blocking {
            if !node.deleting {
                self.shared.delete.add(dependent);
            }
        }
        Ok(None)
    }

    async fn orphan(&self, uid: &str) -> Result<Next, Error> {
        let Some(node) = self.shared.graph.lock().get(uid).cloned() else { return Ok(None) };
        let dependents = self.shared.graph.lock().dependents(uid);
        for (dependent_uid, dependent) in dependents {
            let (kind, live) = self.live(&dependent).await?;
            let Some(live) = live.filter(|l| l.uid.as_ref() == Some(&dependent_uid)) else { continue };
            self.unlink(&self.api(&kind, &dependent.namespace), &live, &[uid.to_owned()]).await?;
        }
        let (kind, live) = self.live(&node).await?;
        if let Some(live) = live.filter(|l| l.uid.as_deref() == Some(uid)) {
            self.drop_finalizer(&kind, &node, &live, ORPHAN).await?;
        }
        Ok(None)
    }

    async fn unlink(
        &self,
        api: &Api<DynamicObject>,
        live: &ObjectMeta,
        lost: &[String],
    ) -> Result<(), Error> {
        let rest: Vec<&OwnerReference> =
            live.owner_references.iter().flatten().filter(|o| !lost.contains(&o.uid)).collect();
        let patch = serde_json::json!({"metadata": {
            "uid": live.uid, "resourceVersion": live.resource_version, "ownerReferences": rest,
        }});
        self.patch(api, live, &patch).await
    }

    async fn drop_finalizer(
        &self,
        kind: &Served,
        node: &Node,
        live: &ObjectMeta,
        finalizer: &str,
    ) -> Result<(), Error> {
        let rest: Vec<&String> = live.finalizers.iter().flatten().filter(|f| *f != finalizer).collect();
        if rest.len() == live.finalizers.iter().flatten().count() {
            return Ok(());
        }
        let patch = serde_json::json!({"metadata": {
            "uid": live.uid, "resourceVersion": live.resource_version, "finalizers": rest,
        }});
        self.patch(&self.api(kind, &node.namespace), live, &patch).await
    }

    async fn patch(
        &self,
        api: &Api<DynamicObject>,
        live: &ObjectMeta,
        patch: &serde_json::Value,
    ) -> Result<(), Error> {
        let name = live.name.as_deref().unwrap_or_default();
        match api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(s)) if s.code == 404 => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: &str) -> Vec<OwnerReference> {
        vec![OwnerReference { uid: uid.into(), ..Default::default() }]
    }

    #[test]
    fn verdicts() {
        let (solid, gone, waiting) = (owner("s"), owner("g"), owner("w"));
        let none = Vec::new;
        for (owners, has_dependents, expected) in [
            (Owners { solid: solid.clone(), gone: none(), waiting: none() }, false, Verdict::Keep),
            (
                Owners { solid, gone: gone.clone(), waiting: waiting.clone() },
                false,
                Verdict::Unlink(vec!["g".into(), "w".into()]),
            ),
            (Owners { solid: none(), gone: gone.clone(), waiting: none() }, true, Verdict::Delete),
            (
                Owners { solid: none(), gone: gone.clone(), waiting: waiting.clone() },
                true,
                Verdict::DeleteForeground,
            ),
            (Owners { solid: none(), gone, waiting }, false, Verdict::Delete),
            (Owners::default(), false, Verdict::Keep),
        ] {
            assert_eq!(verdict(&owners, has_dependents), expected, "{owners:?}");
        }
    }
}
