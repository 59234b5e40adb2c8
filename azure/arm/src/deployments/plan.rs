//! From a template to the list of resources it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::evaluate::{Missing, Scope};
use super::names::Names;
use super::parameters;
use crate::{ArmError, ResourceId};

/// More resources than this in one template are refused, as in the public cloud.
const RESOURCES_MAX: usize = 800;

/// The same of variables and of outputs.
const VARIABLES_MAX: usize = 256;
const OUTPUTS_MAX: usize = 64;

/// One resource to deploy.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub id: ResourceId,
    pub version: String,
    /// As written, without what only steers the deployment.
    pub raw: Map<String, Value>,
    pub scope: Scope,
    /// Names, ids, symbols and loop names, as they are written.
    pub depends: BTreeSet<String>,
    /// Keys of the other resources that those mean.
    pub needs: BTreeSet<String>,
    pub symbol: Option<String>,
    pub copy: Option<String>,
    /// Named only to be referred to.
    pub existing: bool,
    /// Its condition does not hold.
    pub skipped: bool,
}

/// What a template comes to.
#[derive(Debug)]
pub(crate) struct Plan {
    pub items: Vec<Item>,
    pub scope: Scope,
    pub outputs: Map<String, Value>,
    /// The template's own types.
    pub definitions: Value,
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

pub(crate) fn wrong(missing: Missing) -> ArmError {
    match missing {
        Missing::Wrong(why) => invalid(why),
        Missing::State(_) => invalid("The template function 'reference' is not expected at this location."),
    }
}

/// Reads a template for a scope with the parameters of the request.
pub(crate) fn plan(template: &Value, given: &Value, mut scope: Scope) -> Result<Plan, ArmError> {
    let object = template.as_object().ok_or_else(|| invalid("the template is not an object"))?;
    scope.functions = Arc::new(own_functions(object.get("functions")));
    parameters::fill(object, given, &mut scope)?;
    let variables = object.get("variables").and_then(Value::as_object);
    few("variables", VARIABLES_MAX, variables.map_or(0, Map::len))?;
    scope.variables = Arc::new(variables.cloned().unwrap_or_default());
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
        None | Some(Value::Null) => {}
        Some(_) => return Err(invalid("the resources of the template are neither a list nor an object")),
    }
    check_items(&mut items)?;
    name_resources(&mut scope, &items);
    for item in &mut items {
        item.scope.own = scope.own.clone();
        item.scope.versions = scope.versions.clone();
        item.scope.symbols = scope.symbols.clone();
    }
    items.retain(|item| !item.skipped);
    let outputs = object.get("outputs").and_then(Value::as_object).cloned().unwrap_or_default();
    few("outputs", OUTPUTS_MAX, outputs.len())?;
    let definitions = object.get("definitions").cloned().unwrap_or_default();
    Ok(Plan { items, scope, outputs, definitions })
}

/// `[{"namespace", "members": {name: {…}}}]`, by their full name.
fn own_functions(declared: Option<&Value>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for group in declared.and_then(Value::as_array).into_iter().flatten() {
        let namespace = group.get("namespace").and_then(Value::as_str).unwrap_or("");
        for (name, function) in group.get("members").and_then(Value::as_object).into_iter().flatten() {
            found.insert(format!("{namespace}.{name}").to_ascii_lowercase(), function.clone());
        }
    }
    found
}

/// What the template calls its resources, for references.
fn name_resources(scope: &mut Scope, items: &[Item]) {
    let mut symbols = BTreeMap::new();
    let mut rounds: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        if let Some(symbol) = &item.symbol {
            if item.copy.is_some() {
                let round = rounds.entry(symbol).or_default();
                symbols.insert(format!("{symbol}[{round}]"), item.id.clone());
                *round += 1;
            }
            symbols.insert(symbol.clone(), item.id.clone());
        }
    }
    scope.own = Arc::new(items.iter().map(|item| item.id.clone()).collect());
    scope.versions =
        Arc::new(items.iter().map(|item| (item.id.key().to_owned(), item.version.clone())).collect());
    scope.symbols = Arc::new(symbols);
}

