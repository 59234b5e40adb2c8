//! Objects of custom kinds in another version: renamed only, or by a webhook.
//!
//! Whatever the way, what the wanted version's schema does not know is dropped and its defaults are filled in, as for objects
//! that were stored before the definition changed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::kinds::{Custom, Served};
use crate::admission::{Caller, Line};
use crate::attributes::ApiError;
use crate::registry::{Registry, object};
use crate::watch::Entry;

/// How long a webhook may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How a definition converts, other than by name.
pub struct Conversion {
    line: Line,
    /// Of the question: `v1` or `v1beta1`.
    review: String,
}

impl std::fmt::Debug for Conversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversion").field("review", &self.review).finish_non_exhaustive()
    }
}

impl Conversion {
    /// Of a definition; `None` when objects only change their `apiVersion`.
    pub fn of(definition: &Value) -> Option<Self> {
        let conversion = object::at(definition, &["spec", "conversion"]);
        if object::text(conversion, &["strategy"]) != "Webhook" {
            return None;
        }
        let webhook = object::at(conversion, &["webhook"]);
        let known = object::items(webhook, &["conversionReviewVersions"]).iter().filter_map(Value::as_str);
        let review = known.into_iter().find(|version| matches!(*version, "v1" | "v1beta1")).unwrap_or("v1");
        Some(Self {
            line: Line::of(object::at(webhook, &["clientConfig"]), LIMIT),
            review: review.to_owned(),
        })
    }

    /// Asks the webhook.
    async fn ask(&self, caller: &Caller, objects: &[Value], to: &str) -> Result<Vec<Value>, String> {
        let uid = uuid::Uuid::new_v4().to_string();
        let version = format!("apiextensions.k8s.io/{}", self.review);
        let question = json!({
            "kind": "ConversionReview", "apiVersion": version,
            "request": {"uid": uid, "desiredAPIVersion": to, "objects": objects},
        });
        let answer = caller.call(&self.line, &question).await?;
        if self.review == "v1" {
            let (kind, given) = (object::text(&answer, &["kind"]), object::text(&answer, &["apiVersion"]));
            if kind != "ConversionReview" || given != version {
                return Err(format!(
                    "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {given}, Kind={kind}"
                ));
            }
        }
        let response = object::at(&answer, &["response"]);
        if response.is_null() {
            return Err("no response provided".to_owned());
        }
        let given = object::text(response, &["uid"]);
        if self.review == "v1" && given != uid {
            return Err(format!("expected response.uid={uid:?}, got {given:?}"));
        }
        let (status, message) =
            (object::text(response, &["result", "status"]), object::text(response, &["result", "message"]));
        if status != "Success" {
            return Err(if message.is_empty() {
                format!("response.result.status was '{status}', not 'Success'")
            } else {
                message.to_owned()
            });
        }
        Ok(object::items(response, &["convertedObjects"]).to_vec())
    }
}

impl Registry {
    /// Sets who calls conversion webhooks.
    pub(crate) fn set_caller(&self, caller: Arc<Caller>) {
        let _ = self.custom.caller.set(caller);
    }

    /// Objects in the version of `served`; those that are in it already cost nothing.
    ///
    /// # Errors
    /// When a webhook fails, in upstream's words.
    pub async fn in_version(&self, served: &Served, objects: Vec<Value>) -> Result<Vec<Value>, ApiError> {
        let Some(custom) = &served.custom else {
            return Ok(objects.into_iter().map(|one| served.from_storage(one)).collect());
        };
        let mut converted = self.converted(served, custom, objects, &served.api_version()).await?;
        for object in &mut converted {
            served.resource.schema.prune(object);
            served.resource.schema.default(object);
        }
        Ok(converted)
    }

    /// One object in the version of `served`.
    ///
    /// # Errors
    /// As [`Self::in_version`].
    pub async fn one_in_version(&self, served: &Served, object: Value) -> Result<Value, ApiError> {
        let mut converted = self.in_version(served, vec![object]).await?;
        converted.pop().ok_or_else(|| ApiError::internal("an object was lost in its conversion"))
    }

    /// The bytes to store of an object of `served`.
    ///
    /// # Errors
    /// As [`Self::in_version`].
    pub async fn stored_bytes(&self, served: &Served, object: &Value) -> Result<Bytes, ApiError> {
        match &served.custom {
            Some(custom) if !served.is_storage_version() => {
                Ok(object::encode(&self.for_storage(served, custom, object.clone()).await?))
            }
            _ => Ok(served.encode(object)),
        }
    }

