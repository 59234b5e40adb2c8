//! The rules of a custom kind (`x-kubernetes-validations`), compiled once for each version of a definition.
//!
//! Guarantees: nothing is compiled while a request is answered; what an object's rules cost together is limited.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_model::schema::Same;
use api_model::{Cause, FieldPath};
use cel::{Bindings, Budget, Environment, EvalError, Program, Shape, Type};
use serde_json::{Value, json};

/// What all rules of an object may cost together.
const OBJECT_COST_MAX: u64 = 10_000_000;
/// Bytes of a message that an expression makes.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// The rules of a schema and of what is below it.
#[derive(Debug, Default)]
pub struct Rules {
    shape: Option<Arc<Shape>>,
    kind: String,
    own: Vec<Rule>,
    properties: BTreeMap<String, Rules>,
    items: Option<Box<Rules>>,
    values: Option<Box<Rules>>,
    all_of: Vec<Rules>,
    /// What tells the items of a list apart, where something does.
    keys: Option<Vec<String>>,
    /// Fields of an atomic object have no past.
    atomic: bool,
}

#[derive(Debug)]
struct Rule {
    program: Result<Program, String>,
    message: Option<Program>,
    declared: Declared,
    uses_old: bool,
}

#[derive(Debug)]
struct Declared {
    rule: String,
    message: String,
    message_expression: String,
    reason: String,
    field_path: String,
    optional_old: bool,
}

/// The variables of a schema's rules.
pub(super) fn environment(shape: &Arc<Shape>, optional_old: bool) -> Environment {
    let environment = Environment::new().shaped("self", shape.clone());
    if optional_old {
        environment.variable("oldSelf", Type::optional(shape.type_of()))
    } else {
        environment.shaped("oldSelf", shape.clone())
    }
}

/// A compiled rule.
///
/// # Errors
/// Why it is none, in upstream's words.
pub(super) fn compile_rule(environment: &Environment, rule: &str) -> Result<Program, String> {
    let program = environment.compile(rule).map_err(|error| format!("compilation failed: {error}"))?;
    if *program.result_type() == Type::Bool {
        Ok(program)
    } else {
        Err("cel expression must evaluate to a bool".to_owned())
    }
}

/// A compiled message.
///
/// # Errors
/// Why it is none, in upstream's words.
pub(super) fn compile_message(environment: &Environment, text: &str) -> Result<Program, String> {
    let program = environment
        .compile(text)
        .map_err(|error| format!("messageExpression compilation failed: {error}"))?;
    if *program.result_type() == Type::String {
        Ok(program)
    } else {
        Err("messageExpression must evaluate to a string".to_owned())
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

impl Rules {
    /// The rules of a whole kind; `None` when it has none.
    pub fn of(schema: &Value) -> Option<Self> {
        Self::compile(schema, schema, Shape::from_schema(schema, true, "selfType"))
    }

    /// The rules of a part of a kind, as its defaults are judged.
    pub fn of_part(schema: &Value) -> Option<Self> {
        Self::compile(schema, schema, Shape::from_schema(schema, embedded(schema), "selfType"))
    }

    /// `rules` is where rules are read; `schema` is what the values are. They differ inside `allOf`.
    fn compile(rules: &Value, schema: &Value, shape: Option<Arc<Shape>>) -> Option<Self> {
        let below = |rules: &Value, schema: &Value, shape: Option<Arc<Shape>>| {
            let shape = shape.or_else(|| Shape::from_schema(schema, embedded(schema), "selfType"));
            Self::compile(rules, schema, shape)
        };
        let element = shape.as_ref().and_then(|shape| shape.element().cloned());
        let part = |key: &str| {
            let (rules, schema) = (rules.get(key)?, schema.get(key)?);
            if !rules.is_object() || !schema.is_object() {
                return None;
            }
            below(rules, schema, element.clone()).map(Box::new)
        };
        let (items, values) = (part("items"), part("additionalProperties"));
        let mut properties = BTreeMap::new();
        for (name, property) in rules["properties"].as_object().into_iter().flatten() {
            let Some(known) = schema["properties"].get(name) else { continue };
            let shape = shape.as_ref().and_then(|shape| shape.property(name).cloned());
            if let Some(found) = below(property, known, shape) {
                properties.insert(name.clone(), found);
            }
        }
        let all_of = rules["allOf"].as_array().into_iter().flatten();
        let all_of: Vec<Self> =
            all_of.filter_map(|part| Self::compile(part, schema, shape.clone())).collect();
        let own = rules_of(rules, shape.as_ref());
        let none = own.is_empty()
            && properties.is_empty()
            && items.is_none()
            && values.is_none()
            && all_of.is_empty();
        let keys = (schema["x-kubernetes-list-type"] == "map").then(|| {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            keys.filter_map(Value::as_str).map(str::to_owned).collect()
        });
        let atomic = schema["x-kubernetes-map-type"] == "atomic";
        (!none).then(|| Self {
            shape,
            kind: text(schema, "type"),
            own,
            properties,
            items,
            values,
            all_of,
            keys,
            atomic,
        })
    }

    /// What an object violates, in upstream's words. `old` is what it replaces: what is as it was is tolerated.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut judging = Judging {
            path: FieldPath::root(),
            causes: Vec::new(),
            budget: Budget::new(OBJECT_COST_MAX),
            ended: false,
        };
        judging.node(self, object, old);
        judging.causes
    }
}

