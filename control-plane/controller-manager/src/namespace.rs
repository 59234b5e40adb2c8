//! Namespaces that are being deleted: empties them, then lets them go.

use std::sync::Arc;
use std::time::Duration;

use informers::objects::is_deleting;
use informers::{Error, Informer, Key, Next, Queue};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};

use crate::context::Context;
use crate::discover::{self, Served};

const CONDITIONS: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

struct Controller {
    client: kube::Client,
    namespaces: Informer<Namespace>,
    clock: Arc<dyn kit::Clock>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let namespaces = context.informer::<Namespace>();
    let queue = Queue::new();
    let waiting = queue.clone();
    namespaces.subscribe(move |change| {
        if is_deleting(&change.object().metadata) {
            waiting.add(Key::of(change.object().as_ref()));
        }
    });
    let controller = Arc::new(Controller {
        client: context.client("namespace-controller"),
        namespaces: namespaces.clone(),
        clock: context.clock(),
    });
    context.loops.run(
        "namespace-controller",
        4,
        queue,
        async move { namespaces.synced().await },
        move |key| {
            let controller = controller.clone();
            async move { controller.sync(key).await }
        },
    );
}

/// What is left in a namespace after one round of deletions.
#[derive(Default, Debug)]
struct Left {
    /// `pods. has 2 resource instances` and the like.
    instances: Vec<(String, usize)>,
    /// Finalizers and how many objects wait for each.
    finalizers: std::collections::BTreeMap<String, usize>,
    failures: Vec<String>,
    undiscovered: Vec<String>,
    /// How long to wait for the slowest, when nothing but time is missing.
    wait: Duration,
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(namespace) = self.namespaces.get(&key) else { return Ok(None) };
        if !is_deleting(&namespace.metadata) {
            return Ok(None);
        }
        let finalizers = namespace.spec.as_ref().and_then(|s| s.finalizers.clone()).unwrap_or_default();
        if !finalizers.iter().any(|f| f == "kubernetes") {
            return Ok(None);
        }
        let left = self.empty(&key.name).await?;
        self.tell(&namespace, &left).await?;
        if !left.failures.is_empty() || !left.undiscovered.is_empty() {
            let all = left.failures.iter().chain(&left.undiscovered).cloned().collect::<Vec<_>>();
            return Err(Error::other(format!("the namespace is not empty yet: {}", all.join("; "))));
        }
        if !left.instances.is_empty() {
            // Pods that end gracefully; their deletion is not watched here for every kind there is.
            return Ok(Some(left.wait.clamp(Duration::from_millis(300), Duration::from_secs(5))));
        }
        self.finalize(&key.name, &finalizers).await?;
        Ok(None)
    }

    async fn empty(&self, namespace: &str) -> Result<Left, Error> {
        let (served, undiscovered) = discover::preferred(&self.client).await?;
        let mut left = Left { undiscovered, ..Left::default() };
        for kind in served.iter().filter(|s| s.namespaced && s.can(&["list", "delete"])) {
            if let Err(error) = self.empty_of(namespace, kind, &mut left).await {
                left.failures.push(kit::Chain(&error).to_string());
            }
        }
        Ok(left)
    }

    async fn empty_of(&self, namespace: &str, kind: &Served, left: &mut Left) -> Result<(), Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind.resource);
        let present = match api.list_metadata(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(kube::Error::Api(s)) if matches!(s.code, 404 | 405) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if present.is_empty() {
            return Ok(());
        }
        if kind.can(&["deletecollection"]) {
            api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
        } else {
            for object in present.iter().filter(|o| o.metadata.deletion_timestamp.is_none()) {
                let name = object.metadata.name.as_deref().unwrap_or_default();
                match api.delete(name, &DeleteParams::background()).await {
                    Err(kube::Error::Api(s)) if s.code == 404 => {}
                    other => drop(other?),
                }
            }
        }
        let remaining = api.list_metadata(&ListParams::default()).await?.items;
        if remaining.is_empty() {
            return Ok(());
        }
        let r = &kind.resource;
        left.instances.push((format!("{}.{}", r.plural, r.group), remaining.len()));
        for object in remaining {
            for finalizer in object.metadata.finalizers.unwrap_or_default() {
                *left.finalizers.entry(finalizer).or_default() += 1;
            }
            let grace = object.metadata.deletion_grace_period_seconds.unwrap_or(0);
            left.wait = left.wait.max(Duration::from_secs(u64::try_from(grace).unwrap_or(0)) / 4);
        }
        Ok(())
    }

    /// Writes what is left into the conditions, so that `kubectl get ns -o yaml` says why it takes long.
    async fn tell(&self, namespace: &Namespace, left: &Left) -> Result<(), Error> {
        let mut status = namespace.status.clone().unwrap_or_default();
        let old = status.conditions.clone().unwrap_or_default();
        let new = conditions(&old, left, self.clock.now());
        if new == old {
            return Ok(());
        }
        status.conditions = Some(new);
        let mut changed = namespace.clone();
        changed.status = Some(status);
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let api: Api<Namespace> = Api::all(self.client.clone());
        self.namespaces.observe(api.replace_status(name, &PostParams::default(), &changed).await?);
        Ok(())
    }

    async fn finalize(&self, name: &str, finalizers: &[String]) -> Result<(), Error> {
        let rest: Vec<&String> = finalizers.iter().filter(|f| *f != "kubernetes").collect();
        let api: Api<Namespace> = Api::all(self.client.clone());
        let live = match api.get_opt(name).await? {
            Some(live) => live,
            None => return Ok(()),
        };
        let mut body = serde_json::to_value(&live).map_err(|e| Error::other(e.to_string()))?;
        body["spec"]["finalizers"] = serde_json::json!(rest);
        let bytes = serde_json::to_vec(&body).map_err(|e| Error::other(e.to_string()))?;
        let request = http::Request::put(format!("/api/v1/namespaces/{name}/finalize"))
            .header("content-type", "application/json")
            .body(bytes)
            .map_err(|e| Error::other(e.to_string()))?;
        match self.client.request::<serde_json::Value>(request).await {
            Err(kube::Error::Api(s)) if s.code == 404 => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }
}

