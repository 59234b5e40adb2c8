//! Keeps the cluster's own flow schemas and priority levels: what was deleted comes back, what must not change is put right, and each
//! schema says whether its level is there.
//!
//! Follows the caches; polls nothing.

use std::sync::Arc;

use serde_json::{Value, json};

use super::schema::level_name;
use crate::attributes::{ApiError, Objects, UserInfo, items, text};
use crate::bootstrap::ensure_seeds;
use crate::bootstrap::flow::{GROUP, seeds};
use crate::handlers::options::WriteOptions;
use crate::registry::manage::Who;
use crate::registry::modify::Modify;
use crate::registry::seed::Seeder;
use crate::registry::{Registry, Target};
use crate::watch::{Filter, Start, Subscription};

const MANAGER: &str = "api-priority-and-fairness-config-producer-v1";
const DANGLING: &str = "Dangling";

/// Keeps one cluster's objects.
pub struct FlowKeeper {
    registry: Arc<Registry>,
    user: Arc<UserInfo>,
}

impl FlowKeeper {
    /// Puts the objects right, then follows the cluster until `tasks` stop.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn start(registry: Arc<Registry>, tasks: &kit::Tasks) -> Result<(), ApiError> {
        let user = Arc::new(UserInfo::new("system:apiserver", &["system:masters"]));
        let keeper = Self { registry, user };
        keeper.keep().await?;
        tasks.spawn("flow-control-objects", async move { keeper.follow().await });
        Ok(())
    }

    fn subscribe(&self, plural: &str) -> Option<Subscription> {
        let hub = &self.registry.hub;
        let progress = hub.progress();
        hub.cache(&format!("{GROUP}/{plural}"))
            .subscribe(Filter::default(), Start::After(progress), progress)
            .ok()
    }

    async fn follow(&self) {
        loop {
            let (schemas, levels) =
                (self.subscribe("flowschemas"), self.subscribe("prioritylevelconfigurations"));
            let (Some(mut schemas), Some(mut levels)) = (schemas, levels) else { return };
            loop {
                if let Err(error) = self.keep().await {
                    tracing::warn!(%error, "failed to keep the flow schemas");
                }
                let change = tokio::select! {
                    change = schemas.next() => change,
                    change = levels.next() => change,
                };
                if change.is_none() {
                    break;
                }
                // What has come meanwhile is looked at together.
                while schemas.ready().is_some() || levels.ready().is_some() {}
            }
        }
    }

    async fn keep(&self) -> Result<(), ApiError> {
        ensure_seeds(seeds(), &Seeder::new(self.registry.clone())).await?;
        for schema in Objects::list(&*self.registry, GROUP, "flowschemas", None) {
            let level = level_name(&schema);
            let exists =
                Objects::get(&*self.registry, GROUP, "prioritylevelconfigurations", "", level).is_some();
            if said(&schema) != Some(!exists) {
                match self.say(text(&schema, "/metadata/name"), level, !exists).await {
                    Err(error) if error.code != 404 => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Writes the condition of a schema.
    async fn say(&self, name: &str, level: &str, dangling: bool) -> Result<(), ApiError> {
        let served = self.registry.served(GROUP, "flowschemas").ok_or_else(ApiError::no_such_path)?;
        let target = Target::new(served, "", name, self.user.clone()).through("status");
        let (reason, fate) =
            if dangling { ("NotFound", "but there is no such object") } else { ("Found", "and it exists") };
        let message = format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {level:?} {fate}"
        );
        let now = jiff::Timestamp::from_second(self.registry.clock.now().as_second())
            .map_err(ApiError::internal)?;
        let condition = json!({
            "type": DANGLING, "status": if dangling { "True" } else { "False" }, "reason": reason, "message": message,
            "lastTransitionTime": now.to_string(),
        });
        let options = WriteOptions::internal(MANAGER);
        let who = Who::updates(MANAGER, "status");
        let modify = Modify { target: &target, options: &options, who: &who, checked: true };
        let change = &mut |schema: &Value| {
            let mut schema = schema.clone();
            let others =
                items(&schema, "/status/conditions").iter().filter(|one| text(one, "/type") != DANGLING);
            let conditions: Vec<Value> = others.cloned().chain([condition.clone()]).collect();
            schema["status"] = json!({"conditions": conditions});
            Ok(schema)
        };
        self.registry.modify(&modify, change).await.map(drop)
    }
}

/// What a schema's condition says now.
fn said(schema: &Value) -> Option<bool> {
    let condition = items(schema, "/status/conditions").iter().find(|one| text(one, "/type") == DANGLING)?;
    match text(condition, "/status") {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}
