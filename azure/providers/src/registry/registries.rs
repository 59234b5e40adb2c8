//! `Microsoft.ContainerRegistry/registries`: the registries that images are kept under.
//!
//! A registry `one` answers as `one.azurecr.io`. Its images go when it goes. Not built: tasks, webhooks,
//! replications, private endpoints.

use std::path::PathBuf;

use arm::{
    Acted, ArmError, Call, Ctx, Deleted, Provider, ProviderCalls, Put, Resource, ResourceId, ResourceType,
    Resources, TypeDescriptor, Written,
};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

use super::admin::AdminUsers;
use super::policies;
use super::scope_maps::ScopeMaps;
use super::store::Stored;
use super::tokens::{self, Tokens};

/// The type.
pub const REGISTRIES: &str = "Microsoft.ContainerRegistry/registries";
pub(super) const API_VERSIONS: &[&str] = &[
    "2026-09-01-preview",
    "2025-11-01",
    "2025-04-01",
    "2023-07-01",
    "2023-01-01-preview",
    "2022-12-01",
    "2019-05-01",
];

/// The `roleAssignmentMode` of a registry whose repositories have rights of their own.
pub(super) const BY_REPOSITORY: &str = "AbacRepositoryPermissions";
const MODES: [&str; 2] = ["LegacyRegistryPermissions", BY_REPOSITORY];

/// The provider. `dir` is where the [`Registry`](super::Registry) keeps its images.
pub fn provider(dir: PathBuf) -> Provider {
    Provider::new("Microsoft.ContainerRegistry")
        .with(Registries { dir })
        .with(ScopeMaps)
        .with(Tokens)
        .with_calls(Calls)
}

/// The registry that answers for the first part (`one.azurecr.io`) of a repository's name: what roles on its images are
/// assigned at.
pub fn registry_of(resources: &Resources, repository: &str) -> Option<ResourceId> {
    let host = repository.split('/').next().unwrap_or(repository);
    let host = host.split(':').next().unwrap_or(host);
    let all = resources.list_type(&ResourceId::root(), REGISTRIES);
    let found = all
        .iter()
        .find(|r| r.properties["loginServer"].as_str().is_some_and(|s| s.eq_ignore_ascii_case(host)));
    found.map(|r| r.id.clone())
}

struct Registries {
    dir: PathBuf,
}

fn server(ctx: &Ctx, name: &str) -> String {
    format!("{}.{}", name.to_ascii_lowercase(), ctx.cloud.acr_suffix)
}

fn well_named(name: &str) -> bool {
    (5..=50).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn taken(server: &str) -> ArmError {
    ArmError::conflict(
        "AlreadyInUse",
        format!(
            "The registry DNS name {server} is already in use. You can check if the name is already claimed using following API: https://docs.microsoft.com/en-us/rest/api/containerregistry/registries/checknameavailability"
        ),
    )
}

/// The tier that a SKU names, as it is written everywhere.
fn tier(sku: Option<&Value>) -> Result<&'static str, ArmError> {
    let given = sku.and_then(|sku| sku["name"].as_str()).unwrap_or_default();
    let known = ["Basic", "Standard", "Premium"].into_iter().find(|known| known.eq_ignore_ascii_case(given));
    known.ok_or_else(|| {
        ArmError::bad_request(
            "SkuNotSupported",
            format!("The SKU '{given}' is not supported. Supported SKUs are Basic, Standard and Premium."),
        )
    })
}