fn conditions(old: &[NamespaceCondition], left: &Left, now: Timestamp) -> Vec<NamespaceCondition> {
    let instances = || {
        let each = left.instances.iter().map(|(kind, n)| format!("{kind} has {n} resource instances"));
        format!("Some resources are remaining: {}", each.collect::<Vec<_>>().join(", "))
    };
    let finalizers = || {
        let each = left.finalizers.iter().map(|(name, n)| format!("{name} in {n} resource instances"));
        format!(
            "Some content in the namespace has finalizers remaining: {}",
            each.collect::<Vec<_>>().join(", ")
        )
    };
    CONDITIONS
        .iter()
        .map(|(kind, fine, text)| {
            let bad = match *kind {
                "NamespaceDeletionDiscoveryFailure" => (!left.undiscovered.is_empty()).then(|| {
                    let which = left.undiscovered.join(", ");
                    ("DiscoveryFailed", format!("Discovery failed for some groups: {which}"))
                }),
                "NamespaceDeletionContentFailure" => (!left.failures.is_empty()).then(|| {
                    let which = left.failures.join(", ");
                    ("ContentDeletionFailed", format!("Failed to delete all resource types: {which}"))
                }),
                "NamespaceContentRemaining" => {
                    (!left.instances.is_empty()).then(|| ("SomeResourcesRemain", instances()))
                }
                "NamespaceFinalizersRemaining" => {
                    (!left.finalizers.is_empty()).then(|| ("SomeFinalizersRemain", finalizers()))
                }
                _ => None,
            };
            let (status, reason, message) = match bad {
                Some((reason, message)) => ("True", reason, message),
                None => ("False", *fine, (*text).to_owned()),
            };
            let known = old.iter().find(|c| c.type_ == *kind && c.status == status);
            NamespaceCondition {
                type_: (*kind).to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_transition_time: known.and_then(|k| k.last_transition_time.clone()).or(Some(Time(now))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_what_is_left() {
        let left = Left {
            instances: vec![("pods.".into(), 2)],
            finalizers: [("example.com/wait".to_owned(), 1)].into(),
            ..Left::default()
        };
        let all = conditions(&[], &left, Timestamp::UNIX_EPOCH);
        let of = |kind: &str| all.iter().find(|c| c.type_ == kind).unwrap().clone();
        let remaining = of("NamespaceContentRemaining");
        assert_eq!(remaining.status, "True");
        assert_eq!(
            remaining.message.as_deref(),
            Some("Some resources are remaining: pods. has 2 resource instances")
        );
        assert_eq!(of("NamespaceDeletionContentFailure").status, "False");
        assert_eq!(conditions(&all, &left, Timestamp::MAX), all, "an unchanged state keeps its times");
    }
}
