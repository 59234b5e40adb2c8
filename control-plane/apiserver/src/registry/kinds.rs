//! Which resources are served, each with the place where its objects are stored.
//!
//! Built-in kinds come from the model; custom ones are added and removed while the server runs. A resource
//! that several groups or versions serve (events, autoscalers) has one place.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use api_model::{Model, Resource};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::{convert, object};
use crate::strategy::Rules;

/// A resource as one version of one group serves it.
pub struct Served {
    /// What the model says.
    pub resource: Resource,
    /// `<group or core>/<plural>` in the store.
    pub storage: String,
    /// `apiVersion` of the stored objects.
    pub storage_api_version: String,
    /// The schema of the stored objects of a built-in kind, where they are of another version.
    pub storage_schema: Option<Arc<api_model::Schema>>,
    /// What data cannot say.
    pub rules: Rules,
    /// The definition, for custom resources.
    pub custom: Option<Custom>,
}

/// What a custom resource's definition adds.
#[derive(Debug, Clone, Default)]
pub struct Custom {
    /// Whether `/status` is served.
    pub status: bool,
    /// `spec.versions[].subresources.scale`.
    pub scale: Option<Value>,
    /// The definition's name.
    pub definition: String,
    /// A hash of what the definition says.
    pub content: u64,
    /// The rules of this version's schema, compiled at first use.
    pub rules: Option<Arc<super::custom::LateRules>>,
    /// The schema of the version in which objects are stored.
    pub storage_schema: Option<Arc<api_model::Schema>>,
    /// How versions are converted, when not by name only.
    pub conversion: Option<Arc<super::custom::convert::Conversion>>,
    /// Objects changed before this revision may be stored as the definition was then.
    pub since: u64,
    /// The definition is being deleted.
    pub terminating: bool,
}

/// `v1` or `group/version`.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

impl Served {
    /// A built-in resource.
    pub fn built_in(resource: &Resource) -> Self {
        let place = convert::storage_of(&resource.group, &resource.version, &resource.plural);
        Self {
            rules: Rules::of(resource),
            storage: place.name,
            storage_api_version: place.api_version,
            storage_schema: None,
            resource: resource.clone(),
            custom: None,
        }
    }

    /// `apiVersion` of objects as this version serves them.
    pub fn api_version(&self) -> String {
        api_version(&self.resource.group, &self.resource.version)
    }

    /// Whether stored bytes can go out as they are.
    pub fn is_storage_version(&self) -> bool {
        self.storage_api_version == self.api_version()
    }

    /// Whether this entry's bytes are what this version shows.
    pub fn is_as_stored(&self, entry: &crate::watch::Entry) -> bool {
        let current = self.custom.as_ref().is_none_or(|custom| entry.revision >= custom.since);
        self.is_storage_version() && current
    }

    /// The key prefix of all objects.
    pub fn prefix(&self) -> String {
        format!("{}{}/", crate::watch::hub::ROOT, self.storage)
    }

    /// What upstream's keys of these objects begin with, behind `/registry/`: some of its messages show them.
    pub fn upstream_key(&self) -> String {
        let (group, plural) = (self.resource.group.as_str(), self.resource.plural.as_str());
        match (group, plural) {
            ("", "nodes") => "minions".to_owned(),
            ("", "services") => "services/specs".to_owned(),
            ("", "endpoints") => "services/endpoints".to_owned(),
            ("", "replicationcontrollers") => "controllers".to_owned(),
            ("networking.k8s.io", "ingresses") => "ingress".to_owned(),
            ("apiregistration.k8s.io" | "apiextensions.k8s.io", _) => format!("{group}/{plural}"),
            _ if self.custom.is_some() => format!("{group}/{plural}"),
            _ => plural.to_owned(),
        }
    }

