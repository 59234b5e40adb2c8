//! Lists of all resources.

use http::Method;
use serde_json::{Map, Value, json};

use super::filter::{self, Clause};
use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::{ArmError, Resource, ResourceId};

impl Front {
    /// `GET …/resources`: tracked resources that the caller may read.
    pub(super) fn list_resources(&self, asked: &Asked<'_>, scope: ResourceId) -> Result<Answer, ArmError> {
        if asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
        if let Some(group) = scope.group()
            && !self.resources.exists(&scope)
        {
            asked.authorize("Microsoft.Resources/subscriptions/resourceGroups/read", &scope)?;
            return Err(ArmError::group_not_found(group));
        }
        let clauses = filter::parse(asked.ctx.query("$filter"))?;
        let expand = asked.ctx.query("$expand").unwrap_or("").to_ascii_lowercase();
        let view = self.access.view(asked.caller(), &scope);
        if view.is_empty() {
            asked.authorize("Microsoft.Resources/subscriptions/resources/read", &scope)?;
        }
        let mut list = Vec::new();
        for resource in self.resources.list(&scope) {
            let Some(registered) = self.registered(&resource.kind_type) else { continue };
            if !registered.descriptor.tracked
                || !fits(&clauses, &resource)
                || !filter::tags_match(&clauses, &resource)
            {
                continue;
            }
            let action = format!("{}/read", registered.descriptor.full_type);
            if view.may(&action, &resource.id) {
                list.push(row(&resource, &expand));
            }
        }
        self.paged(asked, list)
    }
}

fn fits(clauses: &[Clause], resource: &Resource) -> bool {
    clauses.iter().all(|c| match (c.op.as_str(), c.field.to_ascii_lowercase().as_str()) {
        ("substringof", _) => resource.name.to_ascii_lowercase().contains(&c.field.to_ascii_lowercase()),
        ("startswith", "name") => {
            resource.name.to_ascii_lowercase().starts_with(&c.value.to_ascii_lowercase())
        }
        (_, "resourcetype") => c.is(&resource.kind_type),
        (_, "resourcegroup") => c.is(resource.id.group().unwrap_or("")),
        (_, "name") => c.is(&resource.name),
        (_, "location") => c.is(resource.location.as_deref().unwrap_or("")),
        (_, "identity/principalid") => c.is(resource.principal_id().unwrap_or("")),
        _ => true,
    })
}

fn row(resource: &Resource, expand: &str) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), json!(resource.id));
    map.insert("name".into(), json!(resource.id.full_name()));
    map.insert("type".into(), json!(resource.kind_type));
    let mut put = |name: &str, value: Option<Value>| {
        map.extend(value.map(|v| (name.to_owned(), v)));
    };
    put("location", resource.location.as_ref().map(|v| json!(v)));
    put("kind", resource.kind.as_ref().map(|v| json!(v)));
    put("sku", resource.sku.clone());
    put("identity", resource.identity.clone());
    put("zones", resource.zones.clone());
    put("managedBy", resource.managed_by.as_ref().map(|v| json!(v)));
    put("tags", resource.tags.as_ref().map(|v| json!(v)));
    let at = |name: &str| resource.system_data.get(name).cloned();
    if expand.contains("createdtime") {
        put("createdTime", at("createdAt"));
    }
    if expand.contains("changedtime") {
        put("changedTime", at("lastModifiedAt"));
    }
    if expand.contains("provisioningstate") {
        put("provisioningState", Some(json!(resource.provisioning_state().unwrap_or("Succeeded"))));
    }
    Value::Object(map)
}
