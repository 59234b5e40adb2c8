//! `componentstatuses`: the parts a server stands on, as it finds them when it is asked.
//!
//! A hosted server stands on its store, which upstream calls `etcd-0`. Scheduler and controllers come to it like anyone else: it does not
//! know where they are, asks nobody for them and says nothing of them. Nothing is stored, so nothing has a version.

use std::sync::Arc;

use http::StatusCode;
use kit::http::Response;
use serde_json::json;

use super::{Api, Asked, health, objects};
use crate::ApiError;
use crate::registry::read::Listed;
use crate::registry::{Target, object};
use crate::watch::header::Paths;
use crate::watch::{Entry, Filter};

/// What upstream calls the first server of the store.
const STORE: &str = "etcd-0";

/// Whether objects of this kind are made here.
pub(super) fn is_asked(target: &Target) -> bool {
    target.served.storage == "core/componentstatuses"
}

/// The store as it is now.
async fn store(api: &Api, target: &Target) -> Arc<Entry> {
    let condition = match health::store_answers(api).await {
        Ok(()) => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        Err(why) => json!({"type": "Healthy", "status": "False", "error": why}),
    };
    let status = json!({
        "kind": target.served.resource.kind,
        "apiVersion": target.served.api_version(),
        "metadata": {"name": STORE},
        "conditions": [condition],
    });
    let prefix = target.served.prefix();
    let key = [&*prefix, STORE].concat().into();
    Arc::new(Entry::new(key, prefix.len(), object::encode(&status), 0, &Paths::default()))
}

/// Answers with one of them.
pub(super) async fn get(api: &Api, asked: &Asked, target: &Target) -> Result<Response, ApiError> {
    let renderer = objects::renderer(api, asked, target)?;
    if target.name != STORE {
        return Err(target.not_found());
    }
    let entry = store(api, target).await;
    Ok(objects::answer(asked, &renderer, StatusCode::OK, renderer.versioned(&entry)))
}

/// Answers with all of them.
pub(super) async fn list(
    api: &Api,
    asked: &Asked,
    target: &Target,
    filter: &Filter,
) -> Result<Response, ApiError> {
    let renderer = objects::renderer(api, asked, target)?;
    let mut entries = vec![store(api, target).await];
    entries.retain(|entry| filter.matches(entry, &Paths::default()));
    let listed = Listed { entries, revision: 0, continue_token: None, remaining: None };
    Ok(renderer.many(listed, asked.headers(), &asked.warnings))
}
