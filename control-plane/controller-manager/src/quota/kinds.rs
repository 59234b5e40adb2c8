//! How many objects of any kind a namespace has, asked of the API: of kinds that no loop follows, custom ones among them.

use http::Request;
use kube::Client;
use serde_json::Value;

/// Only names and counts are wanted.
const ACCEPT: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// The count for `count/<plural>.<group>`, without its prefix; none when there is no such resource.
///
/// # Errors
/// When the API does not answer.
pub(super) async fn count(
    client: &Client,
    namespace: &str,
    resource: &str,
) -> Result<Option<i128>, kube::Error> {
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    for root in roots(client, group).await? {
        // One object is enough: the list says how many remain.
        let path = format!("{root}/namespaces/{namespace}/{plural}?limit=1");
        if let Some(list) = get(client, &path).await? {
            let here = list["items"].as_array().map_or(0, Vec::len);
            let remaining = list["metadata"]["remainingItemCount"].as_i64().unwrap_or(0);
            return Ok(Some(i128::try_from(here).unwrap_or(i128::MAX) + i128::from(remaining)));
        }
    }
    Ok(None)
}

/// Where the versions of a group are, the preferred one first.
async fn roots(client: &Client, group: &str) -> Result<Vec<String>, kube::Error> {
    if group.is_empty() {
        return Ok(vec!["/api/v1".to_owned()]);
    }
    let Some(found) = get(client, &format!("/apis/{group}")).await? else { return Ok(Vec::new()) };
    let versions = found["versions"].as_array().into_iter().flatten();
    Ok(versions.filter_map(|one| Some(format!("/apis/{}", one["groupVersion"].as_str()?))).collect())
}

/// An answer; none when there is nothing at the path.
async fn get(client: &Client, path: &str) -> Result<Option<Value>, kube::Error> {
    let request = Request::get(path).header(http::header::ACCEPT, ACCEPT).body(Vec::new());
    match client.request(request.map_err(kube::Error::HttpError)?).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
