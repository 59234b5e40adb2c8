//! `Microsoft.ContainerRegistry/registries/scopeMaps`: what a token may do in which repositories.
//!
//! An action is `repositories/<name>/<content or metadata>/<verb>`; a name that ends with `*` stands for all that begin so.
//! Five maps are always there. Not built: what connected registries may do (`gateway/…`).

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::auth::Action;
use super::registries::{API_VERSIONS, REGISTRIES};
use super::route::is_name;

/// The type.
pub(super) const SCOPE_MAPS: &str = "Microsoft.ContainerRegistry/registries/scopeMaps";

/// Those that are always there: name, description, and what they allow in every repository.
const ALWAYS: [(&str, &str, &str); 5] = [
    (
        "_repositories_admin",
        "Can perform all read, write and delete operations on the registry",
        "metadata/read metadata/write content/read content/write content/delete",
    ),
    ("_repositories_pull", "Can pull any repository of the registry", "content/read"),
    ("_repositories_push", "Can push to any repository of the registry", "content/read content/write"),
    (
        "_repositories_pull_metadata_read",
        "Can perform all read operations on the registry",
        "content/read metadata/read",
    ),
    (
        "_repositories_push_metadata_write",
        "Can perform all read and write operations on the registry",
        "metadata/read metadata/write content/read content/write",
    ),
];

/// What may be done, as a map's action ends.
fn words(action: Action) -> Option<&'static str> {
    Some(match action {
        Action::Pull => "content/read",
        Action::Push => "content/write",
        Action::Delete => "content/delete",
        Action::ReadMetadata => "metadata/read",
        Action::WriteMetadata => "metadata/write",
        Action::Sign | Action::List | Action::ReadDeleted | Action::Restore => return None,
    })
}

const WORDS: [&str; 5] =
    ["content/read", "content/write", "content/delete", "metadata/read", "metadata/write"];

/// An action as the repository's name, or how it begins and a `*`, and what may be done.
fn parts(action: &str) -> Option<(&str, &str)> {
    let rest = action.strip_prefix("repositories/")?;
    let (before, verb) = rest.rsplit_once('/')?;
    let (name, kind) = before.rsplit_once('/')?;
    let words = &rest[rest.len() - verb.len() - kind.len() - 1..];
    let plain = name.strip_suffix('*').map_or(name, |begin| begin.trim_end_matches('/'));
    let named = is_name(plain) || (plain.is_empty() && name == "*");
    (named && WORDS.contains(&words)).then_some((name, words))
}

/// Whether a map lets do it in the repository of this name.
pub(super) fn allows(map: &Resource, name: &str, action: Action) -> bool {
    let Some(wanted) = words(action) else { return false };
    let actions = map.properties["actions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    actions.filter_map(parts).any(|(pattern, words)| {
        let named = pattern.strip_suffix('*').map_or(pattern == name, |begin| name.starts_with(begin));
        named && words == wanted
    })
}

fn always(registry: &Resource) -> impl Iterator<Item = Resource> {
    ALWAYS.iter().map(move |(name, description, words)| {
        let mut map = Resource::new(registry.id.child("scopeMaps", name));
        let actions: Vec<String> = words.split(' ').map(|words| format!("repositories/*/{words}")).collect();
        map.properties = json!({"description": description, "type": "SystemDefined", "actions": actions,
            "creationDate": registry.properties["creationDate"], "provisioningState": "Succeeded"});
        map
    })
}

/// A map by its id: one of a registry's own, or one that is always there.
pub(super) fn find(resources: &arm::Resources, id: &ResourceId) -> Option<Resource> {
    if let Some(found) = resources.get(id) {
        return Some((*found).clone());
    }
    let registry = resources.get(&id.parent()?).filter(|registry| registry.id.is_type(REGISTRIES))?;
    let found = always(&registry).find(|map| map.id == *id);
    found
}

/// The type.
pub(super) struct ScopeMaps;

