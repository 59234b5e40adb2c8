//! The node's heartbeat: a Lease renewed every 10 s, good for 40 s.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::Patch;

use crate::shared::Shared;

const RENEW: Duration = Duration::from_secs(10);
const DURATION_S: i32 = 40;
const RETRY: Duration = Duration::from_secs(1);
/// A renewal that hangs must not cost the node its next one.
const LIMIT: Duration = Duration::from_secs(8);

/// Renews for ever.
pub async fn keep(shared: Arc<Shared>) {
    loop {
        let wait = match tokio::time::timeout(LIMIT, renew(&shared)).await {
            Ok(Ok(())) => RENEW,
            Ok(Err(error)) => {
                tracing::warn!(error = %kit::Chain(&error), "failed to renew the node's lease");
                RETRY
            }
            Err(_) => {
                tracing::warn!("the renewal of the node's lease took too long");
                RETRY
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn renew(shared: &Shared) -> Result<(), kube::Error> {
    let config = &shared.config;
    let api: Api<Lease> = Api::namespaced(config.client.clone(), "kube-node-lease");
    let now = MicroTime(config.clock.now());
    let patch = serde_json::json!({"spec": {"renewTime": now}});
    match api.patch(&config.node_name, &crate::client::patch(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => return other.map(drop),
    }
    let nodes: Api<Node> = Api::all(config.client.clone());
    let owner = nodes.get_opt(&config.node_name).await?.map(|node| OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: config.node_name.clone(),
        uid: node.metadata.uid.unwrap_or_default(),
        ..OwnerReference::default()
    });
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            namespace: Some("kube-node-lease".into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(config.node_name.clone()),
            lease_duration_seconds: Some(DURATION_S),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    };
    api.create(&crate::client::post(), &lease).await.map(drop)
}
