//! Bootstrap tokens go when they expire.

use std::sync::Arc;

use informers::objects::until;
use informers::{Error, Informer, Key, Next, Queue};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams};

use crate::context::Context;

const KIND: &str = "bootstrap.kubernetes.io/token";
const NAMESPACE: &str = "kube-system";

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let secrets = context.informer::<Secret>();
    let client = context.client("token-cleaner");
    let clock = context.clock();
    let queue = Queue::new();
    let waiting = queue.clone();
    secrets.subscribe(move |change| {
        let secret = change.object();
        if secret.type_.as_deref() == Some(KIND) && secret.metadata.namespace.as_deref() == Some(NAMESPACE) {
            waiting.add(Key::of(secret.as_ref()));
        }
    });
    let s = secrets.clone();
    context.loops.run("token-cleaner-controller", 1, queue, async move { s.synced().await }, move |key| {
        let (secrets, client, clock) = (secrets.clone(), client.clone(), clock.clone());
        async move { sync(&secrets, client, &clock, &key).await }
    });
}

async fn sync(
    secrets: &Informer<Secret>,
    client: kube::Client,
    clock: &Arc<dyn kit::Clock>,
    key: &Key,
) -> Result<Next, Error> {
    let Some(secret) = secrets.get(key) else { return Ok(None) };
    let expiration = secret.data.as_ref().and_then(|d| d.get("expiration"));
    let Some(text) = expiration.and_then(|e| std::str::from_utf8(&e.0).ok()) else { return Ok(None) };
    // What cannot be read does not live forever.
    let at = text.trim().parse::<jiff::Timestamp>().unwrap_or(jiff::Timestamp::MIN);
    let now = clock.now();
    if at > now {
        return Ok(Some(until(at, now)));
    }
    let api: Api<Secret> = Api::namespaced(client, &key.namespace);
    secrets.delete(&api, &secret, DeleteParams::default()).await?;
    Ok(None)
}