/// Refuses too many resources, one resource twice, unknown dependencies and circles; fills in what each resource needs.
fn check_items(items: &mut [Item]) -> Result<(), ArmError> {
    let wanted = || items.iter().filter(|item| !item.existing && !item.skipped);
    few("resources", RESOURCES_MAX, wanted().count())?;
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for item in wanted() {
        if !known.insert(item.id.key()) {
            return Err(invalid(format_args!(
                "The resource '{}' is defined multiple times in a template. Please see https://aka.ms/arm-syntax-resources for usage details",
                item.id
            )));
        }
    }
    let names = Names::of(items);
    let mut needs: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); items.len()];
    for (item, needs) in items.iter().zip(&mut needs).filter(|(item, _)| !item.existing && !item.skipped) {
        for name in &item.depends {
            let called = names.called(name);
            if called.is_empty() {
                return Err(invalid(format_args!(
                    "The resource '{name}' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details"
                )));
            }
            let others = called.into_iter().filter(|at| !items[*at].skipped && items[*at].id != item.id);
            needs.extend(others);
        }
    }
    circles(items, &needs)?;
    let keys: Vec<String> = items.iter().map(|item| item.id.key().to_owned()).collect();
    for (item, needs) in items.iter_mut().zip(needs) {
        item.needs = needs.into_iter().map(|at| keys[at].clone()).collect();
    }
    Ok(())
}

/// Refuses more of something than the public cloud takes in one template.
pub(super) fn few(what: &str, limit: usize, actual: usize) -> Result<(), ArmError> {
    if actual <= limit {
        return Ok(());
    }
    Err(invalid(format_args!(
        "The number of template {what} limit exceeded. Limit: '{limit}' and actual: '{actual}'. Please see https://aka.ms/arm-template/#{what} for usage details"
    )))
}

/// Takes away, as long as there are any, the resources that need nothing more; what is left goes in a circle.
fn circles(items: &[Item], needs: &[BTreeSet<usize>]) -> Result<(), ArmError> {
    let mut missing: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    for (at, needs) in needs.iter().enumerate() {
        for other in needs {
            needed_by[*other].push(at);
        }
    }
    let mut free: Vec<usize> = (0..items.len()).filter(|at| missing[*at] == 0).collect();
    while let Some(at) = free.pop() {
        for waits in &needed_by[at] {
            missing[*waits] -= 1;
            if missing[*waits] == 0 {
                free.push(*waits);
            }
        }
    }
    let left: Vec<String> = items
        .iter()
        .zip(missing)
        .filter(|(_, missing)| *missing > 0)
        .map(|(item, _)| item.id.to_string())
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(invalid(format_args!(
        "Circular dependency detected on resource: '{}'. Please see https://aka.ms/arm-syntax-resources for usage details",
        left.join(", ")
    )))
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
    if name.is_empty() {
        return Err(invalid("The template resource copy has no 'name'"));
    }
    for index in 0..scope.rounds(copy).map_err(wrong)? {
        one(raw, symbol, parent, &scope.round(&name, index), Some(&name), items)?;
    }
    Ok(())
}

