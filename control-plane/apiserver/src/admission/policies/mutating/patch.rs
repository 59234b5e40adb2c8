//! What one mutation makes of an object.

use api_model::merge::apply::merge_configuration;
use api_model::merge::json_patch;
use api_model::{Schema, decode};
use cel::{Bindings, Budget, Value};
use serde_json::{Map, Value as Json, json};

use super::compiled::{Mutation, PatchType};
use crate::admission::expressions::POLICY_COST_MAX;
use crate::attributes::{ApiError, text};
use crate::handlers::body::Complaints;

/// Why an object is not changed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The policy cannot be applied: its failure policy decides.
    Policy(String),
    /// Whatever the failure policy is.
    Status(ApiError),
}

/// What is changed.
pub(super) struct Patched<'o> {
    pub object: &'o Json,
    /// Of the object's kind, in the version in which the policy sees it.
    pub schema: &'o Schema,
    /// Built-in kinds are decoded strictly.
    pub custom: bool,
}

impl Patched<'_> {
    /// The object after a mutation.
    pub fn by<'a>(&self, mutation: &'a Mutation, bindings: &Bindings<'a>) -> Result<Json, Failure> {
        if let Err(why) = &mutation.expression.program {
            return Err(Failure::Policy(why.clone()));
        }
        let mut budget = Budget::new(POLICY_COST_MAX);
        let value = mutation.expression.evaluate(bindings, &mut budget);
        let value = value.map_err(|trouble| Failure::Policy(trouble.text().to_owned()))?;
        match mutation.patch {
            PatchType::ApplyConfiguration => self.applied(&value).map_err(Failure::Policy),
            PatchType::JsonPatch => self.operated(&value),
        }
    }

    fn applied(&self, value: &Value<'_>) -> Result<Json, String> {
        if !value.is_object("Object") {
            let found = value.type_of();
            return Err(format!("unsupported return type from ApplyConfiguration expression: {found}"));
        }
        well_named(value)?;
        let mut configuration = value.to_json().map_err(|error| error.to_string())?;
        for field in ["apiVersion", "kind"] {
            configuration[field] = json!(text(self.object, &format!("/{field}")));
        }
        let merged = merge_configuration(self.schema, self.object, &configuration)
            .map_err(|why| format!("error applying patch: {why}"))?;
        match decode::misfit(self.schema, &merged) {
            Some(misfit) if !self.custom => Err(misfit),
            _ => Ok(merged),
        }
    }

    fn operated(&self, value: &Value<'_>) -> Result<Json, Failure> {
        let operations = operations(value).map_err(Failure::Policy)?;
        let mut patched = match json_patch(self.object, &operations) {
            Ok(patched) => patched,
            // Whose test does not hold, is not meant.
            Err(error) if error.to_string().ends_with(": test failed") => return Ok(self.object.clone()),
            Err(error) => return Err(Failure::Policy(format!("JSON Patch: {error}"))),
        };
        if self.custom {
            return Ok(patched);
        }
        if let Some(misfit) = decode::misfit(self.schema, &patched) {
            return Err(Failure::Status(ApiError::internal(misfit)));
        }
        let unknown = self.schema.prune(&mut patched);
        if unknown.is_empty() {
            return Ok(patched);
        }
        let others = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
        let complaints = Complaints { lines: Vec::new(), others };
        Err(Failure::Status(ApiError::internal(complaints.error())))
    }
}

fn well_named(value: &Value<'_>) -> Result<(), String> {
    match value.misnamed() {
        wrong if wrong.is_empty() => Ok(()),
        wrong => Err(format!("type mismatch: {}", wrong.join("\n"))),
    }
}

/// The operations of a list of `JSONPatch`.
fn operations(value: &Value<'_>) -> Result<Json, String> {
    const MISMATCH: &str = "type mismatch: JSONPatchType.expression should evaluate to array";
    let Value::List(list) = value else { return Err(MISMATCH.to_owned()) };
    let mut operations = Vec::with_capacity(list.len());
    for item in list.iter() {
        let item = item.map_err(|error| error.to_string())?;
        let Value::Map(map) = &item else {
            return Err(format!("{MISMATCH} of JSONPatch, got element of {}", item.type_of()));
        };
        let mut operation = Map::new();
        for name in ["op", "path", "from", "value"] {
            let field = map.field(name).transpose().map_err(|error| error.to_string())?;
            match (name, field) {
                ("op" | "path", None) => operation.insert(name.to_owned(), json!("")),
                (_, None) => None,
                (_, Some(field)) => {
                    well_named(&field)?;
                    let json = field.to_json().map_err(|error| {
                        format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}")
                    })?;
                    operation.insert(name.to_owned(), json)
                }
            };
        }
        operations.push(Json::Object(operation));
    }
    Ok(Json::Array(operations))
}
