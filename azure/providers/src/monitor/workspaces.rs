//! `Microsoft.OperationalInsights/workspaces`: Log Analytics workspaces without their logs.
//!
//! A deleted workspace is kept for 14 days; one made with its name in its group takes its place, with its ids and keys.

use arm::json::{default, number, set, text};
use arm::{
    Acted, ArmError, Call, Ctx, Deleted, ProviderCalls, Put, Resource, ResourceId, ResourceType, Table,
    TypeDescriptor, Written,
};
use async_trait::async_trait;
use http::{Method, StatusCode};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::secrets;

/// The type.
pub const WORKSPACES: &str = "Microsoft.OperationalInsights/workspaces";
const API_VERSIONS: &[&str] = &[
    "2025-07-01",
    "2025-02-01",
    "2023-09-01",
    "2022-10-01",
    "2021-12-01-preview",
    "2021-06-01",
    "2020-10-01",
    "2020-08-01",
    "2020-03-01-preview",
    "2017-04-26-preview",
    "2015-11-01-preview",
    "2015-03-20",
];
const SKUS: [&str; 8] =
    ["PerGB2018", "Free", "PerNode", "Standalone", "Standard", "Premium", "CapacityReservation", "LACluster"];
const KEPT_DAYS: i64 = 14;

pub(super) struct Workspaces;
pub(super) struct Calls;

/// A deleted workspace.
#[derive(Serialize, Deserialize)]
struct Kept {
    workspace: Resource,
    deleted: Timestamp,
}

fn keys(ctx: &Ctx) -> Table {
    ctx.table("workspace-keys")
}

fn graves(ctx: &Ctx) -> Table {
    ctx.table("workspace-deleted")
}

impl Kept {
    fn fresh(&self, now: Timestamp) -> bool {
        self.deleted.checked_add((KEPT_DAYS * 24).hours()).is_ok_and(|end| end > now)
    }
}

fn bad(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("InvalidParameter", message)
}

/// Sets the moment of the last change, unless nothing else changed.
fn date(made: &mut Value, old: Option<&Value>, now: &str) {
    let without = |value: &Value| {
        let mut value = value.clone();
        arm::json::remove(&mut value, &["modifiedDate"]);
        value
    };
    let same = old.filter(|old| without(old) == without(made));
    let at = same.and_then(|old| text(old, "/modifiedDate")).unwrap_or(now).to_owned();
    set(made, &["modifiedDate"], at);
}

fn fill(ctx: &Ctx, made: &mut Value, old: Option<&Value>) -> Result<(), ArmError> {
    let now = ctx.clock.now().to_string();
    let kept = |name: &str, otherwise: &str| {
        old.and_then(|old| text(old, name)).map_or_else(|| otherwise.to_owned(), str::to_owned)
    };
    default(made, &["sku", "name"], "PerGB2018");
    let name = text(made, "/sku/name").unwrap_or_default();
    let Some(sku) = SKUS.iter().find(|sku| sku.eq_ignore_ascii_case(name)) else {
        return Err(bad(format!("The pricing tier '{name}' is invalid; it is one of {}.", SKUS.join(", "))));
    };
    set(made, &["sku", "name"], *sku);
    let same_sku = old.is_some_and(|old| text(old, "/sku/name") == Some(sku));
    let updated = if same_sku { kept("/sku/lastSkuUpdate", &now) } else { now.clone() };
    set(made, &["sku", "lastSkuUpdate"], updated);
    default(made, &["retentionInDays"], if *sku == "Free" { 7 } else { 30 });
    let days = number(made, "/retentionInDays").unwrap_or_default();
    let allowed = if *sku == "Free" { days == 7 } else { (30..=730).contains(&days) };
    if !allowed {
        return Err(bad(format!(
            "The retention of {days} days is not allowed for the pricing tier {sku}: it is from 30 to 730."
        )));
    }
    for (name, value) in [
        ("legacy", json!(0)),
        ("searchVersion", json!(1)),
        ("enableLogAccessUsingOnlyResourcePermissions", json!(true)),
    ] {
        default(made, &["features", name], value);
    }
    let quota = made.pointer("/workspaceCapping/dailyQuotaGb").and_then(Value::as_f64).unwrap_or(-1.0);
    set(
        made,
        &["workspaceCapping"],
        json!({
            "dailyQuotaGb": quota, "dataIngestionStatus": "RespectQuota",
            "quotaNextResetTime": kept("/workspaceCapping/quotaNextResetTime", &now),
        }),
    );
    for name in ["publicNetworkAccessForIngestion", "publicNetworkAccessForQuery"] {
        default(made, &[name], "Enabled");
    }
    set(made, &["customerId"], kept("/customerId", &uuid::Uuid::new_v4().to_string()));
    set(made, &["createdDate"], kept("/createdDate", &now));
    set(made, &["provisioningState"], "Succeeded");
    date(made, old, &now);
    Ok(())
}