fn embedded(schema: &Value) -> bool {
    schema["x-kubernetes-embedded-resource"] == json!(true)
}

fn rules_of(schema: &Value, shape: Option<&Arc<Shape>>) -> Vec<Rule> {
    let declared = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let compiled = |rule: &Value| {
        let declared = Declared {
            rule: text(rule, "rule"),
            message: text(rule, "message"),
            message_expression: text(rule, "messageExpression"),
            reason: text(rule, "reason"),
            field_path: text(rule, "fieldPath"),
            optional_old: rule["optionalOldSelf"] == json!(true),
        };
        let Some(shape) = shape else {
            let why = "rule declared on schema that does not support validation rules".to_owned();
            return Rule { program: Err(why), message: None, declared, uses_old: false };
        };
        let environment = environment(shape, declared.optional_old);
        let program = compile_rule(&environment, &declared.rule);
        let message = (!declared.message_expression.is_empty())
            .then(|| compile_message(&environment, &declared.message_expression).ok())
            .flatten();
        let uses_old = program.as_ref().is_ok_and(|program| program.uses("oldSelf"));
        Rule { program, message, declared, uses_old }
    };
    declared.map(compiled).collect()
}

struct Judging {
    path: FieldPath,
    causes: Vec<Cause>,
    budget: Budget,
    /// No further rule is asked.
    ended: bool,
}

impl Judging {
    fn node(&mut self, rules: &Rules, value: &Value, old: Option<&Value>) {
        if self.ended || value.is_null() || old == Some(value) {
            return;
        }
        for rule in &rules.own {
            self.rule(rules, rule, value, old);
            if self.ended {
                return;
            }
        }
        for part in &rules.all_of {
            self.node(part, value, old);
        }
        match value {
            Value::Array(items) => self.items(rules, items, old),
            Value::Object(map) => self.fields(rules, map, old),
            _ => {}
        }
    }

    fn below(
        &mut self,
        rules: &Rules,
        value: &Value,
        old: Option<&Value>,
        step: impl FnOnce(&mut FieldPath),
    ) {
        let mark = self.path.len();
        step(&mut self.path);
        self.node(rules, value, old);
        self.path.truncate(mark);
    }

    fn items(&mut self, rules: &Rules, items: &[Value], old: Option<&Value>) {
        let Some(below) = &rules.items else { return };
        let same =
            Same::by_keys(rules.keys.clone().unwrap_or_default(), old.filter(|_| rules.keys.is_some()));
        for (index, item) in items.iter().enumerate() {
            self.below(below, item, same.find(item), |path| path.push_index(index));
        }
    }

    fn fields(&mut self, rules: &Rules, map: &serde_json::Map<String, Value>, old: Option<&Value>) {
        let old = old.filter(|_| !rules.atomic);
        for (key, value) in map {
            let old = old.and_then(|old| old.get(key));
            if let Some(below) = &rules.values {
                self.below(below, value, old, |path| *path = path.key(key));
            }
            if let Some(below) = rules.properties.get(key) {
                self.below(below, value, old, |path| path.push_field(key));
            }
        }
    }

