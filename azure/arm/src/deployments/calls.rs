//! Functions that see the deployment: its parameters, its scope, and the resources it names.

use serde_json::{Value, json};

use super::evaluate::{Made, Missing, Scope};
use super::functions::{instant, text};
use crate::ResourceId;

/// The version a resource is read with when the template says none.
const VERSION: &str = "2024-11-01";

impl Scope {
    pub(super) fn call(&self, name: &str, a: &[Value]) -> Made {
        let arg = |i: usize| a.get(i).map(text).unwrap_or_default();
        if let Some(made) = self.own_function(name, a) {
            return made;
        }
        match name {
            "parameters" => {
                let found = self.parameters.iter().find(|(k, _)| k.eq_ignore_ascii_case(&arg(0)));
                found.map(|(_, v)| v.clone()).ok_or_else(|| {
                    Missing::Wrong(format!("The template parameter '{}' is not found. Please see https://aka.ms/arm-syntax-parameters for usage details", arg(0)))
                })
            }
            "variables" => self.variable(&arg(0)),
            "lambdavariables" => self
                .locals
                .get(&arg(0).to_ascii_lowercase())
                .map(|value| Value::clone(value))
                .ok_or_else(|| Missing::Wrong(format!("The lambda variable '{}' is not found.", arg(0)))),
            "copyindex" => self.copy_index(a),
            "utcnow" => Ok(Value::from(instant(self.now, &arg(0)))),
            "reference" => self.reference(a),
            "references" => self.references(a),
            "resourceid"
            | "subscriptionresourceid"
            | "tenantresourceid"
            | "extensionresourceid"
            | "managementgroupresourceid" => self.id_of(name, a),
            "providers" => self.namespace(&arg(0), a.get(1).map(text)),
            "pickzones" => Ok(pick_zones(a)),
            list if list.starts_with("list") && a.len() >= 2 => {
                self.state(format!("list|{}|{list}|{}", self.resolve(&arg(0))?, arg(1)))
            }
            _ => match self.around(name) {
                Some(made) => Ok(made),
                None => self.plain(name, a),
            },
        }
    }

