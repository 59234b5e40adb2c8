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

/// What a PATCH asks for, as a whole: user-assigned identities that it does not name stay, those it names with `null` go,
/// and a type that it does not say is as before.
pub fn patched(requested: &Value, existing: Option<&Value>) -> Value {
    let mut made = requested.clone();
    let Some(block) = made.as_object_mut() else { return made };
    let kind = |block: &Value| block.get("type").and_then(Value::as_str).map(str::to_owned);
    let kind = kind(requested).or_else(|| existing.and_then(kind)).unwrap_or_else(|| "None".to_owned());
    let has = |word: &str| kind.split(',').any(|w| w.trim().eq_ignore_ascii_case(word));
    block.insert("type".to_owned(), json!(kind));
    if !has("userassigned") {
        return made;
    }
    let of = |side: Option<&Value>| {
        side.and_then(|side| side.get("userAssignedIdentities")?.as_object()).cloned().unwrap_or_default()
    };
    let mut wanted = of(existing);
    for (id, value) in of(Some(requested)) {
        let same = |other: &String| match (ResourceId::parse(other), ResourceId::parse(&id)) {
            (Ok(other), Ok(id)) => other == id,
            _ => *other == id,
        };
        let there: Vec<String> = wanted.keys().filter(|other| same(other)).cloned().collect();
        if value.is_null() {
            wanted.retain(|other, _| !there.contains(other));
        } else if there.is_empty() {
            wanted.insert(id, value);
        }
    }
    if wanted.is_empty() {
        let left = if has("systemassigned") { "SystemAssigned" } else { "None" };
        block.insert("type".to_owned(), json!(left));
    }
    block.insert("userAssignedIdentities".to_owned(), Value::Object(wanted));
    made
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_adds_identities_and_takes_away_those_it_names_with_null() {
        let id = |name: &str| format!("/subscriptions/s/resourceGroups/g/providers/{USER_ASSIGNED}/{name}");
        let there = json!({ "type": "UserAssigned", "userAssignedIdentities": { id("a"): {}, id("b"): {} } });
        for (asked, kind, left) in [
            (json!({ "type": "UserAssigned", "userAssignedIdentities": { id("c"): {} } }), "UserAssigned", 3),
            (json!({ "userAssignedIdentities": { id("A"): null } }), "UserAssigned", 1),
            (json!({ "type": "SystemAssigned, UserAssigned" }), "SystemAssigned, UserAssigned", 2),
            (
                json!({ "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { id("a"): null, id("b"): null } }),
                "SystemAssigned",
                0,
            ),
            (json!({ "userAssignedIdentities": { id("a"): null, id("b"): null } }), "None", 0),
        ] {
            let made = patched(&asked, Some(&there));
            assert_eq!(made["type"], kind, "{asked}");
            assert_eq!(made["userAssignedIdentities"].as_object().unwrap().len(), left, "{asked}");
        }
        assert_eq!(patched(&json!({ "type": "SystemAssigned" }), Some(&there))["type"], "SystemAssigned");
    }
}
