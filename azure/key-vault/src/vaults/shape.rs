//! What a vault may look like, and what is filled in.

use arm::json::{default, list, set, text};
use arm::{ArmError, Ctx, Put, Resource};
use serde_json::{Value, json};

const POLICIES_MAX: usize = 1024;
const RETENTION_DAYS: std::ops::RangeInclusive<i64> = 7..=90;
/// From this version on a vault uses roles unless told otherwise.
const ROLES_BY_DEFAULT: &str = "2026-02-01";

fn bad(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("BadRequest", message)
}

/// Whether a vault may be called so.
pub(super) fn well_named(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
}

pub(super) fn invalid_name(name: &str) -> String {
    format!(
        "The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must begin with a letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for more information: https://go.microsoft.com/fwlink/?linkid=2147742"
    )
}

pub(super) fn check_name(name: &str) -> Result<(), ArmError> {
    if well_named(name) {
        return Ok(());
    }
    Err(ArmError::bad_request("VaultNameNotValid", invalid_name(name)))
}

/// Checks access policies and brings them into their usual form.
pub(super) fn policies(given: &[Value]) -> Result<Vec<Value>, ArmError> {
    if given.len() > POLICIES_MAX {
        return Err(bad(format!("A vault can have at most {POLICIES_MAX} access policies.")));
    }
    let mut made = Vec::with_capacity(given.len());
    for policy in given {
        let (Some(tenant), Some(object)) = (text(policy, "/tenantId"), text(policy, "/objectId")) else {
            return Err(bad("An access policy needs 'tenantId' and 'objectId'."));
        };
        let Some(permissions) = policy.get("permissions").filter(|p| p.is_object()) else {
            return Err(bad("An access policy needs 'permissions'."));
        };
        for kind in ["keys", "secrets", "certificates", "storage"] {
            for permission in list(permissions, &format!("/{kind}")) {
                check_permission(kind, permission)?;
            }
        }
        let mut one = json!({"tenantId": tenant, "objectId": object, "permissions": permissions});
        if let Some(application) = text(policy, "/applicationId") {
            one["applicationId"] = json!(application);
        }
        made.push(one);
    }
    Ok(made)
}

fn check_permission(kind: &str, permission: &Value) -> Result<(), ArmError> {
    const COMMON: &[&str] = &["all", "get", "list", "delete", "backup", "restore", "recover", "purge"];
    let own: &[&str] = match kind {
        "keys" => &[
            "encrypt",
            "decrypt",
            "wrapKey",
            "unwrapKey",
            "sign",
            "verify",
            "create",
            "update",
            "import",
            "release",
            "rotate",
            "getrotationpolicy",
            "setrotationpolicy",
        ],
        "secrets" => &["set"],
        "certificates" => &[
            "create",
            "import",
            "update",
            "managecontacts",
            "getissuers",
            "listissuers",
            "setissuers",
            "deleteissuers",
            "manageissuers",
        ],
        _ => &["set", "update", "regeneratekey", "getsas", "listsas", "setsas", "deletesas"],
    };
    let known = permission
        .as_str()
        .is_some_and(|p| COMMON.iter().chain(own).any(|known| known.eq_ignore_ascii_case(p)));
    if known {
        return Ok(());
    }
    Err(bad(format!("The value {permission} is no permission for {kind}.")))
}

/// The vault that a PUT describes.
pub(super) fn vault(ctx: &Ctx, request: &Put<'_>) -> Result<Resource, ArmError> {
    let mut made = request.resource();
    let old = request.existing.map(|existing| &existing.properties);
    let given = &mut made.properties;
    let tenant = text(given, "/tenantId")
        .ok_or_else(|| bad("The parameter tenantId is missing or invalid."))
        .and_then(|tenant| match uuid::Uuid::parse_str(tenant) {
            Ok(_) => Ok(tenant.to_owned()),
            Err(_) => Err(bad("The parameter tenantId is missing or invalid.")),
        })?;
    if !tenant.eq_ignore_ascii_case(&ctx.tenant_id) {
        return Err(bad(format!(
            "The tenant ID '{tenant}' in request does not match the tenant ID '{}' associated with this subscription.",
            ctx.tenant_id
        )));
    }
    let tier = text(given, "/sku/name").map(str::to_ascii_lowercase);
    let tier = match tier.as_deref() {
        Some(tier @ ("standard" | "premium")) => tier.to_owned(),
        _ => return Err(bad("The parameter sku is missing or invalid: its name is standard or premium.")),
    };
    set(given, &["sku"], json!({"family": "A", "name": tier}));
    let policies = policies(list(given, "/accessPolicies"))?;
    set(given, &["accessPolicies"], policies);
    check_network(given)?;
    soft_delete(given, old)?;
    default(given, &["enabledForDeployment"], false);
    default(given, &["enableRbacAuthorization"], ctx.api_version.as_str() >= ROLES_BY_DEFAULT);
    default(given, &["publicNetworkAccess"], "Enabled");
    set(
        given,
        &["vaultUri"],
        format!("https://{}.{}/", request.id.name().to_ascii_lowercase(), ctx.cloud.key_vault_suffix),
    );
    set(given, &["provisioningState"], "Succeeded");
    if let Some(map) = given.as_object_mut() {
        map.remove("createMode");
        map.remove("hsmPoolResourceId");
        map.retain(|_, value| !value.is_null());
    }
    for name in [
        "enabledForDeployment",
        "enabledForDiskEncryption",
        "enabledForTemplateDeployment",
        "enableRbacAuthorization",
    ] {
        if given.get(name).is_some_and(|value| !value.is_boolean()) {
            return Err(bad(format!("The property \"{name}\" must be true or false.")));
        }
    }
    Ok(made)
}