#[async_trait]
impl ResourceType for Workspaces {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            identity: true,
            etag: Some("etag"),
            delete_rank: 80,
            name_pattern: Some("[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]"),
            ..TypeDescriptor::new(WORKSPACES, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let grave: Option<Kept> = match request.existing {
            Some(_) => None,
            None => graves(ctx).get(request.id.key())?,
        };
        let revived = grave.filter(|kept| kept.fresh(ctx.clock.now()));
        let old =
            request.existing.or(revived.as_ref().map(|kept| &kept.workspace)).map(|old| &old.properties);
        fill(ctx, &mut made.properties, old)?;
        if request.existing.is_none() {
            if revived.is_none() {
                secrets::forget(&keys(ctx), request.id).await?;
            }
            graves(ctx).remove(request.id.key()).await?;
        }
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if ctx.query("force").is_some_and(|force| force.eq_ignore_ascii_case("true")) {
            secrets::forget(&keys(ctx), &existing.id).await?;
        } else {
            let kept = Kept { workspace: existing.clone(), deleted: ctx.clock.now() };
            graves(ctx).put(existing.id.key(), &kept).await?;
        }
        Ok(Deleted::Done)
    }

    async fn action(&self, ctx: &Ctx, existing: &Resource, name: &str, _: Value) -> Result<Acted, ArmError> {
        let pair = match name.to_ascii_lowercase().as_str() {
            "sharedkeys" | "listkeys" => secrets::of(ctx, &keys(ctx), &existing.id).await?,
            "regeneratesharedkey" => {
                secrets::renew(ctx, &keys(ctx), &existing.id, false).await?;
                secrets::renew(ctx, &keys(ctx), &existing.id, true).await?
            }
            _ => return Err(ArmError::not_implemented(format_args!("The action '{WORKSPACES}/{name}'"))),
        };
        Ok(Acted::Done(Some(json!({
            "primarySharedKey": pair.first.value, "secondarySharedKey": pair.second.value,
        }))))
    }
}

#[async_trait]
impl ProviderCalls for Calls {
    async fn call(&self, ctx: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let [word] = call.path else { return None };
        if *call.method != Method::GET || !word.eq_ignore_ascii_case("deletedWorkspaces") {
            return None;
        }
        Some(deleted(ctx, call.scope))
    }
}

fn deleted(ctx: &Ctx, scope: &ResourceId) -> Result<Acted, ArmError> {
    let found: Vec<(String, Kept)> = graves(ctx).list("")?;
    let now = ctx.clock.now();
    let shown: Vec<Value> = found
        .into_iter()
        .filter(|(_, kept)| kept.fresh(now) && kept.workspace.id.is_within(scope))
        .map(|(_, kept)| kept.workspace.to_json())
        .collect();
    Ok(Acted::Answer(StatusCode::OK, json!({ "value": shown })))
}

/// The workspace an id names, or the error of a property that names none.
pub(super) fn named(ctx: &Ctx, id: &str, property: &str) -> Result<std::sync::Arc<Resource>, ArmError> {
    let id = ResourceId::parse(id)?;
    ctx.resources.get(&id).filter(|found| found.kind_type.eq_ignore_ascii_case(WORKSPACES)).ok_or_else(|| {
        ArmError::bad_request(
            "InvalidParameter",
            format!("The workspace '{id}' of '{property}' was not found."),
        )
        .target(property)
    })
}