    /// The key of one object.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.resource.namespaced {
            [&*self.prefix(), namespace, "/", name].concat()
        } else {
            [&*self.prefix(), name].concat()
        }
    }

    /// Whether the subresource is served.
    pub fn has_subresource(&self, name: &str) -> bool {
        match &self.custom {
            Some(custom) => {
                (name == "status" && custom.status) || (name == "scale" && custom.scale.is_some())
            }
            None => self.resource.subresources.iter().any(|sub| sub.name == name),
        }
    }

    /// Whether the verb is served.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.resource.verbs.iter().any(|known| known == verb)
    }

    /// Turns an object of this version into the stored one.
    pub fn to_storage(&self, object: Value) -> Value {
        let mut stored = convert::convert(object, &self.resource.kind, &self.storage_api_version);
        if let Some(schema) = &self.storage_schema {
            schema.settle_stored(&mut stored);
        }
        stored
    }

    /// The bytes to store of an object in this version.
    pub fn encode(&self, object: &Value) -> Bytes {
        if self.is_storage_version() {
            return object::encode(object);
        }
        object::encode(&self.to_storage(object.clone()))
    }

    /// Turns a stored object into one of this version.
    pub fn from_storage(&self, object: Value) -> Value {
        let mut shown = convert::convert(object, &self.resource.kind, &self.api_version());
        if self.storage_schema.is_some() {
            self.resource.schema.settle_stored(&mut shown);
        }
        shown
    }
}

type Name = (String, String, String);

type ByName = HashMap<Name, Arc<Served>>;

/// The built-in resources of each model in use: clusters of one version share them.
static BUILT_IN: Mutex<Vec<(Weak<Model>, Weak<ByName>)>> = Mutex::new(Vec::new());

fn built_in(model: &Arc<Model>) -> Arc<ByName> {
    let mut known = BUILT_IN.lock();
    known.retain(|(model, _)| model.strong_count() > 0);
    let found = known.iter().find(|(of, _)| of.as_ptr() == Arc::as_ptr(model));
    if let Some(shared) = found.and_then(|(_, shared)| shared.upgrade()) {
        return shared;
    }
    let of = |resource: &Resource| {
        let name = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
        let mut served = Served::built_in(resource);
        if !served.is_storage_version() {
            let (group, version) =
                served.storage_api_version.rsplit_once('/').unwrap_or(("", &served.storage_api_version));
            served.storage_schema =
                model.resource(group, version, &resource.plural).map(|stored| stored.schema.clone());
        }
        (name, Arc::new(served))
    };
    let made: Arc<ByName> = Arc::new(model.resources().iter().map(of).collect());
    known.retain(|(of, _)| of.as_ptr() != Arc::as_ptr(model));
    known.push((Arc::downgrade(model), Arc::downgrade(&made)));
    made
}

/// All served resources by group, version and plural.
pub struct Kinds {
    built_in: Arc<ByName>,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    by_name: ByName,
    custom: Vec<Arc<Served>>,
    generation: u64,
}

impl Kinds {
    /// The model's resources.
    pub fn new(model: &Arc<Model>) -> Self {
        Self { built_in: built_in(model), table: RwLock::default() }
    }

    /// The resource, if it is served.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Served>> {
        let name = (group.to_owned(), version.to_owned(), plural.to_owned());
        if let Some(served) = self.built_in.get(&name) {
            return Some(served.clone());
        }
        self.table.read().by_name.get(&name).cloned()
    }

    /// Whether a group's version is served by the server itself, whatever its resources.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.built_in.keys().any(|(known, of, _)| known == group && of == version)
    }

    /// The resource in whatever version, by group and plural; the storage version when there is a choice.
    pub fn any_version(&self, group: &str, plural: &str) -> Option<Arc<Served>> {
        let is_it = |served: &Arc<Served>| served.resource.group == group && served.resource.plural == plural;
        let mut found: Vec<Arc<Served>> = self.all().into_iter().filter(is_it).collect();
        found.sort_by_key(|served| !served.is_storage_version());
        found.into_iter().next()
    }

    /// All resources, custom ones included.
    pub fn all(&self) -> Vec<Arc<Served>> {
        self.built_in.values().chain(self.table.read().by_name.values()).cloned().collect()
    }

    /// The custom resources.
    pub fn custom(&self) -> Vec<Arc<Served>> {
        self.table.read().custom.clone()
    }

    /// Replaces the custom resources of one definition; none removes them.
    pub fn set_custom(&self, definition: &str, served: Vec<Arc<Served>>) {
        let mut table = self.table.write();
        let of =
            |served: &Served| served.custom.as_ref().is_some_and(|custom| custom.definition == definition);
        table.by_name.retain(|_, known| !of(known));
        table.custom.retain(|known| !of(known));
        for served in served {
            let resource = &served.resource;
            let name = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
            if table.by_name.contains_key(&name) || self.built_in.contains_key(&name) {
                continue;
            }
            table.by_name.insert(name, served.clone());
            table.custom.push(served);
        }
        table.generation += 1;
    }

    /// Grows with every change of the custom resources.
    pub fn generation(&self) -> u64 {
        self.table.read().generation
    }
}