    fn place(&self) -> FieldPath {
        if self.path.is_empty() { FieldPath::new("<nil>") } else { self.path.clone() }
    }

    fn wrong(&mut self, kind: &str, detail: &str) {
        self.causes.push(Cause::invalid_str(&self.place(), kind, detail));
    }

    fn rule(&mut self, rules: &Rules, rule: &Rule, value: &Value, old: Option<&Value>) {
        let declared = &rule.declared;
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => return self.wrong(&rules.kind, &format!("rule compile error: {why}")),
        };
        // Rules about changes are asked only where there is a past, unless they say that they do without.
        if rule.uses_old && old.is_none() && !declared.optional_old {
            return;
        }
        let Some(shape) = &rules.shape else { return };
        let result = bindings(shape, value, old, declared.optional_old).and_then(|bindings| {
            program.evaluate(&bindings, &mut self.budget).map(|result| result.as_bool())
        });
        if self.budget.is_exhausted() {
            self.ended = true;
            let why = "validation failed due to running out of cost budget, no further validation rules will be run";
            return self.wrong(&rules.kind, why);
        }
        let named = if declared.message.is_empty() { declared.rule.trim() } else { declared.message.trim() };
        match result {
            Ok(Some(true)) => {}
            Ok(_) => self.failed(rules, rule, value, old),
            Err(EvalError::CostLimit) => {
                self.ended = true;
                let error = EvalError::CostLimit;
                let why = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {named}"
                );
                self.wrong(&rules.kind, &why);
            }
            Err(error) if error.to_string().starts_with("no such overload") => {
                let why = format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {named}"
                );
                self.wrong(&rules.kind, &why);
            }
            Err(error) => self.wrong(&rules.kind, &format!("{error} evaluating rule: {named}")),
        }
    }

    fn failed(&mut self, rules: &Rules, rule: &Rule, value: &Value, old: Option<&Value>) {
        let declared = &rule.declared;
        let made = rule.message.as_ref().zip(rules.shape.as_ref()).and_then(|(program, shape)| {
            let bindings = bindings(shape, value, old, declared.optional_old).ok()?;
            let made = program.evaluate(&bindings, &mut self.budget).ok()?;
            let made = made.as_str()?.trim().to_owned();
            (!made.is_empty() && made.len() <= MESSAGE_BYTES_MAX && !made.contains('\n')).then_some(made)
        });
        let detail = made.unwrap_or_else(|| {
            if declared.message.is_empty() {
                format!("failed rule: {}", declared.rule.trim())
            } else {
                declared.message.trim().to_owned()
            }
        });
        let path = match normalized(&declared.field_path) {
            below if below.is_empty() => self.place(),
            below if self.path.is_empty() => FieldPath::new(&below),
            below => self.path.child(&below),
        };
        let kind = Value::from(rules.kind.as_str());
        self.causes.push(match declared.reason.as_str() {
            "FieldValueForbidden" => Cause::forbidden(&path, &detail),
            "FieldValueRequired" => Cause::required(&path, &detail),
            "FieldValueDuplicate" => Cause::duplicate(&path, &kind),
            _ => Cause::invalid(&path, &kind, &detail),
        });
    }
}

fn bindings<'a>(
    shape: &'a Arc<Shape>,
    value: &'a Value,
    old: Option<&'a Value>,
    optional_old: bool,
) -> Result<Bindings<'a>, EvalError> {
    let mut bindings = Bindings::new().with("self", cel::Value::typed(value, shape)?);
    match (old, optional_old) {
        (None, true) => bindings.set("oldSelf", cel::Value::Optional(None)),
        (None, false) => {}
        (Some(old), true) => bindings.set("oldSelf", cel::Value::some(cel::Value::typed(old, shape)?)),
        (Some(old), false) => bindings.set("oldSelf", cel::Value::typed(old, shape)?),
    }
    Ok(bindings)
}

/// `.spec.x['y']` as a path of fields shows it.
fn normalized(path: &str) -> String {
    path.trim().trim_start_matches('.').replace("['", "[").replace("']", "]")
}