/// Whether the condition of a resource does not hold.
fn is_skipped(raw: &Value, scope: &Scope) -> Result<bool, ArmError> {
    let Some(condition) = raw.get("condition") else { return Ok(false) };
    match scope.value(condition).map_err(wrong)? {
        Value::Bool(truth) => Ok(!truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(false),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(true),
        other => {
            Err(invalid(format_args!("The condition '{other}' of a template resource is not a boolean")))
        }
    }
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
    if items.len() > RESOURCES_MAX * 4 {
        return Err(invalid("The template has too many resources"));
    }
    let skipped = is_skipped(raw, scope)?;
    let named = || Ok::<_, ArmError>((need("type")?, need("name")?));
    // The name of what is not deployed may be made of what is not there.
    let (mut kind, mut name) = match named() {
        Err(_) if skipped => return Ok(()),
        other => other?,
    };
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
        .collect::<Result<BTreeSet<_>, _>>()?;
    if parent.is_some() {
        depends.extend(id.parent().map(|p| p.to_string()));
    }
    // A loop copies it as often as it goes round.
    scope.meter.pays(raw).map_err(invalid)?;
    let body = raw.as_object().into_iter().flatten();
    items.push(Item {
        version: need("apiVersion")?,
        raw: body
            .filter(|(n, _)| !CONTROL.contains(&n.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect(),
        scope: scope.clone(),
        depends,
        needs: BTreeSet::new(),
        symbol: symbol.map(str::to_owned),
        copy: copy.map(str::to_owned),
        existing: raw.get("existing") == Some(&Value::Bool(true)),
        skipped,
        id,
    });
    if skipped {
        return Ok(());
    }
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
        let Some((namespace, rest)) = words.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Err(invalid(format_args!("the scope '{at}' is not valid")));
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
        let more = json!({"name": {"value": "w"}, "other": {"value": 1}});
        assert!(plan(&template, &more, scope).is_err());
    }

    #[test]
    fn templates_that_cannot_be_are_refused_with_the_reason() {
        let resource = |name: &str, depends: Value| json!({"type": "A.B/c", "apiVersion": "1", "name": name, "dependsOn": depends});
        let table = [
            (
                json!([resource("a", json!(["b"])), resource("b", json!(["[resourceId('A.B/c', 'a')]"]))]),
                "Circular dependency detected on resource: '/subscriptions/s/resourceGroups/g/providers/A.B/c/a, ",
            ),
            (
                json!([resource("a", json!(["nothing"]))]),
                "The resource 'nothing' is not defined in the template",
            ),
            (json!([resource("a", json!([])), resource("A", json!([]))]), "is defined multiple times"),
            (json!({"x": resource("a", json!(["y"])), "y": resource("b", json!(["x"]))}), "Circular"),
            (json!([{"type": "A.B/c/d", "apiVersion": "1", "name": "a"}]), "incorrect segment lengths"),
            (json!([{"type": "A.B/c", "name": "a"}]), "has no 'apiVersion'"),
            (
                json!([{"type": "A.B/c", "apiVersion": "1", "name": "a", "copy": {"name": "l", "count": 801}}]),
                "invalid count '801'",
            ),
            (
                json!([{"type": "A.B/c", "apiVersion": "1", "name": "a", "condition": "[variables('loop')]"}]),
                "refer to themselves",
            ),
            (json!([{"type": "A.B/c", "apiVersion": "1", "name": "a", "condition": 7}]), "not a boolean"),
            (json!("text"), "neither a list nor an object"),
        ];
        for (resources, expected) in table {
            let template = json!({"variables": {"loop": "[variables('loop')]"}, "resources": resources});
            let scope = Scope { target: ResourceId::of_group("s", "g"), ..Scope::default() };
            let error = plan(&template, &json!({}), scope).unwrap_err();
            assert!(error.message.contains(expected), "{}: {expected}", error.message);
        }
    }

    #[test]
    fn a_template_holds_only_so_much() {
        let scope = || Scope { target: ResourceId::of_group("s", "g"), ..Scope::default() };
        let many = |count: usize| {
            (0..count).map(|at| (format!("v{at}"), json!({"type": "int", "value": 1}))).collect()
        };
        for (part, count, fits) in [
            ("variables", 256, true),
            ("variables", 257, false),
            ("parameters", 257, false),
            ("outputs", 64, true),
            ("outputs", 65, false),
        ] {
            let template = json!({part: Value::Object(many(count))});
            let made = plan(&template, &json!({}), scope());
            assert_eq!(made.is_ok(), fits, "{count} {part}");
            if let Err(error) = made {
                assert!(
                    error.message.contains(&format!("The number of template {part} limit exceeded")),
                    "{error}"
                );
            }
        }
        // A large resource in a loop is as large as often as the loop goes round.
        let large: Vec<u32> = (0..20_000).collect();
        let copied = json!({"type": "A.B/c", "apiVersion": "1", "name": "[format('x{0}', copyIndex())]",
            "copy": {"name": "all", "count": 800}, "properties": large});
        let error = plan(&json!({"resources": [copied]}), &json!({}), scope()).unwrap_err();
        assert!(error.message.contains("exceeds the limit"), "{error}");
    }

    #[test]
    fn resources_may_name_each_other_as_often_as_they_like() {
        // Every one needs all before it, by each way to call them.
        let resources: Vec<Value> = (0..300)
            .map(|at| {
                let before = (0..at).flat_map(|n| [format!("n{n}"), format!("A.B/c/N{n}"), format!("c/n{n}")]);
                json!({"type": "A.B/c", "apiVersion": "1", "name": format!("n{at}"), "dependsOn": before.collect::<Vec<_>>()})
            })
            .collect();
        let scope = Scope { target: ResourceId::of_group("s", "g"), ..Scope::default() };
        let made = plan(&json!({"resources": resources}), &json!({}), scope).unwrap();
        assert!(made.items.iter().enumerate().all(|(at, item)| item.needs.len() == at));
    }

    #[test]
    fn a_resource_may_wait_for_one_that_is_not_deployed() {
        let template = json!({"resources": {
            "never": {"type": "A.B/c", "apiVersion": "1", "name": "never", "condition": false},
            "old": {"type": "A.B/c", "apiVersion": "1", "name": "old", "existing": true},
            "all": {"type": "A.B/c", "apiVersion": "1", "name": "[format('w{0}', copyIndex())]", "copy": {"name": "all", "count": "[length(range(0, 2))]"}},
            "last": {"type": "A.B/c", "apiVersion": "1", "name": "last", "dependsOn": ["never", "old", "all", "all[1]"]},
        }});
        let scope = Scope { target: ResourceId::of_group("s", "g"), ..Scope::default() };
        let made = plan(&template, &json!({}), scope).unwrap();
        let names: Vec<String> = made.items.iter().map(|i| i.id.full_name()).collect();
        assert_eq!(names, ["w0", "w1", "last", "old"]);
        assert_eq!(made.scope.symbols.get("all[1]").unwrap().name(), "w1");
    }
}
