//! `aadProfile` and `disableLocalAccounts`: whether people come to the cluster as who they are in the directory.
//!
//! Refusals are AKS's where it documents or shows them. Not here: who may do what (the API server decides), and kubeconfigs.

use arm::Resource;
use serde_json::Value;
use uuid::Uuid;

use crate::fault::Fault;
use crate::json::{default, flag, list, set, text};

/// What the profile asks of a control plane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// Whether tokens of the tenant's directory are known.
    pub enabled: bool,
    /// Object ids of groups whose members are cluster administrators.
    pub admin_groups: Vec<String>,
    /// Whether role assignments are asked for what Kubernetes' own roles do not allow.
    pub azure_rbac: bool,
}

/// Reads a stored cluster's profile.
pub fn read(properties: &Value) -> Profile {
    let enabled = is_enabled(properties);
    let groups = list(properties, "/aadProfile/adminGroupObjectIDs");
    Profile {
        enabled,
        admin_groups: groups.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        azure_rbac: enabled && flag(properties, "/aadProfile/enableAzureRBAC"),
    }
}

/// Whether a cluster knows the directory's tokens.
pub fn is_enabled(properties: &Value) -> bool {
    flag(properties, "/aadProfile/managed")
}

/// Checks and fills in what a caller wishes.
pub fn shape(cluster: &mut Resource, existing: Option<&Resource>, tenant: &str) -> Result<(), Fault> {
    let was = existing.is_some_and(|existing| is_enabled(&existing.properties));
    if cluster.properties["aadProfile"].is_null() {
        if let Some(properties) = cluster.properties.as_object_mut() {
            properties.remove("aadProfile");
        }
        return check_local_accounts(&cluster.properties);
    }
    let managed = is_enabled(&cluster.properties);
    if was && !managed {
        return Err(Fault::immutable("aadProfile.managed"));
    }
    check(&cluster.properties, managed, tenant)?;
    let properties = &mut cluster.properties;
    default(properties, &["aadProfile", "enableAzureRBAC"], false);
    set(properties, &["aadProfile", "tenantID"], tenant);
    check_local_accounts(properties)
}

fn check(properties: &Value, managed: bool, tenant: &str) -> Result<(), Fault> {
    for property in ["clientAppID", "serverAppID", "serverAppSecret"] {
        if text(properties, &format!("/aadProfile/{property}")).is_some_and(|value| !value.is_empty()) {
            return Err(Fault::parameter(
                &format!("aadProfile.{property}"),
                "applications of one's own belong to the legacy integration, which is retired; set aadProfile.managed to \
                 true",
            ));
        }
    }
    if !managed {
        return Err(Fault::parameter(
            "aadProfile.managed",
            "it must be true; the legacy integration is retired",
        ));
    }
    if properties["enableRBAC"] == false {
        return Err(Fault::parameter("aadProfile", "the integration needs a cluster with enableRBAC"));
    }
    for group in list(properties, "/aadProfile/adminGroupObjectIDs") {
        if group.as_str().is_none_or(|id| Uuid::try_parse(id).is_err()) {
            return Err(Fault::parameter(
                "aadProfile.adminGroupObjectIDs",
                format!("{group} is not the object id of a group"),
            ));
        }
    }
    let asked = text(properties, "/aadProfile/tenantID").filter(|asked| !asked.is_empty());
    if let Some(other) = asked.filter(|asked| !asked.eq_ignore_ascii_case(tenant)) {
        return Err(Fault::parameter("aadProfile.tenantID", format!("tenant '{other}' was not found")));
    }
    Ok(())
}

fn check_local_accounts(properties: &Value) -> Result<(), Fault> {
    if flag(properties, "/disableLocalAccounts") && !is_enabled(properties) {
        return Err(Fault::bad_request(
            "BadRequest",
            "Since kubernetes version 1.25, disableLocalAccounts can only be set on Azure AD integration enabled cluster. \
             Please integrate your cluster with AAD.",
        )
        .target("disableLocalAccounts"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arm::ResourceId;
    use serde_json::json;

    use super::*;

    const TENANT: &str = "11111111-1111-1111-1111-111111111111";
    const GROUP: &str = "0c8fbd0e-3ac8-4a5f-9b8c-2a8d6a3cbe01";

    fn cluster(properties: Value) -> Resource {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
        let mut cluster = Resource::new(ResourceId::parse(id).unwrap());
        cluster.properties = properties;
        cluster
    }

    #[test]
    fn what_is_refused_and_in_whose_words() {
        let on = json!({ "aadProfile": { "managed": true } });
        let table = [
            (None, json!({ "disableLocalAccounts": true }), "BadRequest", "disableLocalAccounts"),
            (
                None,
                json!({ "aadProfile": { "enableAzureRBAC": true } }),
                "InvalidParameter",
                "aadProfile.managed",
            ),
            (
                None,
                json!({ "aadProfile": { "managed": true, "serverAppID": "x" } }),
                "InvalidParameter",
                "aadProfile.serverAppID",
            ),
            (
                None,
                json!({ "enableRBAC": false, "aadProfile": { "managed": true } }),
                "InvalidParameter",
                "aadProfile",
            ),
            (
                None,
                json!({ "aadProfile": { "managed": true, "adminGroupObjectIDs": ["admins"] } }),
                "InvalidParameter",
                "aadProfile.adminGroupObjectIDs",
            ),
            (
                None,
                json!({ "aadProfile": { "managed": true, "tenantID": GROUP } }),
                "InvalidParameter",
                "aadProfile.tenantID",
            ),
            (
                Some(on.clone()),
                json!({ "aadProfile": { "managed": false } }),
                "PropertyChangeNotAllowed",
                "aadProfile.managed",
            ),
        ];
        for (old, wish, code, target) in table {
            let old = old.map(cluster);
            let fault = shape(&mut cluster(wish.clone()), old.as_ref(), TENANT).unwrap_err();
            assert_eq!((fault.code.as_str(), fault.target.as_deref()), (code, Some(target)), "{wish}");
        }
    }

    #[test]
    fn a_profile_is_filled_in_and_read_back() {
        let wish = json!({
            "disableLocalAccounts": true,
            "aadProfile": { "managed": true, "enableAzureRBAC": true, "adminGroupObjectIDs": [GROUP] },
        });
        let mut one = cluster(wish);
        shape(&mut one, None, TENANT).unwrap();
        assert_eq!(one.properties["aadProfile"]["tenantID"], TENANT);
        let wanted = Profile { enabled: true, admin_groups: vec![GROUP.to_owned()], azure_rbac: true };
        assert_eq!(read(&one.properties), wanted);
        let mut plain = cluster(json!({ "aadProfile": null }));
        shape(&mut plain, None, TENANT).unwrap();
        assert_eq!((read(&plain.properties), plain.properties), (Profile::default(), json!({})));
    }
}
