//! Values of a template: expressions are evaluated where they stand.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::expression::{self, Expression};
use super::functions::{self, text};
use crate::ResourceId;

/// Why a value is not there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Missing {
    /// The state of a resource must be fetched first: key of [`Scope::states`].
    State(String),
    /// The template is wrong.
    Wrong(String),
}

impl From<String> for Missing {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

/// What a template's expressions can see.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scope {
    /// Where it is deployed to.
    pub target: ResourceId,
    /// The deployment's name.
    pub name: String,
    pub tenant_id: String,
    pub location: String,
    pub tags: Value,
    pub parameters: BTreeMap<String, Value>,
    /// As written; evaluated when asked for.
    pub variables: Map<String, Value>,
    /// Symbolic names.
    pub symbols: BTreeMap<String, ResourceId>,
    /// Ids of the template's resources, for `reference('name')`.
    pub own: Vec<ResourceId>,
    /// Api-versions of the template's resources, by key.
    pub versions: BTreeMap<String, String>,
    /// What was fetched: `full|id|version`, `list|id|action|version`.
    pub states: BTreeMap<String, Value>,
    /// Index of the loop, by its name.
    pub loops: BTreeMap<String, i64>,
    /// The innermost loop.
    pub current: Option<String>,
    pub now: String,
}

type Made = Result<Value, Missing>;

fn lookup<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

