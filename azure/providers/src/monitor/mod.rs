//! `Microsoft.OperationalInsights`, `Microsoft.Insights` and `Microsoft.OperationsManagement`: where logs and metrics go.
//!
//! Workspaces, diagnostic settings, collection rules, action groups and alerts are kept and shown as Azure shows them.
//! Nothing is collected, queried or alerted: reading metrics and logs is refused by name.

mod alerts;
mod categories;
mod collection;
mod diagnostics;
mod endpoints;
mod metrics;
mod solutions;
mod workspaces;

use arm::{Acted, ArmError, Call, Ctx, Provider, ProviderCalls};
use async_trait::async_trait;

pub use workspaces::WORKSPACES;

/// The providers.
pub fn providers() -> [Provider; 3] {
    let insights = Provider::new("Microsoft.Insights")
        .with(diagnostics::Settings)
        .with(diagnostics::Categories)
        .with(metrics::Definitions)
        .with(alerts::ActionGroups)
        .with(alerts::MetricAlerts)
        .with(alerts::ActivityLogAlerts)
        .with(collection::Rules)
        .with(endpoints::Endpoints)
        .with(collection::Associations)
        .with_calls(InsightsCalls);
    let workspaces = Provider::new("Microsoft.OperationalInsights")
        .with(workspaces::Workspaces)
        .with_calls(workspaces::Calls);
    let solutions = Provider::new("Microsoft.OperationsManagement").with(solutions::Solutions);
    [insights, workspaces, solutions]
}

struct InsightsCalls;

#[async_trait]
impl ProviderCalls for InsightsCalls {
    async fn call(&self, _: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let first = call.path.first()?;
        let known = [
            "metrics",
            "metricNamespaces",
            "metricBaselines",
            "logs",
            "components",
            "workbooks",
            "scheduledQueryRules",
            "autoscaleSettings",
            "privateLinkScopes",
            "dataCollectionRules",
        ];
        let word = known.iter().find(|word| word.eq_ignore_ascii_case(first))?;
        Some(Err(ArmError::not_implemented(format_args!("'Microsoft.Insights/{word}' at '{}'", call.scope))))
    }
}
