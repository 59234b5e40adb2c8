//! The chain over objects in a map.

use std::sync::Arc;

use api_model::{Model, Resource};
use kit::Tasks;
use kit::pki::Authority;
use serde_json::json;

use super::*;
use crate::attributes::fake::Fake;
use crate::attributes::{Notes, Options, UserInfo, items, text};
use crate::tunnel::Tunnels;

mod mutations;
mod nodes;
mod plugins;
mod policies;
mod webhooks;

struct World {
    model: Arc<Model>,
    objects: Arc<Fake>,
    chain: Chain,
    notes: Notes,
}

/// Built-in kinds over the objects of a test.
struct Stand {
    model: Arc<Model>,
    objects: Arc<Fake>,
}

#[async_trait]
impl Backend for Stand {
    fn equivalents(&self, resource: &Resource) -> Vec<Arc<Served>> {
        let same = |other: &&Resource| other.group == resource.group && other.plural == resource.plural;
        self.model.resources().iter().filter(same).map(|one| Arc::new(Served::built_in(one))).collect()
    }

    fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Served>> {
        self.model.by_kind(group, version, kind).map(|one| Arc::new(Served::built_in(one)))
    }

    fn schema(&self, group: &str, version: &str, kind: &str) -> Option<Arc<api_model::Schema>> {
        self.model.kind_schema(group, version, kind).map(Arc::new)
    }

    async fn convert(&self, object: Value, from: &Served, to: &Served) -> Result<Value, ApiError> {
        Ok(to.from_storage(from.to_storage(object)))
    }

    async fn store_quota(&self, quota: &Value, status: Value) -> Result<bool, ApiError> {
        let (namespace, name) = (text(quota, "/metadata/namespace"), text(quota, "/metadata/name"));
        let same = self.objects.get("", "resourcequotas", namespace, name).is_some_and(|now| *now == *quota);
        if same {
            let mut new = quota.clone();
            new["status"] = status;
            self.objects.put("", "resourcequotas", new);
        }
        Ok(same)
    }
}

fn world() -> World {
    world_of("1.35")
}

fn world_of(minor: &str) -> World {
    let objects = Fake::with_roles();
    objects.put("", "namespaces", json!({"metadata": {"name": "a"}, "status": {"phase": "Active"}}));
    objects.put(
        "",
        "serviceaccounts",
        json!({"metadata": {"name": "default", "namespace": "a"}, "imagePullSecrets": [{"name": "pull"}]}),
    );
    objects.put(
        "scheduling.k8s.io",
        "priorityclasses",
        json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}),
    );
    let authority = Authority::new("ca", std::time::Duration::from_secs(86_400)).unwrap();
    let kubelets = Arc::new(Kubelets::new(&authority, Tunnels::new(&Tasks::new())).unwrap());
    let authorizer = Arc::new(Authorizer::new(objects.clone()));
    let model = Model::load(minor).unwrap();
    let backend = Arc::new(Stand { model: model.clone(), objects: objects.clone() });
    let chain = Chain::new(objects.clone(), authorizer, kubelets, backend);
    World { model, objects, chain, notes: Notes::default() }
}

#[derive(Clone)]
struct Ask<'a> {
    world: &'a World,
    operation: Operation,
    dry_run: bool,
    path: (&'a str, &'a str, &'a str),
    user: UserInfo,
    old: Option<Value>,
}

impl World {
    fn resource(&self, group: &str, plural: &str) -> &Resource {
        let mut all = self.model.resources().iter().filter(|one| one.group == group && one.plural == plural);
        all.next().unwrap()
    }

    fn create<'a>(&'a self, group: &'a str, plural: &'a str) -> Ask<'a> {
        let user = UserInfo::new("jane", &["system:authenticated"]);
        Ask {
            world: self,
            operation: Operation::Create,
            dry_run: false,
            path: (group, plural, ""),
            user,
            old: None,
        }
    }
}

impl Ask<'_> {
    async fn admit(&self, mut object: Value) -> Result<Value, String> {
        let (group, plural, subresource) = self.path;
        let served = Served::built_in(self.world.resource(group, plural));
        let (namespace, name) =
            (text(&object, "/metadata/namespace").to_owned(), text(&object, "/metadata/name").to_owned());
        let mut request = AdmissionRequest {
            operation: self.operation,
            resource: &served.resource,
            subresource,
            namespace: &namespace,
            name: &name,
            user: &self.user,
            object: Some(&mut object).filter(|_| self.operation != Operation::Delete),
            old: self.old.as_ref(),
            options: Options::DryRun(self.dry_run),
            notes: &self.world.notes,
        };
        self.world.chain.mutate(&mut request, &served).await.map_err(|error| error.message)?;
        self.world.chain.validate(&mut request, &served).await.map_err(|error| error.message)?;
        Ok(object)
    }
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}
