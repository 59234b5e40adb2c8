//! Long-running operations: durable records, and waiting by notification.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use kit::Clock;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::activity::CAUSE;
use crate::{ArmError, ResourceId, Resources, Table};

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationStatus {
    /// Going on.
    InProgress,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Given up on demand.
    Canceled,
}

impl OperationStatus {
    /// Whether it will not change any more.
    pub fn is_final(self) -> bool {
        self != OperationStatus::InProgress
    }
}

/// What an operation does to its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// PUT or PATCH.
    Write,
    /// DELETE: success forgets the resource.
    Delete,
    /// POST.
    Action,
}

/// The durable record of an operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationRecord {
    /// A GUID.
    pub id: String,
    /// On which resource.
    pub resource: ResourceId,
    /// `create`, `delete`, `stop`, …: the provider's word for it.
    pub name: String,
    /// What it does.
    pub deed: Deed,
    /// `eastus`, part of the URL.
    pub location: String,
    /// How far.
    pub status: OperationStatus,
    /// Since when, RFC 3339.
    pub start_time: String,
    /// When it ended.
    pub end_time: Option<String>,
    /// 0 to 100.
    pub percent_complete: Option<f64>,
    /// Why it failed.
    pub error: Option<ArmError>,
    /// What `Location` shows at the end of an action.
    pub result: Option<Value>,
    /// Anything the provider wants to see in the status body.
    pub properties: Option<Value>,
    /// The request that started it, for the activity log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<crate::activity::Cause>>,
}

impl OperationRecord {
    /// The status body that clients poll.
    pub fn to_json(&self, path: &str) -> Value {
        let mut body = json!({
            "id": path, "name": self.id, "status": self.status, "startTime": self.start_time,
            "resourceId": self.resource,
        });
        if let Some(end) = &self.end_time {
            body["endTime"] = json!(end);
        }
        if let Some(percent) = self.percent_complete {
            body["percentComplete"] = json!(percent);
        }
        if let Some(error) = &self.error {
            body["error"] = error.inner();
        }
        if let Some(properties) = &self.properties {
            body["properties"] = properties.clone();
        }
        body
    }
}

type Work = Pin<Box<dyn Future<Output = Result<Option<Value>, ArmError>> + Send>>;

/// A handle on one operation. Clones are the same operation.
#[derive(Clone)]
pub struct Operation {
    id: String,
    operations: Operations,
    work: Arc<Mutex<Option<Work>>>,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operation({})", self.id)
    }
}

impl Operation {
    /// Its id, a GUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Attaches the work. The framework starts it once the resource is stored; its end is the operation's end.
    pub fn work<F>(self, work: F) -> Self
    where
        F: Future<Output = Result<(), ArmError>> + Send + 'static,
    {
        self.work_with_result(async move { work.await.map(|()| None) })
    }

    /// The same for work with a result, which `Location` shows in the end.
    pub fn work_with_result<F>(self, work: F) -> Self
    where
        F: Future<Output = Result<Option<Value>, ArmError>> + Send + 'static,
    {
        *self.work.lock() = Some(Box::pin(work));
        self
    }

    /// Says how far it is, 0 to 100.
    pub async fn progress(&self, percent: f64) -> Result<(), ArmError> {
        self.operations.progress(&self.id, percent).await
    }

    /// Ends it well.
    pub async fn succeed(&self) -> Result<(), ArmError> {
        self.operations.succeed(&self.id, None).await
    }

    /// Ends it well with a result.
    pub async fn succeed_with(&self, result: Value) -> Result<(), ArmError> {
        self.operations.succeed(&self.id, Some(result)).await
    }

    /// Ends it badly.
    pub async fn fail(&self, error: ArmError) -> Result<(), ArmError> {
        self.operations.fail(&self.id, error).await
    }

    /// Ends it as cancelled.
    pub async fn cancel(&self, error: Option<ArmError>) -> Result<(), ArmError> {
        self.operations.cancel(&self.id, error).await
    }

    /// The record now.
    pub fn record(&self) -> Option<OperationRecord> {
        self.operations.get(&self.id)
    }

    pub(crate) fn start(&self, tasks: &kit::Tasks) {
        let Some(work) = self.work.lock().take() else { return };
        let this = self.clone();
        tasks.spawn("arm operation", async move {
            let ended = match work.await {
                Ok(result) => this.operations.succeed(&this.id, result).await,
                Err(error) => this.operations.fail(&this.id, error).await,
            };
            if let Err(error) = ended {
                tracing::error!(operation = this.id, error = %kit::Chain(&error), "failed to record an operation's end");
            }
        });
    }
}

struct Inner {
    table: Table,
    resources: Resources,
    clock: Arc<dyn Clock>,
    records: RwLock<BTreeMap<String, OperationRecord>>,
    changed: watch::Sender<u64>,
    turn: tokio::sync::Mutex<()>,
    ended: OnceLock<Listener>,
}

/// Told of each operation that has ended.
type Listener = Box<dyn Fn(&OperationRecord) + Send + Sync>;

/// All operations. Cheap to clone.
#[derive(Clone)]
pub struct Operations(Arc<Inner>);

/// How many ended operations are kept.
const ENDED_MAX: usize = 2_000;

impl Operations {
    pub(crate) fn open(resources: &Resources, clock: Arc<dyn Clock>) -> Result<Self, crate::StoreError> {
        let table = resources.table("operations");
        let records = table.list::<OperationRecord>("")?.into_iter().collect();
        Ok(Self(Arc::new(Inner {
            table,
            resources: resources.clone(),
            clock,
            records: RwLock::new(records),
            changed: watch::Sender::new(0),
            turn: tokio::sync::Mutex::default(),
            ended: OnceLock::new(),
        })))
    }

