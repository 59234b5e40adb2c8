//! Custom resources: definitions become served resources.
//!
//! What is served follows the cache of definitions and is brought up to date when somebody asks, so a
//! definition is served as soon as its creation is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api_model::Resource;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::kinds::{Custom, Served, api_version};
use super::{Registry, Target, object};
use crate::attributes::{ApiError, UserInfo};
use crate::handlers::options::{DeleteOptions, WriteOptions};
use crate::strategy::Rules;
use crate::watch::Filter;

/// Where definitions are.
pub const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// Holds a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Up to which change of the definitions the served resources are.
#[derive(Default)]
pub struct Synced {
    revision: AtomicU64,
    lock: Mutex<Vec<String>>,
}

impl Registry {
    /// Brings the served custom resources up to date with the definitions.
    pub fn sync_custom(&self) {
        let cache = self.hub.cache(DEFINITIONS);
        if cache.changed() == self.custom.revision.load(Ordering::Acquire) {
            return;
        }
        let mut known = self.custom.lock.lock();
        let (page, changed) = cache.list(&Filter::default(), None, 0);
        let mut names = Vec::with_capacity(page.entries.len());
        for entry in &page.entries {
            let definition = entry.value();
            let name = object::name(&definition).to_owned();
            self.kinds.set_custom(&name, self.served_by(&definition));
            names.push(name);
        }
        for gone in known.iter().filter(|name| !names.contains(name)) {
            self.kinds.set_custom(gone, Vec::new());
        }
        *known = names;
        self.custom.revision.store(changed, Ordering::Release);
    }

    fn served_by(&self, definition: &Value) -> Vec<Arc<Served>> {
        let (group, plural) = (
            object::text(definition, &["spec", "group"]),
            object::text(definition, &["spec", "names", "plural"]),
        );
        let versions = object::items(definition, &["spec", "versions"]);
        let storage = storage_version(definition);
        versions
            .iter()
            .filter_map(|version| {
                let name = object::text(version, &["name"]);
                let resource = Resource::from_definition(&self.model, definition, name)?;
                let subresources = object::at(version, &["subresources"]);
                let status = subresources.get("status").is_some();
                let paths = crate::watch::header::Paths::new(resource.field_labels.clone());
                *self.hub.cache(&format!("{group}/{plural}")).paths.write() = Arc::new(paths);
                Some(Arc::new(Served {
                    resource,
                    storage: format!("{group}/{plural}"),
                    storage_api_version: api_version(group, &storage),
                    rules: Rules::custom(status),
                    custom: Some(Custom {
                        status,
                        scale: subresources.get("scale").cloned(),
                        definition: object::name(definition).to_owned(),
                    }),
                }))
            })
            .collect()
    }

    /// Completes a definition that is written: names, finalizer, and a status that says it is served.
    pub(crate) fn prepare_custom_definition(
        &self,
        target: &Target,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), ApiError> {
        if target.served.storage != DEFINITIONS || !target.subresource.is_empty() {
            return Ok(());
        }
        complete_names(new);
        let causes = wrong_definition(new);
        if !causes.is_empty() {
            return Err(target.invalid(object::name(new), &causes));
        }
        if self.taken_by_built_in(new) {
            let path = api_model::FieldPath::new("spec.group");
            let cause = api_model::Cause::forbidden(&path, "the group and resource are served already");
            return Err(target.invalid(object::name(new), &[cause]));
        }
        if old.is_none() {
            let finalizers = object::meta_mut(new).entry("finalizers").or_insert_with(|| json!([]));
            if let Value::Array(list) = finalizers {
                list.push(json!(CLEANUP));
            }
        }
        let status = established(new, old, &object::timestamp(self.clock.now()));
        object::set(new, "status", status);
        Ok(())
    }

    fn taken_by_built_in(&self, definition: &Value) -> bool {
        let (group, plural) = (
            object::text(definition, &["spec", "group"]),
            object::text(definition, &["spec", "names", "plural"]),
        );
        self.model.resources().iter().any(|known| known.group == group && known.plural == plural)
    }

    /// Removes the objects of definitions that are being deleted, then lets the definitions go.
    pub fn clean_up_definitions(self: &Arc<Self>) {
        let (page, _) = self.hub.cache(DEFINITIONS).list(&Filter::default(), None, 0);
        for entry in page.entries {
            let definition = entry.value();
            if object::terminating(&definition) && object::finalizers(&definition).contains(&CLEANUP) {
                let registry = self.clone();
                self.tasks.spawn("definition-cleanup", async move {
                    if let Err(error) = registry.clean_up(&definition).await {
                        tracing::warn!(error = %kit::Chain(&error), "failed to remove the objects of a definition");
                    }
                });
            }
        }
    }

