//! From a template to the list of resources it asks for.

use serde_json::{Map, Value};

use super::evaluate::{Missing, Scope};
use crate::{ArmError, ResourceId};

/// More resources than this in one template are refused, as in the public cloud.
const RESOURCES_MAX: usize = 800;

/// One resource to deploy.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub id: ResourceId,
    pub version: String,
    /// As written, without what only steers the deployment.
    pub raw: Map<String, Value>,
    pub scope: Scope,
    /// Names, ids, symbols and loop names.
    pub depends: Vec<String>,
    pub symbol: Option<String>,
    pub copy: Option<String>,
    /// Named only to be referred to.
    pub existing: bool,
}

/// What a template comes to.
#[derive(Debug)]
pub(crate) struct Plan {
    pub items: Vec<Item>,
    pub scope: Scope,
    pub outputs: Map<String, Value>,
}

const CONTROL: [&str; 12] = [
    "type",
    "name",
    "apiVersion",
    "dependsOn",
    "copy",
    "condition",
    "comments",
    "resources",
    "scope",
    "subscriptionId",
    "resourceGroup",
    "existing",
];

pub(crate) fn invalid(why: impl std::fmt::Display) -> ArmError {
    ArmError::bad_request("InvalidTemplate", format!("Deployment template validation failed: '{why}'."))
}

fn wrong(missing: Missing) -> ArmError {
    match missing {
        Missing::Wrong(why) => invalid(why),
        Missing::State(_) => invalid("The template function 'reference' is not expected at this location."),
    }
}

/// Reads a template for a scope with the parameters of the request.
pub(crate) fn plan(template: &Value, given: &Value, mut scope: Scope) -> Result<Plan, ArmError> {
    let object = template.as_object().ok_or_else(|| invalid("the template is not an object"))?;
    parameters(object.get("parameters"), given, &mut scope)?;
    scope.variables = object.get("variables").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut items = Vec::new();
    match object.get("resources") {
        Some(Value::Array(list)) => {
            for raw in list {
                expand(raw, None, None, &scope, &mut items)?;
            }
        }
        Some(Value::Object(map)) => {
            for (symbol, raw) in map {
                expand(raw, Some(symbol), None, &scope, &mut items)?;
            }
        }
        _ => {}
    }
    if items.len() > RESOURCES_MAX {
        return Err(invalid(format_args!(
            "The number of template resources limit exceeded. Limit: '{RESOURCES_MAX}' and actual: '{}'",
            items.len()
        )));
    }
    for item in &items {
        scope.own.push(item.id.clone());
        scope.versions.insert(item.id.key().to_owned(), item.version.clone());
        if let Some(symbol) = &item.symbol {
            scope.symbols.insert(symbol.clone(), item.id.clone());
        }
    }
    for item in &mut items {
        item.scope.own.clone_from(&scope.own);
        item.scope.versions.clone_from(&scope.versions);
        item.scope.symbols.clone_from(&scope.symbols);
    }
    let outputs = object.get("outputs").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(Plan { items, scope, outputs })
}

fn parameters(declared: Option<&Value>, given: &Value, scope: &mut Scope) -> Result<(), ArmError> {
    let empty = Map::new();
    let declared = declared.and_then(Value::as_object).unwrap_or(&empty);
    for name in given.as_object().into_iter().flat_map(Map::keys) {
        if !declared.keys().any(|d| d.eq_ignore_ascii_case(name)) {
            return Err(invalid(format_args!(
                "The template parameters '{name}' in the parameters file are not valid; they are not present in the original template and can therefore not be provided at deployment time"
            )));
        }
    }
    let mut waiting: Vec<(&String, &Value)> = declared.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut last = None;
        let mut left = Vec::new();
        for (name, declaration) in waiting {
            let sent = given
                .as_object()
                .and_then(|m| m.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)))
                .map(|(_, v)| v);
            if sent.is_some_and(|s| s.get("reference").is_some()) {
                return Err(ArmError::not_implemented(format_args!(
                    "The Key Vault reference of parameter '{name}'"
                )));
            }
            let value = match sent.and_then(|s| s.get("value")) {
                Some(value) => value.clone(),
                None => match declaration.get("defaultValue") {
                    Some(default) => match scope.value(default) {
                        Ok(value) => value,
                        Err(error) => {
                            last = Some(error);
                            left.push((name, declaration));
                            continue;
                        }
                    },
                    None if declaration.get("nullable") == Some(&Value::Bool(true)) => Value::Null,
                    None => {
                        return Err(invalid(format_args!(
                            "The value for the template parameter '{name}' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details"
                        )));
                    }
                },
            };
            check(name, declaration, &value)?;
            scope.parameters.insert(name.clone(), value);
        }
        if let (Some(error), true) = (last, left.len() == before) {
            return Err(wrong(error));
        }
        waiting = left;
    }
    Ok(())
}

