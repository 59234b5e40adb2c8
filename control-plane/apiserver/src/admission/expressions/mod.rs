//! Expressions of webhooks and policies: which variables they have, compiled once, run within a budget.

mod authorizer;
mod conditions;
mod environment;
mod inputs;

use cel::{Bindings, Budget, Environment, EvalError, Program, Type, Value};

pub(super) use authorizer::Asks;
pub(super) use conditions::Conditions;
pub(super) use environment::{Has, environment};
pub(super) use inputs::Inputs;

/// What one policy's expressions may cost for one request, in upstream's units.
pub(super) const POLICY_COST_MAX: u64 = 10_000_000;
/// What match conditions may cost for one request.
pub(super) const CONDITIONS_COST_MAX: u64 = 2_500_000;

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// What an expression is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Anything,
    Bool,
    Text,
    TextOrNull,
    /// An `Object`: what is applied.
    Configuration,
    /// A list of `JSONPatch`.
    Operations,
}

impl Wanted {
    fn fits(self, program: &Program) -> bool {
        match (self, program.result_type()) {
            (Self::Anything, _)
            | (Self::Bool, Type::Bool)
            | (Self::Text | Self::TextOrNull, Type::String) => true,
            (Self::TextOrNull, Type::Null) => true,
            (Self::Configuration, Type::Object(object)) => object.name == "Object",
            (Self::Operations, Type::List(item)) => {
                matches!(&**item, Type::Object(object) if object.name == "JSONPatch")
            }
            _ => false,
        }
    }

    fn complaint(self, found: &Type) -> String {
        let wanted = match self {
            Self::Anything => "dyn",
            Self::Bool => "bool",
            Self::Text => "string",
            Self::TextOrNull => "one of [string null_type]",
            Self::Configuration => "Object",
            Self::Operations => "list(JSONPatch)",
        };
        format!("must evaluate to {wanted} but got {found}")
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// All expressions together cost too much: none follows.
    Budget,
    /// This one does not work out.
    Failed(String),
}

impl Trouble {
    pub fn text(&self) -> &str {
        match self {
            Self::Budget => OUT_OF_BUDGET,
            Self::Failed(why) => why,
        }
    }
}

/// An expression, or why it does not compile.
#[derive(Debug)]
pub(super) struct Expression {
    pub text: String,
    pub program: Result<Program, String>,
}

impl Expression {
    /// The type of what it gives; anything when it does not compile.
    pub fn result_type(&self) -> Type {
        self.program.as_ref().map_or(Type::Dyn, |program| program.result_type().clone())
    }

    pub fn compile(environment: &Environment, text: &str, wanted: Wanted) -> Self {
        let program = match environment.compile(text) {
            Ok(program) if wanted.fits(&program) => Ok(program),
            Ok(program) => Err(wanted.complaint(program.result_type())),
            Err(error) => Err(format!("compilation failed: {error}")),
        };
        Self { text: text.to_owned(), program }
    }

    pub fn evaluate<'a>(
        &'a self,
        bindings: &Bindings<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, Trouble> {
        let program =
            self.program.as_ref().map_err(|why| Trouble::Failed(format!("compilation error: {why}")))?;
        program.evaluate(bindings, budget).map_err(|error| match error {
            EvalError::CostLimit if budget.is_exhausted() => Trouble::Budget,
            error => Trouble::Failed(format!("expression '{}' resulted in error: {error}", self.text)),
        })
    }
}
