//! The `identity` block of a resource: system-assigned identities are made, user-assigned ones looked up.

use serde_json::{Map, Value, json};

use crate::{ArmError, Ctx, ResourceId};

/// Type of a user-assigned identity.
pub const USER_ASSIGNED: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// The block with all ids filled in. `requested` is what the client sent, `existing` what is stored.
///
/// The caller needs `…/userAssignedIdentities/assign/action` on each user-assigned identity that is new.
pub async fn resolve(
    ctx: &Ctx,
    id: &ResourceId,
    requested: Option<&Value>,
    existing: Option<&Value>,
) -> Result<Option<Value>, ArmError> {
    let Some(requested) = requested.filter(|v| v.is_object()) else { return Ok(existing.cloned()) };
    let kind = requested.get("type").and_then(Value::as_str).unwrap_or("None");
    let words: Vec<String> = kind.split(',').map(|w| w.trim().to_ascii_lowercase()).collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    if let Some(wrong) =
        words.iter().find(|w| !["none", "systemassigned", "userassigned"].contains(&w.as_str()))
    {
        return Err(ArmError::bad_request(
            "InvalidIdentityType",
            format!(
                "The identity type '{wrong}' is not valid. Allowed values are 'SystemAssigned', 'UserAssigned', 'SystemAssigned, UserAssigned' and 'None'."
            ),
        ));
    }
    let mut block = Map::new();
    let had_system = existing.is_some_and(|e| e.get("principalId").is_some());
    if has("systemassigned") {
        let identity = ctx.directory.create_managed_identity(id).await?;
        block.insert("principalId".into(), json!(identity.principal_id));
        block.insert("tenantId".into(), json!(identity.tenant_id));
    } else if had_system {
        ctx.directory.delete_managed_identity(id).await?;
    }
    if has("userassigned") {
        block.insert("userAssignedIdentities".into(), user_assigned(ctx, id, requested, existing).await?);
    }
    if has("none") {
        return Ok(Some(json!({"type": "None"})));
    }
    let canonical = match (has("systemassigned"), has("userassigned")) {
        (true, true) => "SystemAssigned, UserAssigned",
        (true, false) => "SystemAssigned",
        _ => "UserAssigned",
    };
    block.insert("type".into(), json!(canonical));
    Ok(Some(Value::Object(block)))
}

async fn user_assigned(
    ctx: &Ctx,
    id: &ResourceId,
    requested: &Value,
    existing: Option<&Value>,
) -> Result<Value, ArmError> {
    let known = |identity: &ResourceId| {
        existing
            .and_then(|e| e.get("userAssignedIdentities")?.as_object())
            .is_some_and(|map| map.keys().any(|k| ResourceId::parse(k).is_ok_and(|k| k == *identity)))
    };
    let empty = Map::new();
    let wanted = requested.get("userAssignedIdentities").and_then(Value::as_object).unwrap_or(&empty);
    let mut filled = Map::new();
    for (text, value) in wanted {
        if value.is_null() {
            continue;
        }
        let identity = ResourceId::parse(text)?;
        let Some(found) =
            ctx.resources.get(&identity).filter(|r| r.kind_type.eq_ignore_ascii_case(USER_ASSIGNED))
        else {
            return Err(ArmError::bad_request(
                "FailedIdentityOperation",
                format!(
                    "Identity operation for resource '{id}' failed with error 'Failed to perform resource identity operation. Status: 'BadRequest'. Response: 'Resource '{identity}' was not found.''."
                ),
            ));
        };
        if !known(&identity) {
            let write = format!("{}/write", id.resource_type());
            ctx.authorize_linked(
                &write,
                id,
                "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
                &identity,
            )?;
        }
        filled.insert(
            text.clone(),
            json!({"principalId": found.properties["principalId"], "clientId": found.properties["clientId"]}),
        );
    }
    Ok(Value::Object(filled))
}
