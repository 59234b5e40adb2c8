//! What a policy says about a request, with one parameter.

use cel::{Bindings, Budget, Value};
use serde_json::Value as Json;

use super::policy::{Compiled, Validation};
use super::variables::Variables;
use crate::admission::expressions::{Asks, Inputs, POLICY_COST_MAX, Trouble};

/// Characters of a made message at most.
const MESSAGE_MAX_BYTES: usize = 5 * 1024;

/// What one validation that is not fulfilled says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    /// Which of the validations.
    pub index: usize,
    pub message: String,
    /// Empty when an expression could not be evaluated.
    pub reason: String,
}

/// What the policy says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub denied: Vec<Denied>,
    pub annotations: Vec<(String, String)>,
    /// Annotations that could not be made; they refuse like a validation.
    pub broken: Vec<String>,
}

impl Verdict {
    /// What could not be evaluated, where that counts.
    fn failed(why: String, ignores: bool) -> Self {
        let denied = Denied { index: 0, message: why, reason: String::new() };
        Self { denied: if ignores { Vec::new() } else { vec![denied] }, ..Self::default() }
    }
}

pub(super) fn evaluate(
    policy: &Compiled,
    ignores: bool,
    inputs: &Inputs,
    param: Option<&Json>,
    asks: &Asks<'_>,
) -> Verdict {
    let variables = Variables::new(&policy.variables, inputs.bindings(param, asks));
    let bindings = variables.bindings();
    match policy.conditions.hold(&bindings) {
        Ok(true) => {}
        Ok(false) => return Verdict::default(),
        Err(why) => return Verdict::failed(why, ignores),
    }
    let mut budget = Budget::new(POLICY_COST_MAX);
    let mut verdict = Verdict::default();
    for (index, validation) in policy.validations.iter().enumerate() {
        match validation.expression.evaluate(&bindings, &mut budget) {
            Ok(value) if value.as_bool() == Some(true) => {}
            Ok(_) => {
                let message = message(validation, &bindings, &mut budget);
                let reason =
                    if validation.reason.is_empty() { "Invalid" } else { &validation.reason }.to_owned();
                verdict.denied.push(Denied { index, message, reason });
            }
            Err(Trouble::Budget) => return Verdict::failed(Trouble::Budget.text().to_owned(), ignores),
            Err(_) if ignores => {}
            Err(trouble) => {
                verdict.denied.push(Denied {
                    index,
                    message: trouble.text().to_owned(),
                    reason: String::new(),
                });
            }
        }
    }
    annotate(policy, ignores, &bindings, &mut verdict);
    verdict
}

/// The made message, the stated one, or the expression itself.
fn message<'a>(validation: &'a Validation, bindings: &Bindings<'a>, budget: &mut Budget) -> String {
    let made = validation.message_expression.as_ref().and_then(|one| one.evaluate(bindings, budget).ok());
    let made = made.as_ref().and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if !made.is_empty() && made.len() <= MESSAGE_MAX_BYTES && !made.contains('\n') {
        return made.to_owned();
    }
    if !validation.message.is_empty() {
        return validation.message.clone();
    }
    format!("failed expression: {}", validation.expression.text.trim())
}

fn annotate<'a>(policy: &'a Compiled, ignores: bool, bindings: &Bindings<'a>, verdict: &mut Verdict) {
    let mut budget = Budget::new(POLICY_COST_MAX);
    for annotation in &policy.annotations {
        match annotation.value.evaluate(bindings, &mut budget) {
            Ok(Value::Null) => {}
            Ok(value) => match value.as_str().map(str::trim) {
                Some("") => {}
                Some(text) => verdict.annotations.push((annotation.key.clone(), text.to_owned())),
                None => verdict.broken.push(format!(
                    "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or null.",
                    annotation.value.text,
                    value.type_of().name()
                )),
            },
            Err(_) if ignores => {}
            Err(trouble) => verdict.broken.push(trouble.text().to_owned()),
        }
    }
}