fn check(name: &str, declaration: &Value, value: &Value) -> Result<(), ArmError> {
    let kind = declaration.get("type").and_then(Value::as_str).unwrap_or("").to_ascii_lowercase();
    let fits = match kind.as_str() {
        "string" | "securestring" => value.is_string() || value.is_null(),
        "int" => value.is_i64() || value.is_u64(),
        "bool" => value.is_boolean(),
        "array" => value.is_array(),
        "object" | "secureobject" => value.is_object() || value.is_null(),
        _ => true,
    };
    if !fits {
        return Err(invalid(format_args!(
            "Template parameter JToken type is not valid. Expected '{kind}' for parameter '{name}'"
        )));
    }
    let allowed = declaration.get("allowedValues").and_then(Value::as_array);
    if allowed.is_some_and(|a| !a.contains(value)) {
        return Err(invalid(format_args!(
            "The provided value for the template parameter '{name}' is not valid. The value '{value}' is not part of the allowed value(s)"
        )));
    }
    Ok(())
}

fn expand(
    raw: &Value,
    symbol: Option<&str>,
    parent: Option<(&str, &str)>,
    scope: &Scope,
    items: &mut Vec<Item>,
) -> Result<(), ArmError> {
    let Some(copy) = raw.get("copy").filter(|c| c.is_object()) else {
        return one(raw, symbol, parent, scope, None, items);
    };
    let name = copy.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
    let count = scope.value(copy.get("count").unwrap_or(&Value::Null)).map_err(wrong)?.as_i64().unwrap_or(0);
    if count < 0 || usize::try_from(count).is_ok_and(|c| c > RESOURCES_MAX) {
        return Err(invalid(format_args!("The copy count of loop '{name}' is not valid")));
    }
    for index in 0..count {
        let mut inner = scope.clone();
        inner.loops.insert(name.clone(), index);
        inner.current = Some(name.clone());
        one(raw, symbol, parent, &inner, Some(&name), items)?;
    }
    Ok(())
}

