//! Lambdas: `map`, `filter`, `sort`, `reduce`, `toObject`, `groupBy`, `mapValues`, and the template's own functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::evaluate::{Made, Missing, Scope};
use super::expression::Expression;
use super::functions::text;

/// A lambda's variables and its body.
struct Lambda<'a> {
    names: Vec<String>,
    body: &'a Expression,
}

fn wrong(name: &str, why: &str) -> Missing {
    Missing::Wrong(format!("Unable to evaluate template language function '{name}': {why}."))
}

impl<'a> Lambda<'a> {
    fn read(name: &str, expression: &'a Expression) -> Result<Self, Missing> {
        let Expression::Call(called, parts) = expression else {
            return Err(wrong(name, "a lambda is expected"));
        };
        let Some((body, names)) = parts.split_last().filter(|_| called == "lambda") else {
            return Err(wrong(name, "a lambda is expected"));
        };
        let names = names.iter().map(|n| match n {
            Expression::Value(Value::String(name)) => Ok(name.to_ascii_lowercase()),
            _ => Err(wrong(name, "the variables of a lambda are texts")),
        });
        Ok(Self { names: names.collect::<Result<_, _>>()?, body })
    }

    fn run(&self, scope: &Scope, values: &[&Value]) -> Made {
        let mut inner = scope.clone();
        for (name, value) in self.names.iter().zip(values) {
            inner.locals.insert(name.clone(), (*value).clone().into());
        }
        inner.evaluate(self.body)
    }
}

impl Scope {
    /// Functions whose last arguments are lambdas; `None`: it is another one.
    pub(super) fn with_lambda(&self, name: &str, arguments: &[Expression]) -> Option<Made> {
        let known = ["map", "filter", "sort", "reduce", "toobject", "groupby", "mapvalues"].contains(&name);
        known.then(|| {
            let (Some(first), Some(second)) = (arguments.first(), arguments.get(1)) else {
                return Err(wrong(name, "at least two arguments are expected"));
            };
            let input = self.evaluate(first)?;
            let made = match (name, &input) {
                ("mapvalues", Value::Object(map)) => self.map_values(map, &Lambda::read(name, second)?),
                ("reduce", Value::Array(list)) => {
                    let third =
                        arguments.get(2).ok_or_else(|| wrong(name, "three arguments are expected"))?;
                    self.reduce(list, self.evaluate(second)?, &Lambda::read(name, third)?)
                }
                ("toobject", Value::Array(list)) => {
                    let value = arguments.get(2).map(|third| Lambda::read(name, third)).transpose()?;
                    self.to_object(list, &Lambda::read(name, second)?, value.as_ref())
                }
                (_, Value::Array(list)) => self.over(name, list, &Lambda::read(name, second)?),
                _ => Err(wrong(name, "the first argument is not of the right type")),
            }?;
            Ok(self.meter.made(made)?)
        })
    }

    fn over(&self, name: &str, list: &[Value], lambda: &Lambda<'_>) -> Made {
        match name {
            "map" => {
                let index = |at: usize| Value::from(at);
                let made = list.iter().enumerate().map(|(at, v)| lambda.run(self, &[v, &index(at)]));
                made.collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            "filter" => {
                let mut kept = Vec::new();
                for (at, value) in list.iter().enumerate() {
                    match lambda.run(self, &[value, &Value::from(at)])? {
                        Value::Bool(true) => kept.push(value.clone()),
                        Value::Bool(false) => {}
                        _ => return Err(wrong(name, "the lambda does not answer a boolean")),
                    }
                }
                Ok(Value::Array(kept))
            }
            "groupby" => {
                let mut groups: Map<String, Value> = Map::new();
                for value in list {
                    let key = text(&lambda.run(self, &[value])?);
                    if let Value::Array(group) = groups.entry(key).or_insert_with(|| Value::Array(Vec::new()))
                    {
                        group.push(value.clone());
                    }
                }
                Ok(Value::Object(groups))
            }
            _ => self.sorted(list, lambda),
        }
    }

    /// Merge sort: a lambda that contradicts itself makes a strange order and nothing worse.
    fn sorted(&self, list: &[Value], lambda: &Lambda<'_>) -> Made {
        if list.len() < 2 {
            return Ok(Value::Array(list.to_vec()));
        }
        let (left, right) = list.split_at(list.len() / 2);
        let (Value::Array(left), Value::Array(right)) =
            (self.sorted(left, lambda)?, self.sorted(right, lambda)?)
        else {
            return Ok(Value::Null);
        };
        let mut made = Vec::with_capacity(list.len());
        let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some(one), Some(two)) => {
                    // The left one stays first unless the right one must come before it.
                    let later = lambda.run(self, &[two, one])? == Value::Bool(true);
                    made.extend(if later { right.next() } else { left.next() });
                }
                (Some(_), None) => made.extend(left.next()),
                (None, Some(_)) => made.extend(right.next()),
                (None, None) => return Ok(Value::Array(made)),
            }
        }
    }

    fn reduce(&self, list: &[Value], start: Value, lambda: &Lambda<'_>) -> Made {
        let mut so_far = start;
        for (at, value) in list.iter().enumerate() {
            so_far = lambda.run(self, &[&so_far, value, &Value::from(at)])?;
        }
        Ok(so_far)
    }

    fn to_object(&self, list: &[Value], key: &Lambda<'_>, value: Option<&Lambda<'_>>) -> Made {
        let mut made = Map::new();
        for one in list {
            let name = text(&key.run(self, &[one])?);
            let held = match value {
                Some(lambda) => lambda.run(self, &[one])?,
                None => one.clone(),
            };
            made.insert(name, held);
        }
        Ok(Value::Object(made))
    }

    fn map_values(&self, map: &Map<String, Value>, lambda: &Lambda<'_>) -> Made {
        let made = map.iter().map(|(name, value)| Ok((name.clone(), lambda.run(self, &[value])?)));
        made.collect::<Result<Map<_, _>, Missing>>().map(Value::Object)
    }

    /// A function of the template's own: it sees its parameters and other functions, and nothing else.
    pub(super) fn own_function(&self, name: &str, a: &[Value]) -> Option<Made> {
        let declared = self.functions.get(name)?;
        let parameters = declared.get("parameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if parameters.len() != a.len() {
            return Some(Err(wrong(name, &format!("{} argument(s) are expected", parameters.len()))));
        }
        let mut given = BTreeMap::new();
        for (parameter, value) in parameters.iter().zip(a) {
            let named = parameter.get("name").and_then(Value::as_str).unwrap_or("");
            given.insert(named.to_owned(), value.clone());
        }
        let inner = Self {
            parameters: Arc::new(given),
            variables: Arc::default(),
            loops: BTreeMap::new(),
            current: None,
            locals: BTreeMap::new(),
            ..self.clone()
        };
        Some(inner.value(declared.pointer("/output/value").unwrap_or(&Value::Null)))
    }
}
