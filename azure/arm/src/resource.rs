//! A resource as it is kept and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ResourceId;

/// One resource, resource group or subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Where it is.
    pub id: ResourceId,
    /// The last name of the id.
    pub name: String,
    /// `Microsoft.Network/virtualNetworks`, canonical case.
    pub kind_type: String,
    /// `eastus`, normalised; none for child and extension resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Tags; none when never given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// The identity block with the ids filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Value>,
    /// The SKU object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Value>,
    /// `kind`, where a type has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Availability zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Value>,
    /// Id of the resource that manages this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Everything of the type's own. May hold what [`present`](crate::ResourceType::present) hides.
    #[serde(default)]
    pub properties: Value,
    /// Changes at every write; without quotes.
    #[serde(default)]
    pub etag: String,
    /// Who made and changed it, when.
    #[serde(default)]
    pub system_data: Value,
    /// Top-level members beside those above (`plan`, `extendedLocation`, …), shown as they are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// Top-level members without a field of their own that are kept. Others have no place in a resource: the front door
/// refuses them where the type is tracked, and providers drop them elsewhere.
const KEPT: [&str; 5] = ["plan", "extendedLocation", "managedByExtended", "placement", "scale"];

impl Resource {
    /// A resource with this id and nothing else.
    pub fn new(id: ResourceId) -> Self {
        Self {
            name: id.name().to_owned(),
            kind_type: id.resource_type(),
            id,
            location: None,
            tags: None,
            identity: None,
            sku: None,
            kind: None,
            zones: None,
            managed_by: None,
            properties: json!({}),
            etag: String::new(),
            system_data: Value::Null,
            extra: Map::new(),
        }
    }

    /// A resource from what a client sent. What only the service knows (`systemData`, the ETag) comes from
    /// `existing`, and so do location and tags when the body has none.
    pub fn from_body(id: &ResourceId, body: &Value, existing: Option<&Resource>) -> Self {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let object = |name: &str| body.get(name).filter(|v| !v.is_null()).cloned();
        let mut made = Self::new(existing.map_or_else(|| id.clone(), |e| e.id.clone()));
        made.location = text("location")
            .map(|l| crate::locations::normal(&l))
            .or_else(|| existing.and_then(|e| e.location.clone()));
        made.tags =
            object("tags").map(|tags| read_tags(&tags)).or_else(|| existing.and_then(|e| e.tags.clone()));
        made.identity = object("identity");
        made.sku = object("sku");
        made.kind = text("kind");
        made.zones = object("zones");
        made.managed_by = text("managedBy");
        made.properties = object("properties").unwrap_or_else(|| json!({}));
        if let Some(map) = body.as_object() {
            made.extra = map
                .iter()
                .filter(|(name, value)| KEPT.contains(&name.as_str()) && !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
        }
        if let Some(existing) = existing {
            made.etag = existing.etag.clone();
            made.system_data = existing.system_data.clone();
        }
        made
    }

    /// What a GET shows, without the ETag.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("id".into(), json!(self.id));
        map.insert("name".into(), json!(self.name));
        map.insert("type".into(), json!(self.kind_type));
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(name.to_owned(), value);
            }
        };
        put("location", self.location.as_ref().map(|v| json!(v)));
        put("tags", self.tags.as_ref().map(|v| json!(v)));
        put("kind", self.kind.as_ref().map(|v| json!(v)));
        put("sku", self.sku.clone());
        put("identity", self.identity.clone());
        put("zones", self.zones.clone());
        put("managedBy", self.managed_by.as_ref().map(|v| json!(v)));
        put("properties", Some(self.properties.clone()));
        for (name, value) in &self.extra {
            put(name, Some(value.clone()));
        }
        put("systemData", Some(self.system_data.clone()).filter(|v| !v.is_null()));
        Value::Object(map)
    }

    /// Whether the other one is the same in everything that a client can write or see, but its ETag and who wrote it.
    pub fn says_the_same_as(&self, other: &Resource) -> bool {
        let bare = |resource: &Resource| Resource {
            etag: String::new(),
            system_data: Value::Null,
            ..resource.clone()
        };
        bare(self) == bare(other)
    }

    /// `properties.provisioningState`, if any.
    pub fn provisioning_state(&self) -> Option<&str> {
        self.properties.get("provisioningState").and_then(Value::as_str)
    }

    /// Sets `properties.provisioningState`.
    pub fn set_provisioning_state(&mut self, state: &str) {
        if !self.properties.is_object() {
            self.properties = json!({});
        }
        self.properties["provisioningState"] = json!(state);
    }

    /// The object id of the system-assigned identity, if any.
    pub fn principal_id(&self) -> Option<&str> {
        self.identity.as_ref()?.get("principalId")?.as_str()
    }
}

/// Tags as a map of strings; numbers and booleans become text.
pub fn read_tags(value: &Value) -> BTreeMap<String, String> {
    let Some(map) = value.as_object() else { return BTreeMap::new() };
    map.iter()
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(
                || if value.is_null() { String::new() } else { value.to_string() },
                str::to_owned,
            );
            (name.clone(), text)
        })
        .collect()
}

/// Gives a body the tags of a PATCH, if it has any: not merged, these and no others.
pub fn replace_tags(target: &mut Value, patch: &Value) {
    if let (Some(map), Some(tags)) =
        (target.as_object_mut(), patch.get("tags").filter(|tags| !tags.is_null()))
    {
        map.insert("tags".to_owned(), tags.clone());
    }
}

/// Gives a body the identities of a PATCH, if it has any: they were resolved against those that are there.
pub fn replace_identity(target: &mut Value, patch: &Value) {
    if let (Some(map), Some(identity)) =
        (target.as_object_mut(), patch.get("identity").filter(|identity| !identity.is_null()))
    {
        map.insert("identity".to_owned(), identity.clone());
    }
}

/// RFC 7396 merge of `patch` into `target`, as PATCH bodies mean it.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Some(map) = target.as_object_mut() {
        for (name, value) in patch {
            if value.is_null() {
                map.remove(name);
            } else {
                merge_patch(map.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}
