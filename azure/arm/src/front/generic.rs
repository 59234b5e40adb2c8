//! Lists of all resources, and tags at any scope.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};

use super::filter::{self, Clause};
use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::resource::read_tags;
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
        let top = asked.ctx.query("$top").and_then(|t| t.parse().ok()).unwrap_or(usize::MAX);
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
            if asked.ctx.access.may(asked.caller(), &action, &resource.id) {
                list.push(row(&resource, &expand));
            }
            if list.len() >= top {
                break;
            }
        }
        Ok(Answer::list(list))
    }

    /// `…/providers/Microsoft.Resources/tags/default`.
    pub(super) async fn tags_at(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        scope: ResourceId,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        if rest.len() != 1 || !rest[0].eq_ignore_ascii_case("default") {
            return Err(no_route(asked.incoming));
        }
        let deed = match *asked.method() {
            Method::GET => "read",
            Method::DELETE => "delete",
            _ => "write",
        };
        asked.authorize(&format!("Microsoft.Resources/tags/{deed}"), &scope)?;
        let found = self.resources.get(&scope).ok_or_else(|| match scope.group() {
            Some(group) if scope.parts().is_empty() => ArmError::group_not_found(group),
            _ => ArmError::resource_not_found(&scope),
        })?;
        if deed == "read" {
            return Ok(Answer::ok(tags_json(&found)));
        }
        self.access.check_locks("write", &scope)?;
        let body = if deed == "delete" { Value::Null } else { asked.incoming.object()? };
        let given = read_tags(body.pointer("/properties/tags").unwrap_or(&Value::Null));
        let operation =
            body.get("operation").and_then(Value::as_str).unwrap_or("Replace").to_ascii_lowercase();
        let stored = self
            .resources
            .modify(&scope, |r| {
                let mut tags = r.tags.take().unwrap_or_default();
                match (asked.method() == Method::PATCH, operation.as_str()) {
                    (true, "merge") => tags.extend(given),
                    (true, "delete") => tags.retain(|name, _| !given.contains_key(name)),
                    _ => tags = given,
                }
                r.tags = Some(tags);
                true
            })
            .await?;
        let stored = stored.ok_or_else(|| ArmError::resource_not_found(&scope))?;
        Ok(Answer::ok(tags_json(&stored)))
    }
}

fn tags_json(resource: &Resource) -> Value {
    json!({
        "id": format!("{}/providers/Microsoft.Resources/tags/default", resource.id), "name": "default",
        "type": "Microsoft.Resources/tags", "properties": {"tags": resource.tags.clone().unwrap_or_default()},
    })
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
