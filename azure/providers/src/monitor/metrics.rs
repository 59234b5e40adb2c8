//! `Microsoft.Insights/metricDefinitions` on any resource: which metrics there are, not their values.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::categories::{self, Metric};
use super::diagnostics::{on_it, read_only};

const DEFINITIONS: &str = "Microsoft.Insights/metricDefinitions";

pub(super) struct Definitions;

fn definition(scope: &ResourceId, full_type: &str, metric: &Metric) -> Resource {
    let mut made = Resource::new(scope.extension(DEFINITIONS, &metric.name));
    let grains = ["PT1M", "PT5M", "PT15M", "PT30M", "PT1H", "PT6H", "PT12H", "P1D"];
    let available: Vec<Value> =
        grains.iter().map(|grain| json!({"timeGrain": grain, "retention": "P93D"})).collect();
    made.properties = json!({
        "id": made.id, "resourceId": scope, "namespace": full_type, "isDimensionRequired": false,
        "name": {"value": metric.name, "localizedValue": metric.name}, "unit": metric.unit,
        "primaryAggregationType": metric.aggregation,
        "supportedAggregationTypes": ["None", "Average", "Minimum", "Maximum", "Total", "Count"],
        "metricAvailabilities": available, "dimensions": [],
    });
    made
}

#[async_trait]
impl ResourceType for Definitions {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            tracked: false,
            extension: true,
            ..TypeDescriptor::new(DEFINITIONS, &["2024-02-01", "2023-10-01", "2019-07-01", "2018-01-01"])
        }
    }

    async fn put(&self, _: &Ctx, _: Put<'_>) -> Result<Written, ArmError> {
        Err(read_only("Metric definitions"))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Err(read_only("Metric definitions"))
    }

    async fn get(&self, _: &Ctx, _: &ResourceId) -> Result<Option<Resource>, ArmError> {
        Ok(None)
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        on_it(ctx, scope)?;
        let Some(signals) = categories::of(&scope.resource_type()) else { return Ok(Vec::new()) };
        Ok(signals.metrics().map(|metric| definition(scope, signals.full_type(), &metric)).collect())
    }

    fn present(&self, _: &Ctx, resource: &Resource) -> Value {
        resource.properties.clone()
    }
}