    async fn clean_up(&self, definition: &Value) -> Result<(), ApiError> {
        let name = object::name(definition);
        let user = Arc::new(UserInfo::new("system:apiserver", &["system:masters"]));
        self.sync_custom();
        let served = self
            .kinds
            .custom()
            .into_iter()
            .find(|served| served.custom.as_ref().is_some_and(|custom| custom.definition == name));
        if let Some(served) = served {
            let cache = self.hub.cache(&served.storage);
            let mut progress = self.hub.follow_progress();
            let (page, _) = cache.list(&Filter::default(), None, 0);
            for entry in page.entries {
                let target =
                    Target::new(served.clone(), entry.namespace(), entry.name(), user.clone()).judged();
                match self.delete(&target, &DeleteOptions::default()).await {
                    Err(error) if error.reason != "NotFound" => return Err(error),
                    _ => {}
                }
            }
            while !cache.is_empty() {
                if progress.changed().await.is_err() {
                    return Ok(());
                }
            }
            cache.end_subscriptions();
        }
        let Some(served) = self.served("apiextensions.k8s.io", "customresourcedefinitions") else {
            return Ok(());
        };
        let target = Target::new(served, "", name, user).judged();
        let options = WriteOptions::internal("apiserver");
        let who = super::manage::Who::updates("apiserver", "");
        let modify = super::modify::Modify {
            target: &target.through("cleanup"),
            options: &options,
            who: &who,
            checked: false,
        };
        let mut let_go = |old: &Value| {
            let mut new = old.clone();
            let rest: Vec<&str> = object::finalizers(old).into_iter().filter(|one| *one != CLEANUP).collect();
            object::set_meta(&mut new, "finalizers", if rest.is_empty() { Value::Null } else { json!(rest) });
            Ok(new)
        };
        match self.modify(&modify, &mut let_go).await {
            Err(error) if error.reason != "NotFound" => Err(error),
            _ => Ok(()),
        }
    }
}

fn storage_version(definition: &Value) -> String {
    let versions = object::items(definition, &["spec", "versions"]);
    let stored = versions.iter().find(|version| object::at(version, &["storage"]) == &json!(true));
    stored.map(|version| object::text(version, &["name"]).to_owned()).unwrap_or_default()
}

fn complete_names(definition: &mut Value) {
    let kind = object::text(definition, &["spec", "names", "kind"]).to_owned();
    let spec = object::map_mut(definition, "spec");
    spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    let names = spec.entry("names").or_insert_with(|| json!({}));
    if let Value::Object(names) = names {
        names.entry("singular").or_insert_with(|| json!(kind.to_lowercase()));
        names.entry("listKind").or_insert_with(|| json!(format!("{kind}List")));
    }
}

fn wrong_definition(definition: &Value) -> Vec<api_model::Cause> {
    let path = api_model::FieldPath::new;
    let mut causes = Vec::new();
    let (group, plural) = (
        object::text(definition, &["spec", "group"]),
        object::text(definition, &["spec", "names", "plural"]),
    );
    let name = object::name(definition);
    if name != format!("{plural}.{group}") {
        causes.push(api_model::Cause::invalid_str(
            &path("metadata.name"),
            name,
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let versions = object::items(definition, &["spec", "versions"]);
    let stored = versions.iter().filter(|version| object::at(version, &["storage"]) == &json!(true)).count();
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        causes.push(api_model::Cause::invalid(
            &path("spec.versions"),
            object::at(definition, &["spec", "versions"]),
            detail,
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        if !object::at(version, &["schema", "openAPIV3Schema"]).is_object() {
            let at = path("spec.versions").index(index).child("schema").child("openAPIV3Schema");
            causes.push(api_model::Cause::required(&at, "schemas are required"));
        }
    }
    if object::text(definition, &["spec", "conversion", "strategy"]) == "Webhook" {
        let at = path("spec.conversion.strategy");
        causes.push(api_model::Cause::unsupported(&at, &json!("Webhook"), &["None"]));
    }
    causes
}

fn established(definition: &Value, old: Option<&Value>, now: &str) -> Value {
    let mut stored: Vec<Value> =
        old.map(|old| object::items(old, &["status", "storedVersions"]).to_vec()).unwrap_or_default();
    let version = json!(storage_version(definition));
    if !stored.contains(&version) {
        stored.push(version);
    }
    let conditions =
        old.map(|old| object::at(old, &["status", "conditions"]).clone()).filter(Value::is_array);
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let conditions = conditions.unwrap_or_else(|| {
        json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ])
    });
    json!({
        "acceptedNames": object::at(definition, &["spec", "names"]),
        "storedVersions": stored,
        "conditions": conditions,
    })
}
