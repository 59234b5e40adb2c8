//! Shape validation: types, required fields, formats and, for custom kinds, value limits.

use super::same::Same;
use super::types::{Constraints, Field, NodeId, NodeKind, Scalar};
use super::{Schema, Types};
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::Value;
use std::collections::HashSet;

impl Schema {
    /// What is wrong with the object's shape. Run it after [`Schema::prune`] and [`Schema::default`].
    ///
    /// Built-in kinds: wrong types anywhere. What is absent is none of the shape's business: upstream's decoder fills it with zeros, and the rules of the
    /// kind judge those, each in its own words. Definitions of custom kinds: required texts and structs too. Custom kinds: everything their schema says,
    /// except CEL rules.
    pub fn validate(&self, object: &Value) -> Vec<Cause> {
        self.judge(object, None)
    }

    /// The same for an object that replaces `old`. Custom kinds: what was wrong before and is as it was is tolerated.
    pub fn validate_update(&self, object: &Value, old: &Value) -> Vec<Cause> {
        self.judge(object, Some(old).filter(|_| self.name().is_none()))
    }

    fn judge(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let built_in = self.name().is_some();
        let mut checker = Checker {
            types: self.types(),
            path: FieldPath::root(),
            causes: Vec::new(),
            built_in,
            judged_by_rules: self.name().is_some_and(|name| !name.starts_with("apiextensions-apiserver.")),
        };
        checker.node(self.id(), object, old, false);
        checker.causes
    }
}

struct Checker<'a> {
    types: &'a Types,
    path: FieldPath,
    causes: Vec<Cause>,
    built_in: bool,
    judged_by_rules: bool,
}

