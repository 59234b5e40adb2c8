//! Who owns what: adopts orphans that match a selector, releases what no longer matches.

use std::sync::Arc;

use informers::objects::{controlled_by, controller_of, is_deleting, uid};
use informers::{Error, Informer, Object, selector};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::api::{Api, Patch, PatchParams};

/// What an owner claims from.
pub(crate) struct Claim<'a, O: Object, K: Object> {
    pub client: &'a kube::Client,
    pub owner: &'a O,
    pub selector: &'a LabelSelector,
    pub objects: &'a Informer<K>,
}

impl<O, K> Claim<'_, O, K>
where
    O: Object + kube::Resource<Scope = NamespaceResourceScope>,
    K: Object + kube::Resource<Scope = NamespaceResourceScope>,
{
    /// The objects the owner controls after adopting and releasing. `eligible` says which orphans may be adopted.
    pub async fn run(&self, eligible: impl Fn(&K) -> bool) -> Result<Vec<Arc<K>>, Error> {
        let meta = self.owner.meta();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let leaving = is_deleting(meta);
        let mut mine = Vec::new();
        for object in self.objects.controlled_by(uid(meta)) {
            if object.meta().namespace.as_deref() != Some(namespace) {
                continue;
            }
            let matches = selector::matches_opt(self.selector, object.meta().labels.as_ref());
            if matches || leaving {
                mine.push(object);
            } else {
                self.release(&api, &object).await?;
            }
        }
        if leaving || selector::is_empty(self.selector) {
            return Ok(mine);
        }
        let orphans: Vec<Arc<K>> = self
            .objects
            .list_in(namespace)
            .into_iter()
            .filter(|o| controller_of(o.meta()).is_none() && !is_deleting(o.meta()))
            .filter(|o| selector::matches_opt(self.selector, o.meta().labels.as_ref()) && eligible(o))
            .collect();
        if orphans.is_empty() || !self.still_there(namespace).await? {
            return Ok(mine);
        }
        for orphan in orphans {
            mine.extend(self.adopt(&api, &orphan).await?);
        }
        Ok(mine)
    }

    /// Adoption looks at the owner itself, not at the cache: a deleted owner must not adopt.
    async fn still_there(&self, namespace: &str) -> Result<bool, Error> {
        let api: Api<O> = Api::namespaced(self.client.clone(), namespace);
        let name = self.owner.meta().name.as_deref().unwrap_or_default();
        let live = api.get_opt(name).await?;
        Ok(live.is_some_and(|l| l.meta().uid == self.owner.meta().uid && !is_deleting(l.meta())))
    }

    async fn adopt(&self, api: &Api<K>, object: &K) -> Result<Option<Arc<K>>, Error> {
        let mut owners = object.meta().owner_references.clone().unwrap_or_default();
        owners.push(controlled_by(self.owner));
        Ok(self.set_owners(api, object, &owners).await?.map(Arc::new))
    }

    async fn release(&self, api: &Api<K>, object: &K) -> Result<(), Error> {
        let owner = uid(self.owner.meta());
        let owners: Vec<OwnerReference> =
            object.meta().owner_references.iter().flatten().filter(|o| o.uid != owner).cloned().collect();
        self.set_owners(api, object, &owners).await?;
        Ok(())
    }

    async fn set_owners(
        &self,
        api: &Api<K>,
        object: &K,
        owners: &[OwnerReference],
    ) -> Result<Option<K>, Error> {
        let meta = object.meta();
        let patch = serde_json::json!({"metadata": {
            "uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners,
        }});
        let name = meta.name.as_deref().unwrap_or_default();
        match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(changed) => {
                self.objects.observe(changed.clone());
                Ok(Some(changed))
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 422) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