    /// Names who is told of each operation that has ended; the first stays.
    pub(crate) fn on_end(&self, listener: impl Fn(&OperationRecord) + Send + Sync + 'static) {
        let _ = self.0.ended.set(Box::new(listener));
    }

    fn handle(&self, id: &str) -> Operation {
        Operation { id: id.to_owned(), operations: self.clone(), work: Arc::default() }
    }

    /// Starts an operation on a resource; on disk when it returns. The operation of a PUT or PATCH.
    pub async fn create(
        &self,
        resource: &ResourceId,
        name: &str,
        location: &str,
    ) -> Result<Operation, ArmError> {
        self.begin(resource, name, location, Deed::Write).await
    }

    /// Starts the operation of a DELETE: its success forgets the resource.
    pub async fn create_delete(&self, resource: &ResourceId, location: &str) -> Result<Operation, ArmError> {
        self.begin(resource, "delete", location, Deed::Delete).await
    }

    /// Starts the operation of a POST.
    pub async fn create_action(
        &self,
        resource: &ResourceId,
        name: &str,
        location: &str,
    ) -> Result<Operation, ArmError> {
        self.begin(resource, name, location, Deed::Action).await
    }

    async fn begin(
        &self,
        resource: &ResourceId,
        name: &str,
        location: &str,
        deed: Deed,
    ) -> Result<Operation, ArmError> {
        let record = OperationRecord {
            id: uuid::Uuid::new_v4().to_string(),
            resource: resource.clone(),
            name: name.to_owned(),
            deed,
            location: location.to_owned(),
            status: OperationStatus::InProgress,
            start_time: self.0.clock.now().to_string(),
            end_time: None,
            percent_complete: None,
            error: None,
            result: None,
            properties: None,
            cause: CAUSE.try_with(|cause| cause.lock().clone().map(Box::new)).ok().flatten(),
        };
        self.0.table.put(&record.id, &record).await?;
        let operation = self.handle(&record.id);
        self.0.records.write().insert(record.id.clone(), record);
        Ok(operation)
    }

    /// The record of an operation.
    pub fn get(&self, id: &str) -> Option<OperationRecord> {
        self.0.records.read().get(id).cloned()
    }

    /// A handle on an operation that exists.
    pub fn find(&self, id: &str) -> Option<Operation> {
        self.0.records.read().contains_key(id).then(|| self.handle(id))
    }

    /// Those that have not ended, oldest first.
    pub fn running(&self) -> Vec<OperationRecord> {
        let mut found: Vec<_> =
            self.0.records.read().values().filter(|r| !r.status.is_final()).cloned().collect();
        found.sort_by(|a, b| a.start_time.cmp(&b.start_time));
        found
    }

    async fn change(&self, id: &str, change: impl FnOnce(&mut OperationRecord)) -> Result<(), ArmError> {
        let _turn = self.0.turn.lock().await;
        let Some(mut record) = self.get(id) else { return Ok(()) };
        if record.status.is_final() {
            return Ok(());
        }
        change(&mut record);
        if record.status.is_final() {
            record.end_time = Some(self.0.clock.now().to_string());
        }
        if record.deed == Deed::Delete && record.status == OperationStatus::Succeeded {
            // In one step: a resource that is gone has no deletion that is still going on.
            let ended = self.0.table.change(id, &record)?;
            self.0.resources.remove_with(&record.resource, vec![ended]).await?;
        } else {
            self.0.table.put(id, &record).await?;
        }
        if let Some(listener) = self.0.ended.get().filter(|_| record.status.is_final()) {
            listener(&record);
        }
        self.0.records.write().insert(id.to_owned(), record);
        self.0.changed.send_modify(|n| *n += 1);
        self.prune().await
    }

    async fn prune(&self) -> Result<(), ArmError> {
        let old: Vec<String> = {
            let records = self.0.records.read();
            if records.len() <= ENDED_MAX + ENDED_MAX / 4 {
                return Ok(());
            }
            let mut ended: Vec<_> = records.values().filter(|r| r.status.is_final()).collect();
            ended.sort_by(|a, b| a.start_time.cmp(&b.start_time));
            let surplus = ended.len().saturating_sub(ENDED_MAX);
            ended.iter().take(surplus).map(|r| r.id.clone()).collect()
        };
        self.0.table.remove_all(&old).await?;
        let mut records = self.0.records.write();
        for id in &old {
            records.remove(id);
        }
        Ok(())
    }

    /// Says how far an operation is, 0 to 100. One that has ended is left alone, here and below.
    pub async fn progress(&self, id: &str, percent: f64) -> Result<(), ArmError> {
        self.change(id, |r| r.percent_complete = Some(percent)).await
    }

    /// Ends an operation well.
    pub async fn succeed(&self, id: &str, result: Option<Value>) -> Result<(), ArmError> {
        self.change(id, |r| {
            r.status = OperationStatus::Succeeded;
            r.result = result;
        })
        .await
    }

    /// Ends an operation badly.
    pub async fn fail(&self, id: &str, error: ArmError) -> Result<(), ArmError> {
        self.change(id, |r| {
            r.status = OperationStatus::Failed;
            r.error = Some(error);
        })
        .await
    }

    /// Ends an operation as cancelled.
    pub async fn cancel(&self, id: &str, error: Option<ArmError>) -> Result<(), ArmError> {
        self.change(id, |r| {
            r.status = OperationStatus::Canceled;
            r.error = error;
        })
        .await
    }

    /// Waits for the end of an operation. `None`: there is none with this id.
    pub async fn wait(&self, id: &str) -> Option<OperationRecord> {
        let mut changed = self.0.changed.subscribe();
        loop {
            let record = self.get(id)?;
            if record.status.is_final() || changed.changed().await.is_err() {
                return Some(record);
            }
        }
    }
}
