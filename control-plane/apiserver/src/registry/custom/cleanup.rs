//! A definition that is being deleted takes its objects with it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{CLEANUP, Summary, conditions};
use crate::attributes::{ApiError, UserInfo};
use crate::handlers::options::{DeleteOptions, WriteOptions};
use crate::registry::manage::Who;
use crate::registry::modify::Modify;
use crate::registry::{Registry, Target, object};
use crate::watch::Filter;

impl Registry {
    /// Removes the objects of definitions that are being deleted, then lets the definitions go.
    pub fn clean_up_definitions(self: &Arc<Self>) {
        for definition in self.definitions() {
            if !definition.cleanup_due || !self.custom.cleaning.lock().insert(definition.name.clone()) {
                continue;
            }
            let registry = self.clone();
            self.tasks.spawn("definition-cleanup", async move {
                let cleaned = registry.clean_up(&definition).await;
                registry.custom.cleaning.lock().remove(&definition.name);
                if let Err(error) = cleaned {
                    tracing::warn!(error = %kit::Chain(&error), "failed to remove the objects of a definition");
                }
            });
        }
    }

    async fn clean_up(&self, definition: &Summary) -> Result<(), ApiError> {
        let name = definition.name.as_str();
        let user = Arc::new(UserInfo::new("system:apiserver", &["system:masters"]));
        self.sync_custom();
        let message = "CustomResource deletion is in progress";
        self.say_terminating(name, "InstanceDeletionInProgress", message).await?;
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
        let mut let_go = |old: &Value| {
            let mut new = old.clone();
            let rest: Vec<&str> = object::finalizers(old).into_iter().filter(|one| *one != CLEANUP).collect();
            object::set_meta(&mut new, "finalizers", if rest.is_empty() { Value::Null } else { json!(rest) });
            Ok(new)
        };
        self.change_definition(name, "cleanup", &mut let_go).await?;
        self.sync_custom();
        self.reconsider(&definition.group).await
    }

    async fn say_terminating(&self, name: &str, reason: &str, message: &str) -> Result<(), ApiError> {
        let now = object::timestamp(self.clock.now());
        let mut say = |old: &Value| {
            let mut new = old.clone();
            let mut said = object::items(old, &["status", "conditions"]).to_vec();
            conditions::set(&mut said, ("Terminating", "True"), reason, message, &now);
            object::map_mut(&mut new, "status").insert("conditions".to_owned(), json!(said));
            Ok(new)
        };
        self.change_definition(name, "status", &mut say).await
    }

    /// Names that a definition gave up may be another's now.
    pub(crate) async fn reconsider(&self, group: &str) -> Result<(), ApiError> {
        for definition in self.definitions() {
            if definition.group != group || definition.names_accepted {
                continue;
            }
            let mut again = |old: &Value| {
                let mut new = old.clone();
                let status = self.definition_status(old, Some(old));
                object::set(&mut new, "status", status);
                Ok(new)
            };
            self.change_definition(&definition.name, "status", &mut again).await?;
            self.sync_custom();
        }
        Ok(())
    }

    async fn change_definition(
        &self,
        name: &str,
        subresource: &str,
        change: &mut (dyn FnMut(&Value) -> Result<Value, ApiError> + Send),
    ) -> Result<(), ApiError> {
        let Some(served) = self.served("apiextensions.k8s.io", "customresourcedefinitions") else {
            return Ok(());
        };
        let user = Arc::new(UserInfo::new("system:apiserver", &["system:masters"]));
        let target = Target::new(served, "", name, user).judged().through(subresource);
        let options = WriteOptions::internal("kube-apiserver");
        let who = Who::updates("kube-apiserver", if subresource == "status" { "status" } else { "" });
        let modify = Modify { target: &target, options: &options, who: &who, checked: false };
        match self.modify(&modify, change).await {
            Err(error) if error.reason != "NotFound" => Err(error),
            _ => Ok(()),
        }
    }
}
