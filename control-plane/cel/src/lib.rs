//! The Common Expression Language as Kubernetes speaks it.
//!
//! An [`Environment`] names variables and compiles texts into [`Program`]s; a program runs with [`Bindings`] within a [`Budget`]. JSON is
//! not copied: values borrow it and read it as the schema of their variable says.
//!
//! Guarantees: no input makes it panic, run long or take much memory. Texts are limited in length and depth, evaluation in cost (upstream's
//! units, by upstream's rules) and in hidden steps. Issues are worded and placed as upstream does.
//!
//! It has no clock and no I/O; asking the authorizer is up to the caller ([`Authorizer`]).

mod check;
mod cost;
mod deep;
mod environment;
mod error;
mod escape;
mod eval;
mod expr;
mod library;
mod shape;
mod source;
mod syntax;
mod types;
mod value;

pub use cost::Range as CostRange;
pub use environment::{Environment, Program};
pub use error::EvalError;
pub use escape::{escape, unescape};
pub use eval::{Bindings, Budget, CALL_COST_MAX};
pub use library::authz::{Authorizer, Check, Decision, Question};
pub use shape::{FieldShape, Shape};
pub use source::{CompileError, Issue};
pub use types::{ObjectType, Type};
pub use value::{List, Map, Opaque, Record, Text, Value};
