//! The rules of a schema: their form, whether they compile, and what they may cost.

use std::sync::Arc;

use api_model::{Cause, FieldPath};
use cel::Shape;
use serde_json::{Value, json};

use super::{Place, columns};
use crate::registry::custom::rules::{compile_message, compile_rule, environment};
use crate::registry::object::{at, items, text};

/// What one rule may cost by its estimate, counting how often it may be asked for one object.
const RULE_COST_MAX: u64 = 10_000_000;
/// What all rules of a schema may cost together.
const SCHEMA_COST_MAX: u64 = 100_000_000;
/// How many of the dearest rules are named when all together are too dear.
const NAMED_MAX: usize = 4;
/// Rules that cost less, a hundredth of the limit, are not named.
const NAMED_COST_MIN: u64 = SCHEMA_COST_MAX / 100;
const KEY: &str = "x-kubernetes-validations";
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with the rules of one level, before they are compiled.
pub(super) fn declared(schema: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    for (index, rule) in items(schema, &[KEY]).iter().enumerate() {
        let path = path.child(KEY).index(index);
        let lines = |text: &str| text.contains(['\n', '\r']);
        let (given, message) = (text(rule, &["rule"]), text(rule, &["message"]));
        if given.trim().is_empty() {
            causes.push(Cause::required(&path.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            let detail = "message must be non-empty if specified";
            causes.push(Cause::invalid_str(&path.child("message"), message, detail));
        } else if lines(message.trim()) {
            let detail = "message must not contain line breaks";
            causes.push(Cause::invalid_str(&path.child("message"), message, detail));
        } else if lines(given.trim()) && message.trim().is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            causes.push(Cause::required(&path.child("message"), detail));
        }
        let expression = text(rule, &["messageExpression"]);
        if !expression.is_empty() && expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            causes.push(Cause::required(&path.child("messageExpression"), detail));
        }
        if let Some(reason) = at(rule, &["reason"]).as_str().filter(|reason| !REASONS.contains(reason)) {
            causes.push(Cause::unsupported(&path.child("reason"), &json!(reason), &REASONS));
        }
        let field = text(rule, &["fieldPath"]);
        let path = path.child("fieldPath");
        if !field.is_empty() && field.trim().is_empty() {
            causes.push(Cause::invalid_str(&path, field, "fieldPath must be non-empty if specified"));
        }
        if lines(field) {
            causes.push(Cause::invalid_str(&path, field, "fieldPath must not contain line breaks"));
        }
        if !field.is_empty() && columns::find(field, schema, true).is_err() {
            causes.push(Cause::invalid_str(&path, field, "fieldPath must be a valid path"));
        }
    }
}

/// What is wrong with the rules of a whole schema, which is otherwise sound.
pub(super) fn check(place: &Place<'_>, causes: &mut Vec<Cause>) {
    let mut walk = Walk { causes, costs: Vec::new(), unchanged: place.unchanged };
    let shape = Shape::from_schema(place.schema, true, "selfType");
    walk.level(place.schema, shape.as_ref(), &place.path, Some(1), None);
    let costs = walk.costs;
    let total = costs.iter().fold(0u64, |sum, (_, cost)| sum.saturating_add(*cost));
    if total <= SCHEMA_COST_MAX {
        return;
    }
    let mut dearest = costs;
    dearest.retain(|(_, cost)| *cost >= NAMED_COST_MIN);
    dearest.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
    for (path, _) in dearest.iter().take(NAMED_MAX) {
        let detail =
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        causes.push(Cause::forbidden(path, detail));
    }
    let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    causes.push(Cause::forbidden(&place.path, &too_dear(name, total, SCHEMA_COST_MAX)));
}

struct Walk<'c> {
    causes: &'c mut Vec<Cause>,
    costs: Vec<(FieldPath, u64)>,
    unchanged: bool,
}