#[async_trait]
impl ResourceType for Registries {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            identity: true,
            delete_rank: 60,
            name_pattern: Some("[a-zA-Z0-9]{5,50}"),
            ..TypeDescriptor::new(REGISTRIES, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let server = server(ctx, request.id.name());
        if request.existing.is_none() && registry_of(&ctx.resources, &server).is_some() {
            return Err(taken(&server));
        }
        let tier = tier(made.sku.as_ref())?;
        made.sku = Some(json!({"name": tier, "tier": tier}));
        let created = request
            .existing
            .map_or_else(|| json!(ctx.clock.now().to_string()), |e| e.properties["creationDate"].clone());
        let fixed = json!({
            "loginServer": server, "creationDate": created, "provisioningState": "Succeeded",
            "privateEndpointConnections": [],
        });
        if let Some(mode) = made.properties.get("roleAssignmentMode").filter(|mode| !mode.is_null()) {
            // Kept as it is written everywhere; who may do what hangs on it.
            let known =
                MODES.iter().find(|known| mode.as_str().is_some_and(|m| m.eq_ignore_ascii_case(known)));
            let Some(known) = known else {
                return Err(ArmError::invalid_parameter(
                    "roleAssignmentMode",
                    format!(
                        "The role assignment mode {mode} is not valid: it is '{}'.",
                        MODES.join("' or '")
                    ),
                ));
            };
            made.properties["roleAssignmentMode"] = json!(known);
        }
        let place = made.location.clone().unwrap_or_default();
        let data = made.properties["dataEndpointEnabled"] == json!(true);
        if data && tier != "Premium" {
            return Err(ArmError::bad_request(
                "DataEndpointEnabledNotSupported",
                format!("Data endpoints are not supported for the SKU {tier}; they need Premium."),
            ));
        }
        let hosts: Vec<String> = match server.split_once('.').filter(|_| data) {
            Some((name, zone)) => vec![format!("{name}.{place}.data.{zone}")],
            None => Vec::new(),
        };
        let defaults = json!({
            "adminUserEnabled": false, "dataEndpointEnabled": false,
            "publicNetworkAccess": "Enabled", "networkRuleBypassOptions": "AzureServices", "zoneRedundancy": "Disabled",
            "anonymousPullEnabled": false, "encryption": {"status": "disabled"},
        });
        fill(&mut made.properties, defaults);
        let before = request.existing.map_or(&Value::Null, |e| &e.properties["policies"]);
        made.properties["policies"] =
            policies::settled(&made.properties["policies"], before, ctx.clock.now())?;
        if let (Some(map), Value::Object(fixed)) = (made.properties.as_object_mut(), fixed) {
            map.extend(fixed);
            map.insert("dataEndpointHostNames".to_owned(), json!(hosts));
        }
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        AdminUsers::of(&ctx.resources).forget(existing).await?;
        tokens::forget(&ctx.resources, &existing.id).await?;
        let Some(server) = existing.properties["loginServer"].as_str() else { return Ok(Deleted::Done) };
        let path = self.dir.join("repositories").join(server);
        let removed = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err((error, path)),
            _ => Ok(()),
        });
        match removed.await {
            Ok(Ok(())) => Ok(Deleted::Done),
            Ok(Err((error, path))) => {
                tracing::error!(%error, path = %path.display(), "failed to remove a registry's images");
                Err(ArmError::internal())
            }
            Err(_) => Err(ArmError::internal()),
        }
    }

    async fn read(&self, _: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let words: Vec<String> = path.iter().map(|s| s.to_ascii_lowercase()).collect();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["listusages"] => Ok(Acted::Done(Some(self.usages(existing)?))),
            _ => Err(ArmError::not_implemented(format_args!(
                "Reading '{}/{}'",
                existing.kind_type,
                path.join("/")
            ))),
        }
    }

    async fn action(
        &self,
        ctx: &Ctx,
        existing: &Resource,
        name: &str,
        body: Value,
    ) -> Result<Acted, ArmError> {
        let admin = AdminUsers::of(&ctx.resources);
        match name.to_ascii_lowercase().as_str() {
            "listcredentials" => Ok(Acted::Done(Some(admin.list(existing).await?))),
            "regeneratecredential" => Ok(Acted::Done(Some(admin.renew(existing, &body).await?))),
            "generatecredentials" => tokens::generate(ctx, existing, &body).await,
            "importimage" => {
                super::import::run(ctx, &self.dir, existing, &body)?;
                Ok(Acted::Answer(StatusCode::OK, json!({})))
            }
            _ => Err(ArmError::not_implemented(format_args!("The action '{REGISTRIES}/{name}'"))),
        }
    }
}

/// Adds what is missing or null, at every depth.
fn fill(into: &mut Value, defaults: Value) {
    match (into, defaults) {
        (Value::Object(map), Value::Object(defaults)) => {
            for (name, value) in defaults {
                fill(map.entry(name).or_insert(Value::Null), value);
            }
        }
        (slot @ Value::Null, defaults) => *slot = defaults,
        _ => {}
    }
}

impl Registries {
    /// What is used of what the tier includes.
    fn usages(&self, registry: &Resource) -> Result<Value, ArmError> {
        const GIB: u64 = 1 << 30;
        let tier = registry.sku.as_ref().and_then(|s| s["name"].as_str()).unwrap_or_default();
        let (storage, webhooks) = match tier {
            "Basic" => (10 * GIB, 2),
            "Standard" => (100 * GIB, 10),
            _ => (500 * GIB, 500),
        };
        let host = registry.properties["loginServer"].as_str().unwrap_or_default();
        let used = Stored::at(&self.dir).size_of_host(host).map_err(|error| {
            tracing::error!(error = %kit::Chain(&error), "a registry's size cannot be read");
            ArmError::internal()
        })?;
        let usage = |name: &str, unit: &str, used: u64, limit: u64| json!({"name": name, "unit": unit, "currentValue": used, "limit": limit});
        Ok(json!({"value": [usage("Size", "Bytes", used, storage), usage("Webhooks", "Count", 0, webhooks)]}))
    }
}

struct Calls;

#[async_trait]
impl ProviderCalls for Calls {
    async fn call(&self, ctx: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let [word] = call.path else { return None };
        if !word.eq_ignore_ascii_case("checkNameAvailability") || call.method != http::Method::POST {
            return None;
        }
        let name = call.body["name"].as_str().unwrap_or("");
        let server = server(ctx, name);
        let body = if !well_named(name) {
            json!({"nameAvailable": false, "reason": "Invalid", "message": format!("The specified resource name {name} is invalid. Resource names may contain alpha numeric characters only and must be between 5 and 50 characters.")})
        } else if registry_of(&ctx.resources, &server).is_some() {
            json!({"nameAvailable": false, "reason": "AlreadyExists", "message": format!("The registry {name} is already in use.")})
        } else {
            json!({"nameAvailable": true})
        };
        Some(Ok(Acted::Answer(StatusCode::OK, body)))
    }
}
