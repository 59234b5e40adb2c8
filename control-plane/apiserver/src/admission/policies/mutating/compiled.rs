//! The expressions of a policy that changes objects.

use serde_json::Value;

use crate::admission::expressions::{Conditions, Expression, Has, Wanted, environment};
use crate::admission::policies::bound::Expressions;
use crate::admission::policies::variables;
use crate::attributes::{items, text};

/// How what an expression gives changes the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admission::policies) enum PatchType {
    ApplyConfiguration,
    JsonPatch,
}

impl PatchType {
    /// The field of a mutation that holds the expression.
    pub fn field(self) -> &'static str {
        match self {
            Self::ApplyConfiguration => "applyConfiguration",
            Self::JsonPatch => "jsonPatch",
        }
    }
}

/// One of `mutations`.
#[derive(Debug)]
pub(in crate::admission::policies) struct Mutation {
    pub patch: PatchType,
    pub expression: Expression,
}

/// A policy's expressions.
#[derive(Debug)]
pub(in crate::admission::policies) struct Compiled {
    /// In order; each may use those before it.
    pub variables: Vec<(String, Expression)>,
    pub conditions: Conditions,
    pub mutations: Vec<Mutation>,
    pub has_params: bool,
    /// Wishes to be asked again when the object changes after it.
    pub reinvoked: bool,
}

impl Expressions for Compiled {
    fn of(spec: &Value) -> Self {
        let has_params = spec.get("paramKind").is_some_and(Value::is_object);
        let variables = variables::compiled(spec, has_params);
        let types = variables::types(&variables);
        let has = Has { params: has_params, authorizer: true, variables: &types, ..Has::default() };
        let conditions = Conditions::of(items(spec, "/matchConditions"), &environment(has));
        let known = environment(Has { patches: true, ..has });
        let mutation = |one: &Value| {
            let (patch, wanted) = match text(one, "/patchType") {
                "JSONPatch" => (PatchType::JsonPatch, Wanted::Operations),
                _ => (PatchType::ApplyConfiguration, Wanted::Configuration),
            };
            let stated = one.get(patch.field()).map(|patch| text(patch, "/expression")).unwrap_or_default();
            Mutation { patch, expression: Expression::compile(&known, stated.trim(), wanted) }
        };
        Self {
            variables,
            conditions,
            mutations: items(spec, "/mutations").iter().map(mutation).collect(),
            has_params,
            reinvoked: text(spec, "/reinvocationPolicy") == "IfNeeded",
        }
    }
}
