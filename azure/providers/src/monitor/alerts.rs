//! Action groups, metric alerts and activity-log alerts: kept, never fired.

use arm::json::{default, list, text};
use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

const GROUPS: &str = "Microsoft.Insights/actionGroups";
const METRIC: &str = "Microsoft.Insights/metricAlerts";
const ACTIVITY: &str = "Microsoft.Insights/activityLogAlerts";
const RECEIVERS: [&str; 11] = [
    "emailReceivers",
    "smsReceivers",
    "webhookReceivers",
    "itsmReceivers",
    "azureAppPushReceivers",
    "automationRunbookReceivers",
    "voiceReceivers",
    "logicAppReceivers",
    "azureFunctionReceivers",
    "armRoleReceivers",
    "eventHubReceivers",
];
const SHORT_NAME_MAX: usize = 12;

pub(super) struct ActionGroups;
pub(super) struct MetricAlerts;
pub(super) struct ActivityLogAlerts;

fn bad(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("BadRequest", message)
}

fn descriptor(full_type: &'static str, versions: &'static [&'static str]) -> TypeDescriptor {
    TypeDescriptor { global: true, ..TypeDescriptor::new(full_type, versions) }
}

/// What an alert is about has to be there, or be wider than one resource.
fn check_scopes(ctx: &Ctx, made: &Value) -> Result<(), ArmError> {
    let scopes = list(made, "/scopes");
    if scopes.is_empty() {
        return Err(bad("The property 'scopes' of an alert needs at least one resource id."));
    }
    for scope in scopes {
        let id = ResourceId::parse(scope.as_str().unwrap_or_default())?;
        if !id.types().is_empty() && !ctx.resources.exists(&id) {
            return Err(ArmError::new(
                StatusCode::NOT_FOUND,
                "ResourceNotFound",
                format!("The scope '{id}' of the alert was not found."),
            ));
        }
    }
    Ok(())
}

/// How often an alert may look and how much it may look at, shortest first.
const PERIODS: [&str; 8] = ["PT1M", "PT5M", "PT15M", "PT30M", "PT1H", "PT6H", "PT12H", "P1D"];

/// Both periods are of those there are, and the window is no shorter than the frequency.
fn check_periods(properties: &Value) -> Result<(), ArmError> {
    let at = |name: &str| {
        let given = text(properties, &format!("/{name}")).unwrap_or_default();
        let found = PERIODS.iter().position(|period| *period == given);
        found.ok_or_else(|| {
            let all = PERIODS.join(", ");
            bad(format!(
                "The {name} '{given}' of a metric alert is not supported. Supported values are: {all}."
            ))
        })
    };
    if at("evaluationFrequency")? > at("windowSize")? {
        return Err(bad("The windowSize of a metric alert cannot be shorter than its evaluationFrequency."));
    }
    Ok(())
}

/// Each condition has a name of its own, a metric, and words that there are.
fn check_criteria(properties: &Value) -> Result<(), ArmError> {
    let mut names = std::collections::BTreeSet::new();
    for condition in list(properties, "/criteria/allOf") {
        let name = text(condition, "/name").unwrap_or_default();
        if name.is_empty() || !names.insert(name) {
            return Err(bad(format!(
                "The conditions of a metric alert need names of their own; '{name}' is none."
            )));
        }
        for dimension in list(condition, "/dimensions") {
            let operator = text(dimension, "/operator").unwrap_or_default();
            let of = text(dimension, "/name").unwrap_or_default();
            if !["Include", "Exclude"].iter().any(|word| word.eq_ignore_ascii_case(operator)) {
                return Err(bad(format!(
                    "The operator '{operator}' of the dimension '{of}' is invalid. Supported values are: Include, Exclude."
                )));
            }
            if of.is_empty() || list(dimension, "/values").is_empty() {
                return Err(bad(format!(
                    "The dimension '{of}' of the condition '{name}' needs a name and values."
                )));
            }
        }
    }
    Ok(())
}

fn check_groups(ctx: &Ctx, actions: &[Value]) -> Result<(), ArmError> {
    for action in actions {
        let id = ResourceId::parse(text(action, "/actionGroupId").unwrap_or_default())?;
        if !ctx.resources.exists(&id) {
            return Err(bad(format!("The action group '{id}' was not found.")));
        }
    }
    Ok(())
}

#[async_trait]
impl ResourceType for ActionGroups {
    fn descriptor(&self) -> TypeDescriptor {
        descriptor(GROUPS, &["2024-10-01-preview", "2023-01-01", "2022-06-01", "2021-09-01", "2019-06-01"])
    }

    async fn put(&self, _: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let short = text(&made.properties, "/groupShortName").unwrap_or_default();
        if short.is_empty() || short.chars().count() > SHORT_NAME_MAX {
            return Err(bad(format!(
                "The short name of an action group has 1 to {SHORT_NAME_MAX} characters; '{short}' has not."
            )));
        }
        default(&mut made.properties, &["enabled"], true);
        for name in RECEIVERS {
            default(&mut made.properties, &[name], json!([]));
        }
        for receiver in made.properties["emailReceivers"].as_array_mut().into_iter().flatten() {
            default(receiver, &["status"], "Enabled");
            default(receiver, &["useCommonAlertSchema"], false);
        }
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}

#[async_trait]
impl ResourceType for MetricAlerts {
    fn descriptor(&self) -> TypeDescriptor {
        let usual = descriptor(METRIC, &["2024-03-01-preview", "2018-03-01"]);
        TypeDescriptor { created: StatusCode::OK, ..usual }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let properties = &mut made.properties;
        let severity = properties["severity"].as_i64();
        if !severity.is_some_and(|severity| (0..=4).contains(&severity)) {
            return Err(bad("The severity of a metric alert is from 0 to 4."));
        }
        if list(properties, "/criteria/allOf").is_empty() {
            return Err(bad("The criteria of a metric alert need at least one condition in 'allOf'."));
        }
        check_periods(properties)?;
        check_criteria(properties)?;
        check_scopes(ctx, properties)?;
        check_groups(ctx, list(properties, "/actions"))?;
        default(properties, &["enabled"], true);
        default(properties, &["autoMitigate"], true);
        default(properties, &["actions"], json!([]));
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}

#[async_trait]
impl ResourceType for ActivityLogAlerts {
    fn descriptor(&self) -> TypeDescriptor {
        descriptor(ACTIVITY, &["2023-01-01-preview", "2020-10-01", "2017-04-01"])
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        if list(&made.properties, "/condition/allOf").is_empty() {
            return Err(bad("The condition of an activity log alert needs at least one row in 'allOf'."));
        }
        check_scopes(ctx, &made.properties)?;
        check_groups(ctx, list(&made.properties, "/actions/actionGroups"))?;
        default(&mut made.properties, &["enabled"], true);
        default(&mut made.properties, &["actions", "actionGroups"], json!([]));
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}
