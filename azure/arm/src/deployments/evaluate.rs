//! Values of a template: expressions are evaluated where they stand.
//!
//! `if`, `and`, `or` and `coalesce` evaluate no more than they need, so that a branch not taken may refer to what is not
//! there. What depends on the deployment and its resources is in `calls`, lambdas are in `lambdas`, everything that needs
//! only its arguments in `functions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::expression::{self, Expression};
use super::functions::{self, member, text};
use super::meter::Meter;
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

/// What a template's expressions can see. Cheap to clone: loops and lambdas do it for each round.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scope {
    /// Where it is deployed to.
    pub target: ResourceId,
    /// The deployment's name.
    pub name: String,
    pub tenant_id: String,
    pub subscription_name: String,
    pub location: String,
    pub tags: Value,
    pub parameters: Arc<BTreeMap<String, Value>>,
    /// As written; evaluated when asked for.
    pub variables: Arc<Map<String, Value>>,
    /// The template's own functions: `namespace.name`, in lower case.
    pub functions: Arc<BTreeMap<String, Value>>,
    /// Symbolic names; a loop's resources as `name[0]`, too.
    pub symbols: Arc<BTreeMap<String, ResourceId>>,
    /// Ids of the template's resources, for `reference('name')`.
    pub own: Arc<Vec<ResourceId>>,
    /// Api-versions of the template's resources, by key.
    pub versions: Arc<BTreeMap<String, String>>,
    /// Each namespace that the cloud has, in lower case, as `providers()` shows it.
    pub namespaces: Arc<BTreeMap<String, Value>>,
    /// What was fetched: `full|id|version`, `list|id|action|version`.
    pub states: Arc<BTreeMap<String, Value>>,
    /// Index of the loop, by its name.
    pub loops: BTreeMap<String, i64>,
    /// The innermost loop.
    pub current: Option<String>,
    /// Variables of the lambdas around. Shared: each round of an inner lambda takes them along.
    pub locals: BTreeMap<String, Arc<Value>>,
    pub now: jiff::Timestamp,
    /// How much has been spent on this template.
    pub meter: Arc<Meter>,
}

pub(crate) type Made = Result<Value, Missing>;

/// Most rounds of a loop.
const ROUNDS_MAX: i64 = 800;

