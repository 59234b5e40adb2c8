//! The activity log: what was done to the cloud, by whom, and how it ended. Durable and bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Caller, ResourceId, Resources, StoreError, Table};

/// How many events are kept.
pub const EVENTS_MAX: usize = 5_000;

/// One event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Orders events; unique.
    pub key: String,
    /// RFC 3339.
    pub at: String,
    /// `Microsoft.Network/virtualNetworks/write`.
    pub action: String,
    /// `Started`, `Succeeded`, `Failed`.
    pub status: String,
    /// The HTTP status.
    pub http_status: u16,
    /// On what.
    pub resource: ResourceId,
    /// Who: application id or user name.
    pub caller: String,
    /// Their object id.
    pub caller_id: String,
    /// Ties events together.
    pub correlation_id: String,
    /// The error's code and message, if it failed.
    pub error: Option<String>,
    /// `Administrative`.
    pub category: String,
}

/// The log.
#[derive(Clone)]
pub struct Activity {
    table: Table,
    events: Arc<RwLock<BTreeMap<String, Event>>>,
}

impl Activity {
    pub(crate) fn open(resources: &Resources) -> Result<Self, StoreError> {
        let table = resources.table("activity");
        let events = table.list::<Event>("")?.into_iter().collect();
        Ok(Self { table, events: Arc::new(RwLock::new(events)) })
    }

    /// Notes an event: it can be read at once, and is on disk after [`write`](Self::write).
    pub(crate) fn note(&self, event: &Event) {
        self.events.write().insert(event.key.clone(), event.clone());
    }

    /// Writes a noted event down, and forgets the oldest.
    pub(crate) async fn write(&self, event: Event) -> Result<(), StoreError> {
        self.table.put(&event.key, &event).await?;
        let old: Vec<String> = {
            let events = self.events.read();
            let surplus =
                if events.len() > EVENTS_MAX + EVENTS_MAX / 10 { events.len() - EVENTS_MAX } else { 0 };
            events.keys().take(surplus).cloned().collect()
        };
        if !old.is_empty() {
            self.table.remove_all(&old).await?;
            let mut events = self.events.write();
            for key in &old {
                events.remove(key);
            }
        }
        Ok(())
    }

    /// The newest first.
    pub fn events(&self) -> Vec<Event> {
        self.events.read().values().rev().cloned().collect()
    }
}

impl Event {
    pub(crate) fn new(
        at: jiff::Timestamp,
        action: &str,
        resource: &ResourceId,
        caller: &Caller,
        correlation_id: &str,
        outcome: Result<u16, (&crate::ArmError, u16)>,
    ) -> Self {
        let (status, http_status, error) = match outcome {
            Ok(202) => ("Accepted", 202, None),
            Ok(code) => ("Succeeded", code, None),
            Err((error, code)) => ("Failed", code, Some(error.to_string())),
        };
        Self {
            key: format!("{:020}-{}", at.as_nanosecond().max(0), uuid::Uuid::new_v4().simple()),
            at: at.to_string(),
            action: action.to_owned(),
            status: status.to_owned(),
            http_status,
            resource: resource.clone(),
            caller: caller.name.clone(),
            caller_id: caller.object_id.clone(),
            correlation_id: correlation_id.to_owned(),
            error,
            category: "Administrative".to_owned(),
        }
    }

    /// As the log's list shows it.
    pub fn to_json(&self) -> Value {
        let both = |text: &str| json!({"value": text, "localizedValue": text});
        let subscription = self.resource.subscription().unwrap_or("");
        json!({
            "id": format!("{}/events/{}/ticks/{}", self.resource, self.correlation_id, self.key),
            "eventDataId": self.key.rsplit('-').next(), "correlationId": self.correlation_id,
            "operationId": self.correlation_id, "eventTimestamp": self.at, "submissionTimestamp": self.at,
            "level": if self.error.is_some() { "Error" } else { "Informational" },
            "operationName": both(&self.action), "status": both(&self.status),
            "subStatus": {"value": self.http_status.to_string(), "localizedValue": self.http_status.to_string()},
            "category": both(&self.category), "eventName": both(if self.http_status == 202 { "Begin request" } else { "End request" }),
            "resourceId": self.resource, "resourceGroupName": self.resource.group().unwrap_or(""),
            "resourceProviderName": both(self.resource.namespace()), "resourceType": both(&self.resource.resource_type()),
            "subscriptionId": subscription, "caller": self.caller, "channels": "Operation",
            "claims": {"http://schemas.microsoft.com/identity/claims/objectidentifier": self.caller_id},
            "authorization": {"action": self.action, "scope": self.resource},
            "description": "", "properties": self.error.as_ref().map(|e| json!({"statusMessage": e})),
        })
    }
}