impl Scope {
    /// A value with every expression in it evaluated.
    pub(crate) fn value(&self, raw: &Value) -> Made {
        match raw {
            Value::String(s) => self.string(s),
            Value::Array(list) => {
                list.iter().map(|v| self.value(v)).collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            Value::Object(map) => self.object(map),
            other => Ok(other.clone()),
        }
    }

    fn string(&self, raw: &str) -> Made {
        if let Some(literal) = raw.strip_prefix("[[") {
            return Ok(Value::from(format!("[{literal}")));
        }
        match raw.strip_prefix('[').and_then(|s| s.strip_suffix(']')) {
            Some(inner) => self.evaluate(&expression::parse(inner)?),
            None => Ok(Value::from(raw)),
        }
    }

    fn object(&self, map: &Map<String, Value>) -> Made {
        let mut made = Map::new();
        for (name, value) in map {
            if name == "copy" && value.as_array().is_some_and(|l| l.iter().all(|c| c.get("input").is_some()))
            {
                for copy in value.as_array().into_iter().flatten() {
                    let (name, list) = self.copied(copy)?;
                    made.insert(name, list);
                }
                continue;
            }
            let name = self.string(name)?;
            made.insert(text(&name), self.value(value)?);
        }
        Ok(Value::Object(made))
    }

    /// A property or variable loop: `{"name","count","input"}`.
    fn copied(&self, copy: &Value) -> Result<(String, Value), Missing> {
        let name = copy["name"].as_str().unwrap_or("").to_owned();
        let count = self.value(&copy["count"])?.as_i64().unwrap_or(0).clamp(0, 800);
        let mut inner = self.clone();
        inner.current = Some(name.clone());
        let mut list = Vec::new();
        for index in 0..count {
            inner.loops.insert(name.clone(), index);
            list.push(inner.value(&copy["input"])?);
        }
        Ok((name, Value::Array(list)))
    }

    fn evaluate(&self, expression: &Expression) -> Made {
        match expression {
            Expression::Value(value) => Ok(value.clone()),
            Expression::Member(object, name) => {
                let (object, name) = (self.evaluate(object)?, self.evaluate(name)?);
                self.member(&object, &name)
            }
            Expression::Call(name, arguments) if name == "if" && arguments.len() == 3 => {
                let condition = self.evaluate(&arguments[0])?;
                self.evaluate(&arguments[if condition.as_bool().unwrap_or(false) { 1 } else { 2 }])
            }
            Expression::Call(name, arguments) => {
                let values = arguments.iter().map(|a| self.evaluate(a)).collect::<Result<Vec<_>, _>>()?;
                self.call(name, &values)
            }
        }
    }

    fn member(&self, object: &Value, name: &Value) -> Made {
        let found = match (object, name) {
            (Value::Array(list), Value::Number(_)) => {
                name.as_u64().and_then(|i| list.get(usize::try_from(i).ok()?))
            }
            (Value::Object(map), Value::String(s)) => lookup(map, s),
            _ => None,
        };
        found.cloned().ok_or_else(|| {
            Missing::Wrong(format!("The language expression property '{}' doesn't exist", text(name)))
        })
    }

    fn variable(&self, name: &str) -> Made {
        if let Some(value) = lookup(&self.variables, name) {
            return self.value(value);
        }
        let copies = self.variables.get("copy").and_then(Value::as_array);
        match copies
            .into_iter()
            .flatten()
            .find(|c| c["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name)))
        {
            Some(copy) => Ok(self.copied(copy)?.1),
            None => Err(Missing::Wrong(format!("The template variable '{name}' is not found."))),
        }
    }

    fn call(&self, name: &str, a: &[Value]) -> Made {
        let arg = |i: usize| a.get(i).map(text).unwrap_or_default();
        match name {
            "parameters" => {
                let found = self.parameters.iter().find(|(k, _)| k.eq_ignore_ascii_case(&arg(0)));
                found.map(|(_, v)| v.clone()).ok_or_else(|| {
                    Missing::Wrong(format!("The template parameter '{}' is not found.", arg(0)))
                })
            }
            "variables" => self.variable(&arg(0)),
            "resourceid" => self.resource_id(a),
            "subscriptionresourceid" => {
                let subscription = self.target.subscription_id().unwrap_or_default();
                Ok(Value::from(joined_id(&subscription, a)?.to_string()))
            }
            "tenantresourceid" => Ok(Value::from(joined_id(&ResourceId::root(), a)?.to_string())),
            "extensionresourceid" => {
                let base = ResourceId::parse(&arg(0)).map_err(|e| e.to_string())?;
                Ok(Value::from(joined_id(&base, &a[1..])?.to_string()))
            }
            "reference" => self.reference(a),
            "copyindex" => {
                let (named, offset) = match a.first() {
                    Some(Value::String(s)) => (Some(s.clone()), a.get(1)),
                    other => (self.current.clone(), other),
                };
                let index = named.and_then(|n| self.loops.get(&n).copied());
                let index = index.ok_or_else(|| {
                    "The template function 'copyIndex' is not expected at this location.".to_owned()
                })?;
                Ok(Value::from(index + offset.and_then(Value::as_i64).unwrap_or(0)))
            }
            "resourcegroup" => Ok(json!({
                "id": self.target.group_id().unwrap_or_default(), "name": self.target.group(), "location": self.location, "tags": self.tags,
                "type": "Microsoft.Resources/resourceGroups", "properties": {"provisioningState": "Succeeded"},
            })),
            "subscription" => Ok(json!({
                "id": self.target.subscription_id().unwrap_or_default(), "subscriptionId": self.target.subscription(),
                "tenantId": self.tenant_id, "displayName": "",
            })),
            "tenant" => Ok(json!({"tenantId": self.tenant_id})),
            "deployment" => Ok(json!({"name": self.name, "properties": {}})),
            "environment" => {
                Ok(json!({"name": "AzureCloud", "resourceManager": "https://management.azure.com/"}))
            }
            "utcnow" => Ok(Value::from(self.now.clone())),
            list if list.starts_with("list") && a.len() >= 2 => {
                self.state(format!("list|{}|{list}|{}", self.resolve(&arg(0))?, arg(1)))
            }
            other => match functions::call(other, a) {
                Some(made) => made.map_err(Missing::Wrong),
                None => Err(Missing::Wrong(format!("The template function '{other}' is not valid."))),
            },
        }
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
        let fits = |id: &&ResourceId| id.full_name().eq_ignore_ascii_case(named);
        let found = self.own.iter().find(fits).cloned();
        found.ok_or_else(|| {
            Missing::Wrong(format!("The resource referenced by '{named}' is not defined in the template."))
        })
    }

    fn reference(&self, a: &[Value]) -> Made {
        let id = self.resolve(&a.first().map(text).unwrap_or_default())?;
        let given = a.get(1).and_then(Value::as_str).map(str::to_owned);
        let version =
            given.or_else(|| self.versions.get(id.key()).cloned()).unwrap_or_else(|| "2024-11-01".to_owned());
        let full = self.state(format!("full|{id}|{version}"))?;
        if a.get(2).and_then(Value::as_str).is_some_and(|s| s.eq_ignore_ascii_case("full")) {
            return Ok(full);
        }
        Ok(full.get("properties").cloned().unwrap_or(Value::Null))
    }

    /// `resourceId([subscription], [group], type, name…)`
    fn resource_id(&self, a: &[Value]) -> Made {
        let texts: Vec<String> = a.iter().map(text).collect();
        let kind = texts
            .iter()
            .position(|t| t.contains('/'))
            .ok_or_else(|| "'resourceId' needs a resource type".to_owned())?;
        let base = match &texts[..kind] {
            [] => self.target.group_id().or_else(|| self.target.subscription_id()).unwrap_or_default(),
            [group] => ResourceId::of_group(self.target.subscription().unwrap_or(""), group),
            [subscription, group, ..] => ResourceId::of_group(subscription, group),
        };
        Ok(Value::from(joined_id(&base, &a[kind..])?.to_string()))
    }
}

fn joined_id(base: &ResourceId, a: &[Value]) -> Result<ResourceId, Missing> {
    let kind = a.first().map(text).unwrap_or_default();
    let names: Vec<String> = a
        .iter()
        .skip(1)
        .map(text)
        .flat_map(|n| n.split('/').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    if kind.matches('/').count() != names.len() || names.is_empty() {
        return Err(Missing::Wrong(format!(
            "Unable to evaluate template language function 'resourceId': the type '{kind}' requires '{}' resource name argument(s).",
            kind.matches('/').count()
        )));
    }
    Ok(base.extension(&kind, &names.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_evaluated_where_they_stand() {
        let mut scope =
            Scope { target: ResourceId::of_group("s", "g"), location: "eastus".into(), ..Scope::default() };
        scope.parameters.insert("name".into(), json!("web"));
        scope.variables = json!({"full": "[concat(parameters('name'), '-', resourceGroup().location)]",
            "copy": [{"name": "many", "count": 2, "input": "[copyIndex('many', 1)]"}]})
        .as_object()
        .cloned()
        .unwrap_or_default();
        let table = [
            (json!("[variables('full')]"), json!("web-eastus")),
            (json!({"a": ["[parameters('NAME')]"]}), json!({"a": ["web"]})),
            (json!("[[literal]"), json!("[literal]")),
            (json!("[variables('many')]"), json!([1, 2])),
            (json!("[if(true(), 'a', reference('nowhere'))]"), json!("a")),
            (
                json!("[resourceId('A.B/c/d', 'x', 'y')]"),
                json!("/subscriptions/s/resourceGroups/g/providers/A.B/c/x/d/y"),
            ),
            (
                json!({"copy": [{"name": "l", "count": 2, "input": {"i": "[copyIndex('l')]"}}]}),
                json!({"l": [{"i": 0}, {"i": 1}]}),
            ),
        ];
        for (raw, expected) in table {
            assert_eq!(scope.value(&raw).unwrap(), expected, "{raw}");
        }
        assert!(matches!(scope.value(&json!("[parameters('x')]")), Err(Missing::Wrong(_))));
        assert!(matches!(
            scope.value(&json!("[reference('/subscriptions/s/providers/A.B/c/x', '1').y]")),
            Err(Missing::State(_))
        ));
    }
}