    /// What the deployment is in.
    fn around(&self, name: &str) -> Option<Value> {
        Some(match name {
            "resourcegroup" => json!({
                "id": self.target.group_id().unwrap_or_default(), "name": self.target.group(), "location": self.location, "tags": self.tags,
                "type": "Microsoft.Resources/resourceGroups", "properties": {"provisioningState": "Succeeded"},
            }),
            "subscription" => json!({
                "id": self.target.subscription_id().unwrap_or_default(), "subscriptionId": self.target.subscription(),
                "tenantId": self.tenant_id, "displayName": self.subscription_name,
            }),
            "tenant" => json!({"tenantId": self.tenant_id, "displayName": "Lazurite", "countryCode": "US"}),
            "managementgroup" => json!({
                "id": format!("/providers/Microsoft.Management/managementGroups/{}", self.tenant_id), "name": self.tenant_id,
                "type": "/providers/Microsoft.Management/managementGroups", "properties": {"tenantId": self.tenant_id},
            }),
            "deployment" => json!({
                "name": self.name, "location": self.location,
                "properties": {"mode": "Incremental", "provisioningState": "Accepted", "template": {"contentVersion": "1.0.0.0"}},
            }),
            "deployer" => json!({"tenantId": self.tenant_id}),
            "environment" => json!({
                "name": "AzureCloud", "resourceManager": "https://management.azure.com/", "graph": "https://graph.windows.net/",
                "portal": "https://portal.azure.com", "gallery": "https://gallery.azure.com/",
                "authentication": {"loginEndpoint": "https://login.microsoftonline.com/", "tenant": "common", "identityProvider": "AAD",
                    "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"]},
                "suffixes": {"acrLoginServer": ".azurecr.io", "keyvaultDns": ".vault.azure.net", "storage": "core.windows.net"},
            }),
            _ => return None,
        })
    }

    fn copy_index(&self, a: &[Value]) -> Made {
        let (named, offset) = match a.first() {
            Some(Value::String(s)) => (Some(s.clone()), a.get(1)),
            other => (self.current.clone(), other),
        };
        let index = named.and_then(|n| self.loops.get(&n).copied());
        let offset = offset.and_then(Value::as_i64).unwrap_or(0);
        let index = index.and_then(|index| index.checked_add(offset));
        index.map(Value::from).ok_or_else(|| {
            Missing::Wrong("The template function 'copyIndex' is not expected at this location. The function can only be used in a resource with copy specified. Please see https://aka.ms/arm-resource-loops for usage details.".to_owned())
        })
    }

    fn id_of(&self, name: &str, a: &[Value]) -> Made {
        let texts: Vec<String> = a.iter().map(text).collect();
        let kind = texts.iter().position(|t| t.contains('/') && !t.starts_with('/'));
        let (base, from) = match name {
            "tenantresourceid" => (ResourceId::root(), 0),
            "extensionresourceid" => {
                let base =
                    ResourceId::parse(texts.first().map_or("", String::as_str)).map_err(|e| e.to_string())?;
                (base, 1)
            }
            "managementgroupresourceid" => match kind {
                Some(1) => (crate::access::management_group(&texts[0]), 1),
                _ => (crate::access::management_group(&self.tenant_id), 0),
            },
            "subscriptionresourceid" => match kind {
                Some(1) => (ResourceId::of_subscription(&texts[0]), 1),
                _ => (self.target.subscription_id().unwrap_or_default(), 0),
            },
            _ => {
                let own = self.target.subscription().unwrap_or("");
                match (kind, &texts[..]) {
                    (Some(1), [group, ..]) => (ResourceId::of_group(own, group), 1),
                    (Some(2), [subscription, group, ..]) => (ResourceId::of_group(subscription, group), 2),
                    _ => (
                        self.target.group_id().or_else(|| self.target.subscription_id()).unwrap_or_default(),
                        0,
                    ),
                }
            }
        };
        Ok(Value::from(joined_id(&base, texts.get(from..).unwrap_or_default())?.to_string()))
    }

    fn state(&self, key: String) -> Made {
        self.states.get(&key).cloned().ok_or(Missing::State(key))
    }

    /// An id for a symbolic name, a name, or an id.
    fn resolve(&self, named: &str) -> Result<ResourceId, Missing> {
        if let Some(id) = self.symbols.get(named) {
            return Ok(id.clone());
        }
        if named.starts_with('/') {
            return ResourceId::parse(named).map_err(|e| Missing::Wrong(e.to_string()));
        }
        let fits = |id: &&ResourceId| {
            id.full_name().eq_ignore_ascii_case(named)
                || format!("{}/{}", id.resource_type(), id.full_name()).eq_ignore_ascii_case(named)
        };
        let found = self.own.iter().find(fits).cloned();
        found.ok_or_else(|| {
            Missing::Wrong(format!("The template reference '{named}' is not valid: could not find template resource or resource copy with this name. Please see https://aka.ms/arm-function-reference for usage details."))
        })
    }

    fn referred(&self, id: &ResourceId, version: Option<&Value>, full: bool) -> Made {
        let given = version.and_then(Value::as_str).filter(|v| !v.is_empty()).map(str::to_owned);
        let version =
            given.or_else(|| self.versions.get(id.key()).cloned()).unwrap_or_else(|| VERSION.to_owned());
        let state = self.state(format!("full|{id}|{version}"))?;
        if full {
            return Ok(state);
        }
        Ok(state.get("properties").cloned().unwrap_or(Value::Null))
    }

    /// A namespace with its types, or one of its types.
    fn namespace(&self, namespace: &str, kind: Option<String>) -> Made {
        let found = self.namespaces.get(&namespace.to_ascii_lowercase());
        let found = found
            .ok_or_else(|| Missing::Wrong(format!("The resource namespace '{namespace}' is invalid.")))?;
        let Some(kind) = kind else { return Ok(found.clone()) };
        let is = |row: &&Value| {
            row.get("resourceType")
                .and_then(Value::as_str)
                .is_some_and(|name| name.eq_ignore_ascii_case(&kind))
        };
        crate::json::list(found, "/resourceTypes").iter().find(is).cloned().ok_or_else(|| {
            Missing::Wrong(format!(
                "The resource type '{kind}' could not be found in the namespace '{namespace}'."
            ))
        })
    }

    fn reference(&self, a: &[Value]) -> Made {
        let id = self.resolve(&a.first().map(text).unwrap_or_default())?;
        let full = a.get(2).and_then(Value::as_str).is_some_and(|s| s.eq_ignore_ascii_case("full"));
        self.referred(&id, a.get(1), full)
    }

    /// The states of all resources of a loop, by its symbolic name.
    fn references(&self, a: &[Value]) -> Made {
        let symbol = a.first().map(text).unwrap_or_default();
        let full = a.iter().skip(1).any(|v| v.as_str().is_some_and(|s| s.eq_ignore_ascii_case("full")));
        let mut list = Vec::new();
        while let Some(id) = self.symbols.get(&format!("{symbol}[{}]", list.len())) {
            list.push(self.referred(id, None, full)?);
        }
        Ok(Value::Array(list))
    }
}

/// Zones are always 1 to 3 here: `pickZones(namespace, type, location, [number], [offset])`.
fn pick_zones(a: &[Value]) -> Value {
    let number = |i: usize, or: u64| a.get(i).and_then(Value::as_u64).unwrap_or(or);
    let (count, offset) = (number(3, 1).min(3), number(4, 0).min(3));
    (offset + 1..=3)
        .take(usize::try_from(count).unwrap_or(1))
        .map(|zone| Value::from(zone.to_string()))
        .collect()
}

fn joined_id(base: &ResourceId, texts: &[String]) -> Result<ResourceId, Missing> {
    let kind = texts.first().map_or("", String::as_str);
    let names: Vec<&str> = texts.iter().skip(1).flat_map(|n| n.split('/')).collect();
    let count = kind.matches('/').count();
    if count != names.len() || names.is_empty() {
        return Err(Missing::Wrong(format!(
            "Unable to evaluate template language function 'resourceId': the type '{kind}' requires '{count}' resource name argument(s). Please see https://aka.ms/arm-resource-functions/#resourceid for usage details."
        )));
    }
    Ok(base.extension(kind, &names.join("/")))
}