fn soft_delete(given: &mut Value, old: Option<&Value>) -> Result<(), ArmError> {
    if given["enableSoftDelete"] == json!(false) {
        return Err(bad(
            "The property \"enableSoftDelete\" can be set to false only for creating new vault. Enabling the 'soft delete' functionality is an irreversible action.",
        ));
    }
    set(given, &["enableSoftDelete"], true);
    let protected = old.is_some_and(|old| old["enablePurgeProtection"] == json!(true));
    match given.get("enablePurgeProtection") {
        Some(Value::Bool(false)) => {
            return Err(bad(
                "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.",
            ));
        }
        Some(Value::Bool(true)) | None | Some(Value::Null) => {}
        Some(_) => return Err(bad("The property \"enablePurgeProtection\" must be true or false.")),
    }
    if protected {
        set(given, &["enablePurgeProtection"], true);
    }
    let was = old.and_then(|old| old["softDeleteRetentionInDays"].as_i64());
    let days = match given.get("softDeleteRetentionInDays").filter(|days| !days.is_null()) {
        None => was.unwrap_or(90),
        Some(days) => days
            .as_i64()
            .filter(|days| RETENTION_DAYS.contains(days))
            .ok_or_else(|| bad("The property \"softDeleteRetentionInDays\" must be between 7 and 90."))?,
    };
    if was.is_some_and(|was| was != days) {
        return Err(bad(
            "The property \"softDeleteRetentionInDays\" has been set already and it can't be modified.",
        ));
    }
    set(given, &["softDeleteRetentionInDays"], days);
    Ok(())
}

fn check_network(given: &mut Value) -> Result<(), ArmError> {
    let one_of = |value: Option<&Value>, allowed: &[&str], name: &str| match value {
        None | Some(Value::Null) => Ok(()),
        Some(value) if value.as_str().is_some_and(|v| allowed.iter().any(|a| a.eq_ignore_ascii_case(v))) => {
            Ok(())
        }
        Some(value) => Err(bad(format!("The value {value} of \"{name}\" is invalid."))),
    };
    one_of(given.get("publicNetworkAccess"), &["Enabled", "Disabled"], "publicNetworkAccess")?;
    let Some(rules) = given.get_mut("networkAcls").filter(|rules| !rules.is_null()) else { return Ok(()) };
    one_of(rules.get("bypass"), &["AzureServices", "None"], "networkAcls.bypass")?;
    one_of(rules.get("defaultAction"), &["Allow", "Deny"], "networkAcls.defaultAction")?;
    for (name, value) in [("bypass", "AzureServices"), ("defaultAction", "Allow")] {
        default(rules, &[name], value);
    }
    for name in ["ipRules", "virtualNetworkRules"] {
        default(rules, &[name], json!([]));
    }
    for rule in rules["ipRules"].as_array_mut().into_iter().flatten() {
        let given = text(rule, "/value").unwrap_or_default();
        let range = address_range(given).ok_or_else(|| {
            bad(format!("The value '{given}' of \"networkAcls.ipRules\" is no IPv4 address or range."))
        })?;
        set(rule, &["value"], range);
    }
    Ok(())
}

/// An IPv4 range as it is shown: a single address is one of 32 bits.
fn address_range(given: &str) -> Option<String> {
    let (address, bits) = given.split_once('/').unwrap_or((given, "32"));
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok().filter(|bits| *bits <= 32)?;
    Some(format!("{address}/{bits}"))
}

#[cfg(test)]
mod tests {
    use super::{address_range, well_named};

    #[test]
    fn address_ranges() {
        for (given, shown) in [
            ("1.2.3.4", Some("1.2.3.4/32")),
            ("1.2.3.0/24", Some("1.2.3.0/24")),
            ("1.2.3.4/33", None),
            ("1.2.3", None),
            ("", None),
        ] {
            assert_eq!(address_range(given).as_deref(), shown, "{given}");
        }
    }

    #[test]
    fn names() {
        for good in ["abc", "kv1", "a-b-c", "A12345678901234567890123"] {
            assert!(well_named(good), "{good}");
        }
        for bad in ["ab", "1bc", "a--b", "ab-", "a_b", "a123456789012345678901234", ""] {
            assert!(!well_named(bad), "{bad}");
        }
    }
}