impl Scope {
    /// A value with every expression in it evaluated.
    pub(crate) fn value(&self, raw: &Value) -> Made {
        let _step = self.meter.step()?;
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

    /// How often a loop goes round.
    pub(crate) fn rounds(&self, copy: &Value) -> Result<i64, Missing> {
        let name = copy.get("name").and_then(Value::as_str).unwrap_or("");
        let count = self.value(copy.get("count").unwrap_or(&Value::Null))?;
        match count.as_i64() {
            Some(count) if (0..=ROUNDS_MAX).contains(&count) => Ok(count),
            _ => Err(Missing::Wrong(format!(
                "The template copy definition '{name}' has an invalid count '{count}'. The count must be a number between 0 and {ROUNDS_MAX}. Please see https://aka.ms/arm-resource-loops for usage details"
            ))),
        }
    }

    /// The same scope in a round of a loop.
    pub(crate) fn round(&self, name: &str, index: i64) -> Self {
        let mut inner = self.clone();
        inner.current = Some(name.to_owned());
        inner.loops.insert(name.to_owned(), index);
        inner
    }

    /// A property, variable or output loop: `{"name","count","input"}`.
    pub(crate) fn copied(&self, copy: &Value) -> Result<(String, Value), Missing> {
        let name = copy.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
        let input = copy.get("input").unwrap_or(&Value::Null);
        let mut list = Vec::new();
        for index in 0..self.rounds(copy)? {
            list.push(self.round(&name, index).value(input)?);
        }
        Ok((name, Value::Array(list)))
    }

    pub(crate) fn evaluate(&self, expression: &Expression) -> Made {
        let _step = self.meter.step()?;
        match expression {
            Expression::Value(value) => Ok(value.clone()),
            Expression::Member(object, name) => {
                let (object, name) = (self.evaluate(object)?, self.evaluate(name)?);
                match member(&object, &name) {
                    Some(found) => Ok(found.clone()),
                    None => Err(self.no_member(&object, &name)),
                }
            }
            Expression::Call(name, arguments) => match self.lazy(name, arguments) {
                Some(made) => made,
                None => {
                    let values = arguments.iter().map(|a| self.evaluate(a)).collect::<Result<Vec<_>, _>>()?;
                    let made = self.call(name, &values)?;
                    Ok(self.meter.made(made)?)
                }
            },
        }
    }

    fn no_member(&self, object: &Value, name: &Value) -> Missing {
        let known = match object {
            Value::Object(map) => map.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            _ => {
                return Missing::Wrong(match object {
                    Value::Array(list) => format!(
                        "The language expression property array index '{}' is out of bounds (the array has {} elements)",
                        text(name),
                        list.len()
                    ),
                    _ => format!("The language expression property '{}' can't be evaluated", text(name)),
                });
            }
        };
        Missing::Wrong(format!(
            "The language expression property '{}' doesn't exist, available properties are '{known}'",
            text(name)
        ))
    }

    /// Functions that do not evaluate all their arguments; `None`: it is another one.
    fn lazy(&self, name: &str, arguments: &[Expression]) -> Option<Made> {
        match (name, arguments) {
            ("if", [condition, yes, no]) => Some(self.evaluate(condition).and_then(|condition| {
                match condition {
                    Value::Bool(true) => self.evaluate(yes),
                    Value::Bool(false) => self.evaluate(no),
                    other => Err(Missing::Wrong(format!(
                        "The template language function 'if' expects its first parameter to be a boolean. The provided value is '{other}'"
                    ))),
                }
            })),
            ("and" | "or", [_, _, ..]) => {
                let stops = name == "or";
                for argument in arguments {
                    match self.evaluate(argument) {
                        Ok(Value::Bool(truth)) if truth == stops => return Some(Ok(Value::Bool(stops))),
                        Ok(Value::Bool(_)) => {}
                        Ok(other) => {
                            return Some(Err(Missing::Wrong(format!(
                                "The template language function '{name}' expects booleans. The provided value is '{other}'"
                            ))));
                        }
                        Err(error) => return Some(Err(error)),
                    }
                }
                Some(Ok(Value::Bool(!stops)))
            }
            ("coalesce", [_, ..]) => {
                for argument in arguments {
                    match self.evaluate(argument) {
                        Ok(Value::Null) => {}
                        other => return Some(other),
                    }
                }
                Some(Ok(Value::Null))
            }
            _ => self.with_lambda(name, arguments),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Made {
        let spelled = || self.variables.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        if let Some(value) = self.variables.get(name).or_else(spelled) {
            // Variables see no loop and no lambda around the place where they are used.
            if self.locals.is_empty() {
                return self.value(value);
            }
            let plain = Self { locals: BTreeMap::new(), ..self.clone() };
            return plain.value(value);
        }
        let copies = self.variables.get("copy").and_then(Value::as_array);
        let named =
            |c: &&Value| c.get("name").and_then(Value::as_str).is_some_and(|n| n.eq_ignore_ascii_case(name));
        match copies.into_iter().flatten().find(named) {
            Some(copy) => Ok(self.copied(copy)?.1),
            None => Err(Missing::Wrong(format!(
                "The template variable '{name}' is not found. Please see https://aka.ms/arm-syntax-variables for usage details"
            ))),
        }
    }

    /// A function without any context.
    pub(super) fn plain(&self, name: &str, a: &[Value]) -> Made {
        match functions::call(name, a) {
            Some(made) => made.map_err(Missing::Wrong),
            None => Err(Missing::Wrong(format!(
                "The template function '{name}' is not valid. Please see https://aka.ms/arm-functions for usage details."
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
