//! Quota through the whole server.

use futures::future::join_all;
use serde_json::json;

use crate::harness::{PODS, pod, start};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

#[tokio::test]
async fn fifty_creates_at_once_take_what_there_is_and_deletions_give_back() {
    let server = start().await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "20", "count/configmaps": "1"}}});
    server.post(QUOTAS, quota).await.ok();
    let made = join_all((0..50).map(|number| server.post(PODS, pod(&format!("p{number}"))))).await;
    let (admitted, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((admitted.len(), refused.len()), (20, 30));
    for answer in refused {
        let why = answer.refused(403);
        assert!(
            why.ends_with(
                "is forbidden: exceeded quota: q, requested: pods=1, used: pods=20, limited: pods=20"
            ),
            "{why}"
        );
    }
    let used = async || server.get(&format!("{QUOTAS}/q")).await.ok()["status"]["used"]["pods"].clone();
    assert_eq!(used().await, "20");
    let name = admitted[0].body["metadata"]["name"].as_str().unwrap();
    server.delete(&format!("{PODS}/{name}?gracePeriodSeconds=0")).await.ok();
    assert_eq!(used().await, "19");
    let tried = server.post(&format!("{PODS}?dryRun=All"), pod("tried")).await;
    assert_eq!(tried.status, 201);
    assert_eq!(used().await, "19", "a try takes nothing");
    server.post(PODS, pod("last")).await.ok();
    assert_eq!(used().await, "20");
}
