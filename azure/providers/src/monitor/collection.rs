//! Data collection rules, and which resources they are for.

use arm::json::{list, set, text};
use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

use super::endpoints::ENDPOINTS;
use super::workspaces;

const RULES: &str = "Microsoft.Insights/dataCollectionRules";
const ASSOCIATIONS: &str = "Microsoft.Insights/dataCollectionRuleAssociations";
pub(super) const API_VERSIONS: &[&str] =
    &["2024-03-11", "2023-03-11", "2022-06-01", "2021-09-01-preview", "2021-04-01"];
/// The association by this name is with an endpoint, every other with a rule.
const WITH_ENDPOINT: &str = "configurationAccessEndpoint";

pub(super) struct Rules;
pub(super) struct Associations;

fn invalid(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("InvalidPayload", message)
}

/// The id that agents know a rule or endpoint by; it never changes.
pub(super) fn immutable_id(prefix: &str, old: Option<&Value>) -> String {
    let known = old.and_then(|old| text(old, "/immutableId"));
    known.map_or_else(|| format!("{prefix}-{}", uuid::Uuid::new_v4().simple()), str::to_owned)
}

/// Fills in what the destinations are, and refuses flows to ones that are not there.
fn check_rule(ctx: &Ctx, made: &mut Value) -> Result<(), ArmError> {
    let mut names = Vec::new();
    let destinations = made.get_mut("destinations").and_then(Value::as_object_mut);
    for (kind, rows) in destinations.into_iter().flatten() {
        let rows: Vec<&mut Value> = match rows {
            Value::Array(rows) => rows.iter_mut().collect(),
            Value::Object(_) => vec![rows],
            _ => return Err(invalid(format!("The destination '{kind}' must be a list or an object."))),
        };
        for row in rows {
            let name = text(row, "/name")
                .ok_or_else(|| invalid(format!("A destination of '{kind}' has no name.")))?;
            if names.iter().any(|other| other == name) {
                return Err(invalid(format!("The destination name '{name}' is used twice.")));
            }
            names.push(name.to_owned());
            if kind == "logAnalytics" {
                let id = text(row, "/workspaceResourceId").unwrap_or_default().to_owned();
                let workspace = workspaces::named(ctx, &id, "properties.destinations.logAnalytics")?;
                row["workspaceId"] = workspace.properties["customerId"].clone();
            }
        }
    }
    for flow in list(made, "/dataFlows") {
        if list(flow, "/streams").is_empty() {
            return Err(invalid("A data flow needs at least one stream."));
        }
        for name in list(flow, "/destinations") {
            let name = name.as_str().unwrap_or_default();
            if !names.iter().any(|known| known == name) {
                return Err(invalid(format!("The data flow's destination '{name}' is not defined.")));
            }
        }
    }
    if let Some(endpoint) = text(made, "/dataCollectionEndpointId") {
        exists(ctx, endpoint, ENDPOINTS)?;
    }
    Ok(())
}

fn exists(ctx: &Ctx, id: &str, full_type: &str) -> Result<ResourceId, ArmError> {
    let id = ResourceId::parse(id)?;
    if id.is_type(full_type) && ctx.resources.exists(&id) {
        return Ok(id);
    }
    Err(ArmError::new(StatusCode::NOT_FOUND, "NotFound", format!("The resource '{id}' was not found.")))
}

/// The associations with a rule or endpoint.
fn associations(ctx: &Ctx, existing: &Resource, property: &str) -> Vec<ResourceId> {
    let found = ctx.resources.list_type(&ResourceId::root(), ASSOCIATIONS);
    let with = |r: &Resource| {
        text(&r.properties, &format!("/{property}"))
            .and_then(|id| ResourceId::parse(id).ok())
            .is_some_and(|id| id == existing.id)
    };
    found.iter().filter(|r| with(r)).map(|r| r.id.clone()).collect()
}

/// Refuses to delete what resources are still associated with.
pub(super) fn used_by(ctx: &Ctx, existing: &Resource, property: &str) -> Result<(), ArmError> {
    let found = associations(ctx, existing, property);
    let Some(first) = found.first() else { return Ok(()) };
    Err(ArmError::conflict(
        "AssociationsExist",
        format!(
            "'{}' has {} associations, among them '{first}'; delete them first.",
            existing.name,
            found.len()
        ),
    ))
}

#[async_trait]
impl ResourceType for Rules {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            identity: true,
            etag: Some("etag"),
            created: StatusCode::OK,
            ..TypeDescriptor::new(RULES, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        check_rule(ctx, &mut made.properties)?;
        let id = immutable_id("dcr", request.existing.map(|existing| &existing.properties));
        set(&mut made.properties, &["immutableId"], id);
        set(&mut made.properties, &["provisioningState"], "Succeeded");
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if ctx.query("deleteassociations").is_some_and(|all| all.eq_ignore_ascii_case("true")) {
            for id in associations(ctx, existing, "dataCollectionRuleId") {
                ctx.access.authorize(&ctx.caller, &format!("{ASSOCIATIONS}/delete"), &id)?;
                ctx.resources.remove(&id).await?;
            }
        }
        used_by(ctx, existing, "dataCollectionRuleId")?;
        Ok(Deleted::Done)
    }
}

#[async_trait]
impl ResourceType for Associations {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            tracked: false,
            extension: true,
            etag: Some("etag"),
            created: StatusCode::OK,
            ..TypeDescriptor::new(ASSOCIATIONS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let rule = text(&made.properties, "/dataCollectionRuleId");
        let endpoint = text(&made.properties, "/dataCollectionEndpointId");
        let with_endpoint = request.id.name().eq_ignore_ascii_case(WITH_ENDPOINT);
        match (rule, endpoint) {
            (Some(rule), None) if !with_endpoint => {
                let rule = exists(ctx, rule, RULES)?;
                ctx.authorize_linked(
                    &format!("{ASSOCIATIONS}/write"),
                    request.id,
                    &format!("{RULES}/read"),
                    &rule,
                )?;
            }
            (None, Some(endpoint)) if with_endpoint => {
                exists(ctx, endpoint, ENDPOINTS)?;
            }
            _ => {
                return Err(invalid(format!(
                    "An association has a 'dataCollectionRuleId'; the one named {WITH_ENDPOINT} has a 'dataCollectionEndpointId'."
                )));
            }
        }
        if let Some(map) = made.properties.as_object_mut() {
            map.retain(|_, value| !value.is_null());
            map.insert("provisioningState".into(), json!("Succeeded"));
        }
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}
