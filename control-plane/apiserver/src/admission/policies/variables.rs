//! A policy's variables: each made when it is first asked for, once per request and parameter.

use std::fmt;
use std::sync::{Arc, OnceLock};

use cel::{Bindings, Budget, Environment, EvalError, Record, Type, Value};
use serde_json::Value as Json;

use crate::admission::expressions::{Expression, Has, Wanted, environment};
use crate::attributes::{items, text};

/// The variables of a policy's `spec`, in order, each compiled with those before it.
pub(super) fn compiled(spec: &Json, has_params: bool) -> Vec<(String, Expression)> {
    let known = |variables: &[(String, Type)]| {
        environment(Has { params: has_params, authorizer: true, variables, ..Has::default() })
    };
    compiled_in(spec, &known)
}

/// The same, where `known` gives the environment for what follows these variables.
pub(super) fn compiled_in(
    spec: &Json,
    known: &dyn Fn(&[(String, Type)]) -> Environment,
) -> Vec<(String, Expression)> {
    let (mut variables, mut before) = (Vec::new(), Vec::new());
    for variable in items(spec, "/variables") {
        let name = text(variable, "/name").to_owned();
        let expression =
            Expression::compile(&known(&before), text(variable, "/expression"), Wanted::Anything);
        before.push((name.clone(), expression.result_type()));
        variables.push((name, expression));
    }
    variables
}

/// What expressions know of variables.
pub(super) fn types(variables: &[(String, Expression)]) -> Vec<(String, Type)> {
    variables.iter().map(|(name, expression)| (name.clone(), expression.result_type())).collect()
}

/// Made values, or why there is none.
type Made<'a> = OnceLock<Result<Value<'a>, EvalError>>;

struct Inner<'a> {
    expressions: &'a [(String, Expression)],
    around: Vec<(&'a str, Value<'a>)>,
    made: Vec<Made<'a>>,
}

/// `variables`.
#[derive(Clone)]
pub(super) struct Variables<'a>(Arc<Inner<'a>>);

impl fmt::Debug for Variables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.expressions.iter().map(|(name, _)| name);
        f.debug_set().entries(names).finish()
    }
}

impl<'a> Variables<'a> {
    /// These expressions, among the other variables.
    pub fn new(expressions: &'a [(String, Expression)], around: Vec<(&'a str, Value<'a>)>) -> Self {
        let made = expressions.iter().map(|_| OnceLock::new()).collect();
        Self(Arc::new(Inner { expressions, around, made }))
    }

    /// All variables that an expression has.
    pub fn bindings(&self) -> Bindings<'a> {
        let mut bindings = Bindings::new();
        for (name, value) in &self.0.around {
            bindings.set(name, value.clone());
        }
        bindings.with("variables", Value::Record(Arc::new(self.clone())))
    }
}

impl<'a> Record<'a> for Variables<'a> {
    fn field(&self, name: &str, budget: &mut Budget) -> Option<Result<Value<'a>, EvalError>> {
        let index = self.0.expressions.iter().position(|(known, _)| known == name)?;
        let (made, expressions) = (self.0.made.get(index)?, self.0.expressions);
        if let Some(known) = made.get() {
            return Some(known.clone());
        }
        let (_, expression) = expressions.get(index)?;
        let value = match &expression.program {
            Ok(program) => program.evaluate(&self.bindings(), budget).map_err(|error| match error {
                EvalError::CostLimit => EvalError::CostLimit,
                error => {
                    EvalError::failed(format!("composited variable \"{name}\" fails to evaluate: {error}"))
                }
            }),
            Err(why) => {
                Err(EvalError::failed(format!("composited variable \"{name}\" fails to compile: {why}")))
            }
        };
        // Nobody else asks at the same time: an evaluation is one thread's.
        Some(made.get_or_init(|| value).clone())
    }
}
