//! `Microsoft.Insights/dataCollectionEndpoints`.

use arm::json::{default, set, text};
use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::Value;

use super::collection::{API_VERSIONS, immutable_id, used_by};

/// The type.
pub(super) const ENDPOINTS: &str = "Microsoft.Insights/dataCollectionEndpoints";

pub(super) struct Endpoints;

#[async_trait]
impl ResourceType for Endpoints {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            identity: true,
            etag: Some("etag"),
            created: http::StatusCode::OK,
            ..TypeDescriptor::new(ENDPOINTS, API_VERSIONS)
        }
    }

    async fn put(&self, _: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let old = request.existing.map(|existing| &existing.properties);
        let id = immutable_id("dce", old);
        let properties = &mut made.properties;
        default(properties, &["networkAcls", "publicNetworkAccess"], "Enabled");
        let place = made.location.as_deref().unwrap_or_default();
        let host =
            |part: &str| format!("https://{}-{}.{place}-1.{part}.monitor.azure.com", made.name, &id[4..8]);
        for (name, part) in [
            ("configurationAccess", "handler.control"),
            ("logsIngestion", "ingest"),
            ("metricsIngestion", "metrics.ingest"),
        ] {
            let before = old.and_then(|old| text(old, &format!("/{name}/endpoint")));
            let endpoint = before.map_or_else(|| host(part), str::to_owned);
            set(properties, &[name, "endpoint"], Value::from(endpoint));
        }
        set(properties, &["immutableId"], id);
        set(properties, &["provisioningState"], "Succeeded");
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        used_by(ctx, existing, "dataCollectionEndpointId")?;
        Ok(Deleted::Done)
    }
}
