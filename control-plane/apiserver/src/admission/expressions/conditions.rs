//! `matchConditions`: expressions that must all hold.

use cel::{Bindings, Budget, Environment};
use serde_json::Value;

use super::{CONDITIONS_COST_MAX, Expression, Trouble, Wanted};
use crate::attributes::text;

/// Conditions with their names.
#[derive(Debug, Default)]
pub(in crate::admission) struct Conditions(Vec<Expression>);

impl Conditions {
    pub fn of(list: &[Value], environment: &Environment) -> Self {
        let compiled = |one: &Value| Expression::compile(environment, text(one, "/expression"), Wanted::Bool);
        Self(list.iter().map(compiled).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold. One that does not hold settles it, whatever is wrong with others.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn hold<'a>(&'a self, bindings: &Bindings<'a>) -> Result<bool, String> {
        let mut budget = Budget::new(CONDITIONS_COST_MAX);
        let mut wrong = Vec::new();
        for condition in &self.0 {
            match condition.evaluate(bindings, &mut budget) {
                Ok(value) if value.as_bool() == Some(false) => return Ok(false),
                Ok(_) => {}
                Err(Trouble::Budget) => return Err(Trouble::Budget.text().to_owned()),
                Err(trouble) => wrong.push(trouble.text().to_owned()),
            }
        }
        match wrong.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}