#[async_trait]
impl ResourceType for ScopeMaps {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            name_pattern: Some("[a-zA-Z0-9_-]{5,50}"),
            ..TypeDescriptor::new(SCOPE_MAPS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        if ALWAYS.iter().any(|(name, ..)| name.eq_ignore_ascii_case(request.id.name())) {
            return Err(ArmError::bad_request(
                "SystemScopeMapReadOnly",
                format!("The scope map '{}' is system defined and cannot be changed.", request.id.name()),
            ));
        }
        let mut made = request.resource();
        let actions = made.properties["actions"].as_array().filter(|actions| !actions.is_empty());
        let Some(actions) = actions else {
            return Err(ArmError::invalid_parameter("actions", "A scope map needs at least one action."));
        };
        for action in actions {
            let text = action.as_str().unwrap_or_default();
            if text.starts_with("gateway/") {
                return Err(ArmError::not_implemented("Scope maps of connected registries"));
            }
            if parts(text).is_none() {
                return Err(ArmError::invalid_parameter(
                    "actions",
                    format!(
                        "The action {action} is not valid: it is 'repositories/{{name}}/{{action}}', and the actions are {}.",
                        WORDS.join(", ")
                    ),
                ));
            }
        }
        let created = request
            .existing
            .map_or_else(|| json!(ctx.clock.now().to_string()), |old| old.properties["creationDate"].clone());
        if let Some(properties) = made.properties.as_object_mut() {
            properties.insert("type".to_owned(), json!("UserDefined"));
            properties.insert("creationDate".to_owned(), created);
            properties.insert("provisioningState".to_owned(), json!("Succeeded"));
        }
        Ok(Written::Done(made))
    }

    /// Tokens that name it may nothing from then on.
    async fn delete(&self, _: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if existing.properties["type"] == json!("SystemDefined") {
            return Err(ArmError::bad_request(
                "SystemScopeMapReadOnly",
                format!("The scope map '{}' is system defined and cannot be deleted.", existing.name),
            ));
        }
        Ok(Deleted::Done)
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        Ok(find(&ctx.resources, id))
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        let mut found = Vec::new();
        for registry in ctx.resources.list_type(scope, REGISTRIES) {
            found.extend(always(&registry));
        }
        if let Some(registry) = ctx.resources.get(scope).filter(|registry| registry.id.is_type(REGISTRIES)) {
            found.extend(always(&registry));
        }
        found.extend(ctx.resources.list_type(scope, SCOPE_MAPS).iter().map(|map| (**map).clone()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Action, allows, parts};
    use arm::{Resource, ResourceId};

    #[test]
    fn actions() {
        for (text, expected) in [
            ("repositories/web/content/read", Some(("web", "content/read"))),
            ("repositories/team/web/metadata/write", Some(("team/web", "metadata/write"))),
            ("repositories/*/content/delete", Some(("*", "content/delete"))),
            ("repositories/team/*/content/read", Some(("team/*", "content/read"))),
            ("repositories/web/metadata/delete", None),
            ("repositories/web/read", None),
            ("repositories//content/read", None),
            ("repositories/../content/read", None),
            ("repositories/*web/content/read", None),
            ("gateway/x/config/read", None),
            ("content/read", None),
            ("", None),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
        let mut map = Resource::new(ResourceId::root());
        map.properties =
            json!({"actions": ["repositories/web/content/read", "repositories/team/*/content/write", 5]});
        for (name, action, expected) in [
            ("web", Action::Pull, true),
            ("web", Action::Push, false),
            ("web2", Action::Pull, false),
            ("team/web", Action::Push, true),
            ("team", Action::Push, false),
            ("teams/web", Action::Push, false),
            ("web", Action::List, false),
            ("web", Action::ReadMetadata, false),
        ] {
            assert_eq!(allows(&map, name, action), expected, "{name} {action:?}");
        }
    }
}