impl Walk<'_> {
    /// `count`: how often values of this level are in an object at most; `None` when the schema does not say. `apart`: the
    /// lowest level above whose values have no past.
    fn level(
        &mut self,
        schema: &Value,
        shape: Option<&Arc<Shape>>,
        path: &FieldPath,
        count: Option<u64>,
        apart: Option<&FieldPath>,
    ) {
        self.own(schema, shape, path, count, apart);
        let element = shape.and_then(|shape| shape.element());
        let times =
            |key: &str| at(schema, &[key]).as_u64().zip(count).map(|(own, count)| own.saturating_mul(count));
        let atomic = text(schema, &["x-kubernetes-map-type"]) == "atomic";
        let inside = apart.or((atomic).then_some(path));
        for (name, property) in at(schema, &["properties"]).as_object().into_iter().flatten() {
            let shape = shape.and_then(|shape| shape.property(name)).cloned();
            let shape = shape.or_else(|| Shape::from_schema(property, false, "selfType"));
            self.level(property, shape.as_ref(), &path.child("properties").key(name), count, inside);
        }
        let values = at(schema, &["additionalProperties"]);
        if values.is_object() {
            self.level(values, element, &path.child("additionalProperties"), times("maxProperties"), inside);
        }
        let item = at(schema, &["items"]);
        if item.is_object() {
            let listed = text(schema, &["x-kubernetes-list-type"]) != "map";
            let inside = apart.or(listed.then_some(path));
            self.level(item, element, &path.child("items"), times("maxItems"), inside);
        }
    }

    fn own(
        &mut self,
        schema: &Value,
        shape: Option<&Arc<Shape>>,
        path: &FieldPath,
        count: Option<u64>,
        apart: Option<&FieldPath>,
    ) {
        let path = path.child(KEY);
        for (index, rule) in items(schema, &[KEY]).iter().enumerate() {
            let path = path.index(index);
            let Some(shape) = shape else {
                let why = format!(
                    "rule declared on schema that does not support validation rules type: '{}' x-kubernetes-preserve-unknown-fields: '{}'",
                    text(schema, &["type"]),
                    at(schema, &["x-kubernetes-preserve-unknown-fields"]) == &json!(true)
                );
                self.causes.push(Cause::invalid(&path.child("rule"), &shown(rule), &why));
                continue;
            };
            let environment = environment(shape, at(rule, &["optionalOldSelf"]) == &json!(true));
            let uses_old = match compile_rule(&environment, text(rule, &["rule"])) {
                Err(why) => {
                    self.causes.push(Cause::invalid(&path.child("rule"), &shown(rule), &why));
                    None
                }
                Ok(program) => {
                    let times = count.unwrap_or_else(|| shape.most_in_a_request());
                    let cost = program.cost().max.saturating_mul(times);
                    self.cost("estimated rule cost", &path.child("rule"), cost);
                    Some(program.uses("oldSelf"))
                }
            };
            let message = text(rule, &["messageExpression"]);
            if !message.trim().is_empty() {
                match compile_message(&environment, message) {
                    Err(why) => {
                        self.causes.push(Cause::invalid(
                            &path.child("messageExpression"),
                            &shown(rule),
                            &why,
                        ));
                    }
                    Ok(program) => {
                        let cost = program.cost().max;
                        self.cost("estimated messageExpression cost", &path.child("messageExpression"), cost);
                    }
                }
            }
            self.past(rule, &path, uses_old, apart);
        }
    }

    fn past(&mut self, rule: &Value, path: &FieldPath, uses_old: Option<bool>, apart: Option<&FieldPath>) {
        match (uses_old, apart) {
            (Some(true), Some(apart)) => {
                let detail = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {apart}"
                );
                self.causes.push(Cause::invalid_str(&path.child("rule"), text(rule, &["rule"]), &detail));
            }
            (Some(false), _) if !at(rule, &["optionalOldSelf"]).is_null() => {
                let detail = "may not be set if oldSelf is not used in rule";
                let given = at(rule, &["optionalOldSelf"]);
                self.causes.push(Cause::invalid(&path.child("optionalOldSelf"), given, detail));
            }
            _ => {}
        }
    }

    fn cost(&mut self, name: &str, path: &FieldPath, cost: u64) {
        if cost > RULE_COST_MAX && !self.unchanged {
            self.causes.push(Cause::forbidden(path, &too_dear(name, cost, RULE_COST_MAX)));
        }
        self.costs.push((path.clone(), cost));
    }
}

fn too_dear(name: &str, cost: u64, limit: u64) -> String {
    // Far below what a double holds exactly, or "more than 100x" anyway.
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        factor if factor > 100.0 => "more than 100x".to_owned(),
        factor if factor < 1.5 => format!("{factor:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

/// A rule as upstream's own type shows it.
fn shown(rule: &Value) -> Value {
    let text = |key: &str| text(rule, &[key]);
    json!({
        "Rule": text("rule"), "Message": text("message"), "MessageExpression": text("messageExpression"),
        "Reason": at(rule, &["reason"]), "FieldPath": text("fieldPath"), "OptionalOldSelf": at(rule, &["optionalOldSelf"]),
    })
}
