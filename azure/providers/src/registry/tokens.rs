//! `Microsoft.ContainerRegistry/registries/tokens`: names with passwords that may in some repositories what a scope map says.
//!
//! A password is shown once, when it is made; what is kept is its digest. A token that is disabled, and one whose map is
//! gone, may nothing from that moment on.

use std::collections::BTreeMap;

use arm::{
    Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, Table, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

use super::auth::{Action, Principal};
use super::registries::{API_VERSIONS, registry_of};
use super::scope_maps::{self, SCOPE_MAPS};

/// The type.
pub(super) const TOKENS: &str = "Microsoft.ContainerRegistry/registries/tokens";
/// How a token's object id begins; no directory has such ids.
const PREFIX: &str = "registry-token:";
const NAMES: [&str; 2] = ["password1", "password2"];

/// Digests of passwords, by their names.
type Digests = BTreeMap<String, String>;

fn table(resources: &Resources) -> Table {
    resources.table("registry-tokens")
}

fn digest(password: &str) -> String {
    super::store::digest(password.as_bytes())
}

/// The token of a registry with this name and password.
pub(super) fn sign_in(
    resources: &Resources,
    host: &str,
    name: &str,
    password: &str,
    now: jiff::Timestamp,
) -> Option<Principal> {
    let token = resources.get(&registry_of(resources, host)?.child("tokens", name))?;
    let kept = table(resources).get::<Digests>(token.id.key()).ok()??;
    let given = digest(password);
    let listed = token.properties.pointer("/credentials/passwords").and_then(Value::as_array);
    let fits = listed.into_iter().flatten().any(|listed| {
        let over = listed["expiry"]
            .as_str()
            .and_then(|at| at.parse::<jiff::Timestamp>().ok())
            .is_some_and(|at| at <= now);
        !over && listed["name"].as_str().is_some_and(|name| kept.get(name) == Some(&given))
    });
    (fits && enabled(&token))
        .then(|| Principal { object_id: format!("{PREFIX}{}", token.id), name: token.name.clone() })
}

fn enabled(token: &Resource) -> bool {
    token.properties["status"] == json!("enabled")
}

/// Whether a token may do it in a repository (`host/name`), now; none for everybody who is no token.
pub(super) fn may(
    resources: &Resources,
    principal: &Principal,
    repository: &str,
    action: Action,
) -> Option<bool> {
    let id = ResourceId::parse(principal.object_id.strip_prefix(PREFIX)?).ok();
    let token = id.and_then(|id| resources.get(&id)).filter(|token| enabled(token));
    let own = |token: &Resource| token.id.parent() == registry_of(resources, repository);
    let Some(token) = token.filter(|token| own(token)) else { return Some(false) };
    let map = token.properties["scopeMapId"].as_str().and_then(|id| ResourceId::parse(id).ok());
    let map = map.and_then(|id| scope_maps::find(resources, &id));
    let name = repository.split_once('/').map_or("", |(_, name)| name);
    Some(map.is_some_and(|map| scope_maps::allows(&map, name, action)))
}

fn invalid(target: &str, message: impl Into<String>) -> ArmError {
    ArmError::invalid_parameter(target, message.into())
}

/// `generateCredentials`: new passwords of a token, all or the one that is named.
pub(super) async fn generate(ctx: &Ctx, registry: &Resource, body: &Value) -> Result<Acted, ArmError> {
    let id = body["tokenId"].as_str().and_then(|id| ResourceId::parse(id).ok());
    let id = id.filter(|id| id.parent().as_ref() == Some(&registry.id) && id.is_type(TOKENS));
    let id = id.ok_or_else(|| {
        invalid("tokenId", "The token's id is missing, or not one of this registry's tokens.")
    })?;
    let token = ctx.resources.get(&id).ok_or_else(|| ArmError::resource_not_found(&id))?;
    let names: Vec<&str> = match body.get("name").filter(|name| !name.is_null()) {
        None => NAMES.to_vec(),
        Some(name) => NAMES.iter().copied().filter(|known| name.as_str() == Some(known)).collect(),
    };
    if names.is_empty() {
        return Err(invalid("name", format!("The password's name is '{}'.", NAMES.join("' or '"))));
    }
    let now = ctx.clock.now();
    let expiry = match body.get("expiry").filter(|at| !at.is_null()) {
        None => None,
        Some(at) => {
            let at = at.as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).filter(|at| *at > now);
            Some(at.ok_or_else(|| invalid("expiry", "The expiry is not a date to come."))?)
        }
    };
    let mut digests = table(&ctx.resources).get::<Digests>(token.id.key())?.unwrap_or_default();
    let mut shown = Vec::new();
    for name in names {
        let value = super::admin::made();
        digests.insert(name.to_owned(), digest(&value));
        let mut password = json!({"name": name, "creationTime": now.to_string()});
        if let Some(at) = expiry {
            password["expiry"] = json!(at.to_string());
        }
        let mut told = password.clone();
        told["value"] = json!(value);
        shown.push((name, password, told));
    }
    table(&ctx.resources).put(token.id.key(), &digests).await?;
    ctx.resources
        .modify(&token.id, |token| {
            let mut kept = listed(token);
            for (name, password, _) in &shown {
                kept.retain(|one| one["name"] != json!(name));
                kept.push(password.clone());
            }
            kept.sort_by_key(|one| one["name"].as_str().unwrap_or_default().to_owned());
            token.properties["credentials"] = json!({"passwords": kept});
            true
        })
        .await?;
    let told: Vec<Value> = shown.into_iter().map(|(.., told)| told).collect();
    Ok(Acted::Answer(StatusCode::OK, json!({"username": token.name, "passwords": told})))
}

