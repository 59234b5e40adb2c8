//! `Microsoft.Insights/diagnosticSettings` and `diagnosticSettingsCategories`, on any resource.

use arm::json::{default, flag, list, text};
use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

use super::categories::{self, Signals};
use super::workspaces;

const SETTINGS: &str = "Microsoft.Insights/diagnosticSettings";
const CATEGORIES: &str = "Microsoft.Insights/diagnosticSettingsCategories";
const API_VERSIONS: &[&str] = &["2021-05-01-preview", "2017-05-01-preview", "2016-09-01"];
/// Most settings of one resource.
const SETTINGS_MAX: usize = 5;
const ALL_METRICS: &str = "AllMetrics";
/// Where signals can go.
const SINKS: [&str; 4] =
    ["workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId"];

pub(super) struct Settings;
pub(super) struct Categories;

fn bad(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("BadRequest", message)
}

/// The signals of the resource that an extension is on.
fn signals(id: &ResourceId) -> Result<&'static Signals, ArmError> {
    let full_type = id.resource_type();
    categories::of(&full_type).ok_or_else(|| {
        ArmError::bad_request(
            "ResourceTypeNotSupported",
            format!(
                "The resource type '{}' does not support diagnostic settings.",
                full_type.to_ascii_lowercase()
            ),
        )
    })
}

/// What a setting takes from the resource: names of categories and groups that are switched on.
fn taken(properties: &Value) -> Vec<String> {
    let of = |kind: &str| -> Vec<String> {
        let rows = list(properties, &format!("/{kind}")).iter().filter(|row| flag(row, "/enabled"));
        rows.filter_map(|row| text(row, "/category").or_else(|| text(row, "/categoryGroup")))
            .map(str::to_owned)
            .collect()
    };
    [of("logs"), of("metrics")].concat()
}

fn check_rows(made: &mut Value, signals: &Signals) -> Result<(), ArmError> {
    for kind in ["logs", "metrics"] {
        default(made, &[kind], json!([]));
        let Some(rows) = made[kind].as_array_mut() else {
            return Err(bad(format!("The property '{kind}' must be a list.")));
        };
        for row in rows {
            let (category, group) = (text(row, "/category"), text(row, "/categoryGroup"));
            let known = match (kind, category, group) {
                ("logs", Some(name), None) => signals.logs().any(|log| log.name.eq_ignore_ascii_case(name)),
                ("logs", None, Some(group)) => match group.to_ascii_lowercase().as_str() {
                    "alllogs" => signals.logs().next().is_some(),
                    "audit" => signals.logs().any(|log| log.audit),
                    _ => false,
                },
                ("metrics", Some(name), None) => {
                    name.eq_ignore_ascii_case(ALL_METRICS) && signals.metrics().next().is_some()
                }
                _ => {
                    return Err(bad(
                        "A row of a diagnostic setting has either 'category' or 'categoryGroup'.",
                    ));
                }
            };
            if !known {
                return Err(bad(match (category, group) {
                    (Some(name), _) => format!("Category '{name}' is not supported."),
                    (_, group) => format!("Category group '{}' is not supported.", group.unwrap_or_default()),
                }));
            }
            default(row, &["enabled"], false);
            default(row, &["retentionPolicy"], json!({"days": 0, "enabled": false}));
        }
    }
    Ok(())
}

fn check_sinks(ctx: &Ctx, id: &ResourceId, made: &Value) -> Result<(), ArmError> {
    let sinks: Vec<(&str, &str)> =
        SINKS.iter().filter_map(|name| Some((*name, text(made, &format!("/{name}"))?))).collect();
    if sinks.is_empty() {
        return Err(bad(
            "At least one data sink needs to be specified: a workspace, storage account, event hub or partner solution.",
        ));
    }
    if let Some(workspace) = text(made, "/workspaceId") {
        workspaces::named(ctx, workspace, "properties.workspaceId")?;
    }
    let wanted = taken(made);
    let others = ctx.resources.list(&id.scope().extension("Microsoft.Insights", ""));
    let others = others.iter().filter(|other| {
        other.kind_type.eq_ignore_ascii_case(SETTINGS) && other.id != *id && other.id.scope() == id.scope()
    });
    let mut count = 0;
    for other in others {
        count += 1;
        for (name, sink) in &sinks {
            let same =
                text(&other.properties, &format!("/{name}")).is_some_and(|s| s.eq_ignore_ascii_case(sink));
            let both = taken(&other.properties);
            if let Some(twice) = wanted.iter().find(|name| same && both.contains(name)) {
                return Err(ArmError::conflict(
                    "Conflict",
                    format!(
                        "Data sink '{sink}' is already used in diagnostic setting '{}' for category '{twice}'. Data sinks can't be reused in different settings on the same category for the same resource.",
                        other.name
                    ),
                ));
            }
        }
    }
    if count >= SETTINGS_MAX {
        return Err(bad(format!("A resource can have at most {SETTINGS_MAX} diagnostic settings.")));
    }
    Ok(())
}

#[async_trait]
impl ResourceType for Settings {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            tracked: false,
            extension: true,
            created: StatusCode::OK,
            ..TypeDescriptor::new(SETTINGS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let signals = signals(&request.id.scope())?;
        check_rows(&mut made.properties, signals)?;
        check_sinks(ctx, request.id, &made.properties)?;
        if let Some(map) = made.properties.as_object_mut() {
            map.retain(|_, value| !value.is_null());
        }
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        on_it(ctx, scope)?;
        let found = ctx.resources.list_type(scope, SETTINGS);
        Ok(found.iter().filter(|r| r.id.scope() == *scope).map(|r| (**r).clone()).collect())
    }
}

/// 404 when the resource asked about is not there.
pub(super) fn on_it(ctx: &Ctx, scope: &ResourceId) -> Result<(), ArmError> {
    if scope.types().is_empty() || ctx.resources.exists(scope) {
        return Ok(());
    }
    Err(ArmError::resource_not_found(scope))
}

fn category(scope: &ResourceId, name: &str, kind: &str, groups: &[&str]) -> Resource {
    let mut made = Resource::new(scope.extension(CATEGORIES, name));
    made.properties = json!({"categoryType": kind, "categoryGroups": groups});
    made
}

fn all(scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
    let signals = signals(scope)?;
    let mut made: Vec<Resource> = signals
        .logs()
        .map(|log| {
            category(scope, log.name, "Logs", if log.audit { &["audit", "allLogs"] } else { &["allLogs"] })
        })
        .collect();
    if signals.metrics().next().is_some() {
        made.push(category(scope, ALL_METRICS, "Metrics", &[]));
    }
    Ok(made)
}

#[async_trait]
impl ResourceType for Categories {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { tracked: false, extension: true, ..TypeDescriptor::new(CATEGORIES, API_VERSIONS) }
    }

    async fn put(&self, _: &Ctx, _: Put<'_>) -> Result<Written, ArmError> {
        Err(read_only("Diagnostic settings categories"))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Err(read_only("Diagnostic settings categories"))
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        on_it(ctx, &id.scope())?;
        Ok(all(&id.scope())?.into_iter().find(|category| category.name.eq_ignore_ascii_case(id.name())))
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        on_it(ctx, scope)?;
        all(scope)
    }
}

/// 405 for what can only be read.
pub(super) fn read_only(what: &str) -> ArmError {
    ArmError::new(StatusCode::METHOD_NOT_ALLOWED, "HttpMethodNotAllowed", format!("{what} can only be read."))
}