    async fn for_storage(&self, served: &Served, custom: &Custom, object: Value) -> Result<Value, ApiError> {
        let mut converted = self.converted(served, custom, vec![object], &served.storage_api_version).await?;
        let mut object =
            converted.pop().ok_or_else(|| ApiError::internal("an object was lost in its conversion"))?;
        if let Some(schema) = &custom.storage_schema {
            schema.prune(&mut object);
            schema.default(&mut object);
        }
        Ok(object)
    }

    /// Entries of a custom resource as `served` shows them: their bytes are in its version.
    ///
    /// # Errors
    /// As [`Self::in_version`].
    pub async fn shown(
        &self,
        served: &Served,
        mut entries: Vec<Arc<Entry>>,
    ) -> Result<Vec<Arc<Entry>>, ApiError> {
        if served.custom.is_none() {
            return Ok(entries);
        }
        let other: Vec<usize> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| !served.is_as_stored(entry))
            .map(|(at, _)| at)
            .collect();
        if other.is_empty() {
            return Ok(entries);
        }
        let objects = other.iter().filter_map(|at| entries.get(*at)).map(|entry| entry.parse()).collect();
        let converted = self.in_version(served, objects).await?;
        for (at, object) in other.into_iter().zip(converted) {
            if let Some(entry) = entries.get_mut(at) {
                *entry = Arc::new(entry.with_value(object::encode(&object)));
            }
        }
        Ok(entries)
    }

    async fn converted(
        &self,
        served: &Served,
        custom: &Custom,
        mut objects: Vec<Value>,
        to: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let is_there = |object: &Value| object::text(object, &["apiVersion"]) == to;
        let Some(conversion) = &custom.conversion else {
            for object in &mut objects {
                object::set(object, "apiVersion", json!(to));
            }
            return Ok(objects);
        };
        let asked: Vec<usize> =
            objects.iter().enumerate().filter(|(_, one)| !is_there(one)).map(|(at, _)| at).collect();
        let Some(first) = asked.first().and_then(|at| objects.get(*at)) else { return Ok(objects) };
        let from = object::text(first, &["apiVersion"]).to_owned();
        let failed = |why: String| {
            let kind = &served.resource.kind;
            ApiError::new(500, "", format!("conversion webhook for {from}, Kind={kind} {why}"))
        };
        let caller =
            self.custom.caller.get().ok_or_else(|| ApiError::unavailable("the server is starting"))?;
        let sent: Vec<Value> = asked.iter().filter_map(|at| objects.get(*at)).cloned().collect();
        let answered =
            conversion.ask(caller, &sent, to).await.map_err(|why| failed(format!("failed: {why}")))?;
        if answered.len() != sent.len() {
            let (got, wanted) = (answered.len(), sent.len());
            return Err(failed(format!("returned {got} objects, expected {wanted}")));
        }
        for (position, (at, new)) in asked.into_iter().zip(answered).enumerate() {
            let Some(old) = objects.get_mut(at) else { continue };
            *old = accepted(old, new, to, &served.resource.kind).map_err(|why| {
                failed(format!("returned invalid converted object at index {position}: {why}"))
            })?;
        }
        Ok(objects)
    }
}

/// The webhook's object, if it left alone what it must: everything in metadata but labels and annotations.
fn accepted(old: &Value, mut new: Value, to: &str, kind: &str) -> Result<Value, String> {
    let given = object::text(&new, &["apiVersion"]);
    if given != to {
        return Err(format!("invalid apiVersion: {given}, expected {to}"));
    }
    let given = object::text(&new, &["kind"]);
    if given != kind {
        return Err(format!("invalid kind: {given}, expected {kind}"));
    }
    let meta = object::at(&new, &["metadata"]).clone();
    if !meta.is_object() {
        return Err("invalid metadata of type <nil> in converted object".to_owned());
    }
    for key in ["name", "namespace", "uid"] {
        let (had, has) = (object::text(old, &["metadata", key]), object::text(&new, &["metadata", key]));
        if had != has {
            let key = if key == "uid" { "UID" } else { key };
            return Err(format!("must have the same {key}: {had} != {has}"));
        }
    }
    let mut kept = object::at(old, &["metadata"]).clone();
    for key in ["labels", "annotations"] {
        object::set(&mut kept, key, meta[key].clone());
    }
    object::set(&mut new, "metadata", kept);
    Ok(new)
}