fn listed(token: &Resource) -> Vec<Value> {
    token.properties.pointer("/credentials/passwords").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// The type.
pub(super) struct Tokens;

#[async_trait]
impl ResourceType for Tokens {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            name_pattern: Some("[a-zA-Z0-9-]{5,50}"),
            ..TypeDescriptor::new(TOKENS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let map = made.properties["scopeMapId"].as_str().and_then(|id| ResourceId::parse(id).ok());
        let map = map.filter(|map| map.is_type(SCOPE_MAPS) && map.parent() == request.id.parent());
        let map = map.ok_or_else(|| {
            invalid("scopeMapId", "The scope map is missing, or not one of this registry's.")
        })?;
        if scope_maps::find(&ctx.resources, &map).is_none() {
            return Err(ArmError::resource_not_found(&map));
        }
        let status = made.properties.get("status").filter(|status| !status.is_null()).cloned();
        let status = status.unwrap_or_else(|| json!("enabled"));
        let known = ["enabled", "disabled"]
            .into_iter()
            .find(|known| status.as_str().is_some_and(|s| s.eq_ignore_ascii_case(known)));
        let known = known.ok_or_else(|| {
            invalid("status", format!("The status {status} is not 'enabled' or 'disabled'."))
        })?;
        let old = request.existing.map(listed).unwrap_or_default();
        // What is sent names the passwords that stay; new ones are made by `generateCredentials` only.
        let kept = match made.properties.pointer("/credentials/passwords").and_then(Value::as_array) {
            None => old.clone(),
            Some(sent) => {
                let names: Vec<&str> = sent.iter().filter_map(|one| one["name"].as_str()).collect();
                if names.iter().any(|name| !old.iter().any(|one| one["name"] == json!(name))) {
                    return Err(invalid("credentials", "Passwords are made by generating credentials."));
                }
                old.iter()
                    .filter(|one| names.iter().any(|name| one["name"] == json!(name)))
                    .cloned()
                    .collect()
            }
        };
        if kept.len() < old.len() {
            let key = request.id.key();
            let mut digests = table(&ctx.resources).get::<Digests>(key)?.unwrap_or_default();
            digests.retain(|name, _| kept.iter().any(|one| one["name"] == json!(name)));
            table(&ctx.resources).put(key, &digests).await?;
        }
        let created = request
            .existing
            .map_or_else(|| json!(ctx.clock.now().to_string()), |old| old.properties["creationDate"].clone());
        if let Some(properties) = made.properties.as_object_mut() {
            properties.insert("status".to_owned(), json!(known));
            properties.insert("creationDate".to_owned(), created);
            properties.insert("provisioningState".to_owned(), json!("Succeeded"));
            properties.insert("credentials".to_owned(), json!({"passwords": kept}));
        }
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        forget(&ctx.resources, &existing.id).await?;
        Ok(Deleted::Done)
    }
}

/// Forgets the passwords of a token that goes, or of all below a registry.
pub(super) async fn forget(resources: &Resources, scope: &ResourceId) -> Result<(), ArmError> {
    let mut keys: Vec<String> =
        resources.list_type(scope, TOKENS).iter().map(|token| token.id.key().to_owned()).collect();
    keys.push(scope.key().to_owned());
    Ok(table(resources).remove_all(&keys).await?)
}
