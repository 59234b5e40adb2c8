//! The expressions of a policy that judges.

use serde_json::Value;

use super::bound::Expressions;
use super::variables;
use crate::admission::expressions::{Conditions, Expression, Has, Wanted, environment};
use crate::attributes::{items, text};

/// One of `validations`.
#[derive(Debug)]
pub(super) struct Validation {
    pub expression: Expression,
    pub message: String,
    pub message_expression: Option<Expression>,
    /// What the `Status` gives as its reason; `Invalid` when nothing is said.
    pub reason: String,
}

/// One of `auditAnnotations`.
#[derive(Debug)]
pub(super) struct Annotation {
    pub key: String,
    pub value: Expression,
}

/// A policy's expressions.
#[derive(Debug)]
pub(super) struct Compiled {
    /// In order; each may use those before it.
    pub variables: Vec<(String, Expression)>,
    pub conditions: Conditions,
    pub validations: Vec<Validation>,
    pub annotations: Vec<Annotation>,
    pub has_params: bool,
}

impl Expressions for Compiled {
    fn of(spec: &Value) -> Self {
        let has_params = spec.get("paramKind").is_some_and(Value::is_object);
        let variables = variables::compiled(spec, has_params);
        let types = variables::types(&variables);
        let all =
            environment(Has { params: has_params, authorizer: true, variables: &types, ..Has::default() });
        let quiet = environment(Has { params: has_params, variables: &types, ..Has::default() });
        let validation = |one: &Value| Validation {
            expression: Expression::compile(&all, text(one, "/expression"), Wanted::Bool),
            message: text(one, "/message").trim().to_owned(),
            message_expression: Some(text(one, "/messageExpression"))
                .filter(|text| !text.is_empty())
                .map(|text| Expression::compile(&quiet, text, Wanted::Text)),
            reason: text(one, "/reason").to_owned(),
        };
        let annotation = |one: &Value| Annotation {
            key: text(one, "/key").to_owned(),
            value: Expression::compile(&all, text(one, "/valueExpression"), Wanted::TextOrNull),
        };
        Self {
            variables,
            conditions: Conditions::of(items(spec, "/matchConditions"), &all),
            validations: items(spec, "/validations").iter().map(validation).collect(),
            annotations: items(spec, "/auditAnnotations").iter().map(annotation).collect(),
            has_params,
        }
    }
}
