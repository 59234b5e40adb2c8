//! Calls that address the provider itself.

use arm::{Acted, ArmError, Call, Ctx, ProviderCalls};
use async_trait::async_trait;
use serde_json::json;

use crate::{pool, trusted_access, versions};

/// What AKS lists for a region and this service does not.
const NOT_LISTED: [&str; 3] = ["meshrevisionprofiles", "guardrailsversions", "safeguardsversions"];

/// Calls of `Microsoft.ContainerService`.
pub struct Calls;

#[async_trait]
impl ProviderCalls for Calls {
    async fn call(&self, _: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let path: Vec<String> = call.path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let answer = match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["locations", _, "kubernetesversions"] => versions::location_listing(),
            ["locations", _, "nodeimageversions"] => json!({ "value": [{
                "fullName": pool::NODE_IMAGE, "os": "AKSUbuntu", "sku": "2404gen2containerd",
                "version": pool::NODE_IMAGE.rsplit_once('-').map(|(_, version)| version),
            }] }),
            ["locations", _, "trustedaccessroles"] => trusted_access::listing(),
            ["locations", _, what, ..] if NOT_LISTED.contains(what) => {
                return Some(Err(ArmError::not_implemented(format_args!(
                    "Reading 'Microsoft.ContainerService/locations/{what}'"
                ))));
            }
            _ => return None,
        };
        Some(Ok(Acted::Done(Some(answer))))
    }
}