fn one(
    raw: &Value,
    symbol: Option<&str>,
    parent: Option<(&str, &str)>,
    scope: &Scope,
    copy: Option<&str>,
    items: &mut Vec<Item>,
) -> Result<(), ArmError> {
    let text = |name: &str| -> Result<Option<String>, ArmError> {
        match raw.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => Ok(scope.value(value).map_err(wrong)?.as_str().map(str::to_owned)),
        }
    };
    let need = |name: &str| {
        text(name)?.ok_or_else(|| invalid(format_args!("The template resource has no '{name}'")))
    };
    if let Some(condition) = raw.get("condition")
        && scope.value(condition).map_err(wrong)? != Value::Bool(true)
    {
        return Ok(());
    }
    let (mut kind, mut name) = (need("type")?, need("name")?);
    if let Some((outer_kind, outer_name)) = parent {
        kind = format!("{outer_kind}/{kind}");
        name = format!("{outer_name}/{name}");
    }
    let base = base(scope, text("scope")?, text("subscriptionId")?, text("resourceGroup")?)?;
    let id = place(&base, &kind, &name)?;
    let depends = raw.get("dependsOn").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut depends = depends
        .iter()
        .map(|d| scope.value(d).map(|v| v.as_str().unwrap_or("").to_owned()).map_err(wrong))
        .collect::<Result<Vec<_>, _>>()?;
    if parent.is_some() {
        depends.extend(id.parent().map(|p| p.to_string()));
    }
    let body = raw.as_object().into_iter().flatten();
    items.push(Item {
        version: need("apiVersion")?,
        raw: body
            .filter(|(n, _)| !CONTROL.contains(&n.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect(),
        scope: scope.clone(),
        depends,
        symbol: symbol.map(str::to_owned),
        copy: copy.map(str::to_owned),
        existing: raw.get("existing") == Some(&Value::Bool(true)),
        id,
    });
    for child in raw.get("resources").and_then(Value::as_array).into_iter().flatten() {
        expand(child, None, Some((&kind, &name)), scope, items)?;
    }
    Ok(())
}

fn base(
    scope: &Scope,
    at: Option<String>,
    subscription: Option<String>,
    group: Option<String>,
) -> Result<ResourceId, ArmError> {
    if let Some(at) = at {
        if at.starts_with('/') {
            return ResourceId::parse(&at).map_err(invalid);
        }
        // `Microsoft.X/type/name`, seen from the target.
        let words: Vec<&str> = at.split('/').collect();
        let (Some(namespace), rest) = (words.first(), &words[1..]) else {
            return Err(invalid("an empty scope"));
        };
        let kinds: Vec<&str> = rest.iter().step_by(2).copied().collect();
        let names: Vec<&str> = rest.iter().skip(1).step_by(2).copied().collect();
        return Ok(scope.target.extension(&format!("{namespace}/{}", kinds.join("/")), &names.join("/")));
    }
    let subscription =
        subscription.or_else(|| scope.target.subscription().map(str::to_owned)).unwrap_or_default();
    Ok(match group {
        Some(group) => ResourceId::of_group(&subscription, &group),
        None => scope.target.clone(),
    })
}

/// The id of a resource; a type may hold `/providers/` in the older form of extension resources.
fn place(base: &ResourceId, kind: &str, name: &str) -> Result<ResourceId, ArmError> {
    if kind.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups") {
        return Ok(ResourceId::of_group(base.subscription().unwrap_or(""), name));
    }
    let lower = kind.to_ascii_lowercase();
    let (outer, inner) = match lower.find("/providers/") {
        Some(at) => (&kind[..at], Some(&kind[at + "/providers/".len()..])),
        None => (kind, None),
    };
    let names: Vec<&str> =
        name.split('/').filter(|n| !n.eq_ignore_ascii_case("Microsoft.Authorization")).collect();
    let count = outer.matches('/').count();
    let wrong = || {
        invalid(format_args!(
            "The template resource '{name}' of type '{kind}' has incorrect segment lengths. A nested resource type must have identical number of segments as its resource name. A root resource type must have segment length one greater than its resource name. Please see https://aka.ms/arm-syntax-resources for usage details"
        ))
    };
    if count == 0 || names.len() < count || (inner.is_none() && names.len() != count) {
        return Err(wrong());
    }
    let id = base.extension(outer, &names[..count].join("/"));
    match inner {
        None => Ok(id),
        Some(inner) if inner.matches('/').count() == names.len() - count => {
            Ok(id.extension(inner, &names[count..].join("/")))
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_become_lists_of_resources() {
        let template = json!({
        "parameters": {"n": {"type": "int", "defaultValue": 2}, "name": {"type": "string"}},
        "resources": [
            {"type": "A.B/c", "apiVersion": "1", "name": "[concat(parameters('name'), copyIndex())]", "copy": {"name": "all", "count": "[parameters('n')]"}},
            {"type": "A.B/c", "apiVersion": "1", "name": "x", "dependsOn": ["all"], "resources": [{"type": "d", "apiVersion": "1", "name": "y"}]},
            {"type": "A.B/c", "apiVersion": "1", "name": "never", "condition": false},
        ]});
        let scope = Scope { target: ResourceId::of_group("s", "g"), ..Scope::default() };
        let made = plan(&template, &json!({"name": {"value": "w"}}), scope.clone()).unwrap();
        let ids: Vec<String> = made.items.iter().map(|i| i.id.full_name()).collect();
        assert_eq!(ids, ["w0", "w1", "x", "x/y"]);
        assert!(
            plan(&template, &json!({}), scope.clone())
                .unwrap_err()
                .message
                .contains("'name' is not provided")
        );
        assert!(plan(&template, &json!({"name": {"value": 1}}), scope.clone()).is_err());
        assert!(plan(&template, &json!({"name": {"value": "w"}, "other": {"value": 1}}), scope).is_err());
    }
}
