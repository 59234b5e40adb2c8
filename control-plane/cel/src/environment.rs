//! Which variables there are, and compiling for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cost::{self, Range};
use crate::error::EvalError;
use crate::eval::{Bindings, Budget, Runtime};
use crate::expr::{Expr, ExprKind};
use crate::shape::Shape;
use crate::source::CompileError;
use crate::types::{ObjectType, Type};
use crate::value::Value;
use crate::{check, syntax};

/// The variables that expressions may use.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Declared>,
    policy_objects: bool,
}

#[derive(Debug, Clone)]
struct Declared {
    ty: Type,
    shape: Option<Arc<Shape>>,
}

/// A checked expression.
#[derive(Debug)]
pub struct Program {
    expr: Expr,
    cost: Range,
}

impl Environment {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a variable of a type. Its name may have dots (`authorizer.requestResource`).
    #[must_use]
    pub fn variable(mut self, name: &str, ty: Type) -> Self {
        self.variables.insert(name.to_owned(), Declared { ty, shape: None });
        self
    }

    /// With a variable whose values are JSON of a shape; bind it with [`Value::typed`].
    #[must_use]
    pub fn shaped(mut self, name: &str, shape: Arc<Shape>) -> Self {
        self.variables.insert(name.to_owned(), Declared { ty: shape.type_of(), shape: Some(shape) });
        self
    }

    /// With the variable `authorizer`.
    #[must_use]
    pub fn authorizer(self) -> Self {
        self.variable("authorizer", Type::Opaque(crate::value::opaque::AUTHORIZER))
    }

    /// With the variable `authorizer.requestResource`.
    #[must_use]
    pub fn request_resource(self) -> Self {
        self.variable("authorizer.requestResource", Type::Opaque(crate::value::opaque::RESOURCE_CHECK))
    }

    /// With what mutating policies make: `Object{…}` and `JSONPatch{…}`.
    #[must_use]
    pub fn policy_objects(mut self) -> Self {
        self.policy_objects = true;
        self
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// All that is wrong with it, as upstream shows it.
    pub fn compile(&self, text: &str) -> Result<Program, CompileError> {
        let node = syntax::parse(text)?;
        let expr = check::check(self, text, &node)?;
        let cost = cost::estimate(self, &expr);
        Ok(Program { expr, cost })
    }

    pub(crate) fn variable_type(&self, name: &str) -> Option<Type> {
        self.variables.get(name).map(|declared| declared.ty.clone())
    }

    pub(crate) fn variable_shape(&self, name: &str) -> Option<&Shape> {
        self.variables.get(name)?.shape.as_deref()
    }

    pub(crate) fn object_named(&self, name: &str) -> Option<Arc<ObjectType>> {
        self.policy_objects.then(|| check::policy_object(name))?
    }
}

impl Program {
    /// The type of what it gives.
    pub fn result_type(&self) -> &Type {
        &self.expr.ty
    }

    /// What it may cost, estimated from the schemas of its variables.
    pub fn cost(&self) -> Range {
        self.cost
    }

    /// Whether a variable is used.
    pub fn uses(&self, name: &str) -> bool {
        let mut open = vec![&self.expr];
        while let Some(expr) = open.pop() {
            if matches!(&expr.kind, ExprKind::Variable(known) if known == name) {
                return true;
            }
            open.extend(expr.children());
        }
        false
    }

    /// Runs it. Its cost goes to the budget, also when it fails.
    ///
    /// # Errors
    /// When it has no value, or costs more than it may.
    pub fn evaluate<'a>(
        &'a self,
        bindings: &Bindings<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvalError> {
        let around = budget.begin();
        let result = Runtime { bindings, budget: &mut *budget, locals: Vec::new() }.eval(&self.expr);
        budget.end(around);
        result
    }
}