impl Checker<'_> {
    fn node(&mut self, id: NodeId, value: &Value, old: Option<&Value>, in_status: bool) {
        if old == Some(value) {
            return;
        }
        let node = self.types.node(id);
        if let Some(constraints) = &node.constraints {
            if value.is_null() && constraints.nullable {
                return;
            }
            self.constraints(constraints, value);
        }
        match (&node.kind, value) {
            (NodeKind::Any, _) => {}
            (NodeKind::Scalar(scalar), value) => self.scalar(*scalar, value),
            (NodeKind::Struct { fields, rest, embedded, .. }, Value::Object(map)) => {
                if *embedded && !self.built_in && !self.path.is_empty() {
                    self.whole_object(map);
                }
                if self.judged_by_rules {
                    // What is not there is none of the shape's business. Both are in the order of the names.
                    for (key, value) in map {
                        if let Some(field) = super::types::find(fields, key) {
                            self.field(field, value, old, in_status);
                        }
                    }
                } else {
                    for field in fields {
                        match map.get(&*field.name) {
                            None => self.absent(field, in_status),
                            Some(value) => self.field(field, value, old, in_status),
                        }
                    }
                }
                if let Some(rest) = rest {
                    for (key, value) in
                        map.iter().filter(|(key, _)| super::types::find(fields, key).is_none())
                    {
                        self.below(key, *rest, value, old, in_status);
                    }
                }
            }
            (NodeKind::Map(item), Value::Object(map)) => {
                for (key, value) in map {
                    self.below(key, *item, value, old, in_status);
                }
            }
            (NodeKind::List { item, list, .. }, Value::Array(items)) => {
                let same = Same::of(list, old);
                for (index, value) in items.iter().enumerate() {
                    let mark = self.path.len();
                    self.path.push_index(index);
                    self.node(*item, value, same.find(value), in_status);
                    self.path.truncate(mark);
                }
                if !self.built_in {
                    self.list_type(list, items);
                }
            }
            (NodeKind::Struct { .. } | NodeKind::Map(_), value) => self.wrong(value, "object"),
            (NodeKind::List { .. }, value) => self.wrong(value, "array"),
        }
    }

    fn field(&mut self, field: &Field, value: &Value, old: Option<&Value>, in_status: bool) {
        if value.is_null() && (field.nullable || self.built_in) {
            return;
        }
        let mark = self.path.len();
        self.path.push_field(&field.name);
        let old = old.and_then(|old| old.get(&*field.name));
        self.node(field.node, value, old, in_status || &*field.name == "status");
        self.path.truncate(mark);
    }

    /// An object inside another says what it is.
    fn whole_object(&mut self, map: &serde_json::Map<String, Value>) {
        let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
        for key in ["apiVersion", "kind"] {
            if text(key).is_empty() {
                self.causes.push(Cause::required(&self.path.child(key), "must not be empty"));
            }
        }
        let kind = text("kind");
        let wrong = crate::validation::names::dns1035_label(&kind.to_lowercase());
        if !kind.is_empty() && !wrong.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            self.causes.push(Cause::invalid_str(&self.path.child("kind"), kind, &detail));
        }
    }

    fn below(&mut self, key: &str, id: NodeId, value: &Value, old: Option<&Value>, in_status: bool) {
        let mark = self.path.len();
        self.path.push_field(key);
        self.node(id, value, old.and_then(|old| old.get(key)), in_status);
        self.path.truncate(mark);
    }

    fn absent(&mut self, field: &Field, in_status: bool) {
        if !field.required || self.judged_by_rules {
            return;
        }
        if self.built_in {
            // Lists, numbers and truth values decode to zero upstream, so their absence is no error of shape.
            let judged = matches!(
                self.types.node(field.node).kind,
                NodeKind::Scalar(Scalar::String | Scalar::Byte) | NodeKind::Struct { .. }
            );
            if in_status || !judged || matches!(&*field.name, "metadata" | "status") {
                return;
            }
        }
        self.causes.push(Cause::required(&self.path.child(&field.name), ""));
    }

    fn wrong(&mut self, value: &Value, wanted: &str) {
        self.causes.push(Cause::wrong_type(&self.path, value, wanted));
    }

    fn scalar(&mut self, scalar: Scalar, value: &Value) {
        let fits = match scalar {
            Scalar::String => value.is_string(),
            Scalar::Bool => value.is_boolean(),
            Scalar::Int32 => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) || whole(value),
            Scalar::Int64 => value.is_i64() || value.is_u64() || whole(value),
            Scalar::Double => value.is_number(),
            Scalar::Byte => return self.base64(value),
            Scalar::Time | Scalar::MicroTime => return self.time(value),
            Scalar::Quantity => return self.quantity(value),
            Scalar::IntOrString => value.is_string() || value.is_i64() || value.is_u64(),
        };
        if !fits {
            self.wrong(
                value,
                match scalar {
                    Scalar::Bool => "boolean",
                    Scalar::Int32 | Scalar::Int64 => "integer",
                    Scalar::Double => "number",
                    _ => "string",
                },
            );
        }
    }

    fn base64(&mut self, value: &Value) {
        use base64::Engine;
        let Value::String(text) = value else { return self.wrong(value, "string") };
        if let Err(error) = base64::engine::general_purpose::STANDARD.decode(text) {
            self.causes.push(Cause::invalid_str(&self.path, text, &format!("illegal base64 data: {error}")));
        }
    }

    fn time(&mut self, value: &Value) {
        let Value::String(text) = value else { return self.wrong(value, "string") };
        if text.parse::<jiff::Timestamp>().is_err() {
            self.causes.push(Cause::invalid_str(
                &self.path,
                text,
                "must be an RFC 3339 time, as in 2006-01-02T15:04:05Z",
            ));
        }
    }

    fn quantity(&mut self, value: &Value) {
        let parsed = match value {
            Value::String(text) => crate::quantity::Quantity::parse(text),
            Value::Number(number) => crate::quantity::Quantity::parse(&number.to_string()),
            other => return self.wrong(other, "string"),
        };
        if let Err(error) = parsed {
            self.causes.push(Cause::invalid(&self.path, value, &error.to_string()));
        }
    }

    fn list_type(&mut self, list: &super::ListType, items: &[Value]) {
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let key = match list {
                super::ListType::Atomic => return,
                super::ListType::Set => item.to_string(),
                super::ListType::Map(keys) => {
                    let values: serde_json::Map<String, Value> = keys
                        .iter()
                        .filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())))
                        .collect();
                    Value::Object(values).to_string()
                }
            };
            if !seen.insert(key.clone()) {
                let shown = serde_json::from_str(&key).unwrap_or(Value::Null);
                self.causes.push(Cause::duplicate(&self.path.index(index), &shown));
            }
        }
    }

    fn constraints(&mut self, constraints: &Constraints, value: &Value) {
        super::custom::limits(constraints, value, &self.path, &mut self.causes);
    }
}

fn whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() < 9.0e18)
}
