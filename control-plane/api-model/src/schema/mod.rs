//! Schemas: what an object may hold, its defaults and how its lists merge. One engine for built-in and custom kinds.
//!
//! A [`Schema`] is a handle, two words, on a node of a shared [`Types`] table, so cloning and descending cost nothing. Custom kinds put
//! their own nodes on top of the built-in table and may refer to it (`metadata` is the built-in one).
//!
//! Guarantees: [`Schema::prune`], [`Schema::default`] and [`Schema::validate`] walk only the fields that are present or have
//! defaults; they allocate only for what they report or fill in.

mod check;
mod default;
mod hooks;
mod prune;
mod same;
mod settle;
mod types;
mod value;
pub(crate) mod zero;

pub mod custom;

pub use same::Same;
pub(crate) use types::find;
pub use types::{Constraints, Field, Judge, ListType, Node, NodeId, NodeKind, Scalar, Types};
pub use zero::{Shape, Zero};

use std::fmt;
use std::sync::Arc;

/// A type in a table of types.
#[derive(Clone)]
pub struct Schema {
    types: Arc<Types>,
    id: NodeId,
}

impl Schema {
    /// The schema of node `id`.
    pub fn new(types: Arc<Types>, id: NodeId) -> Self {
        Self { types, id }
    }

    /// The table.
    pub fn types(&self) -> &Arc<Types> {
        &self.types
    }

    /// The node's number in the table.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The node itself.
    pub fn node(&self) -> &Node {
        self.types.node(self.id)
    }

    /// The full name of the definition this is (`api.core.v1.Pod`), when it has one.
    pub fn name(&self) -> Option<&str> {
        self.node().name.as_deref()
    }

    /// A schema that accepts and keeps anything.
    pub fn any() -> Arc<Schema> {
        let mut types = Types::default();
        let id = types.add(Node::of(NodeKind::Any));
        Arc::new(Schema::new(Arc::new(types), id))
    }

    /// The schema of a field below this one (`["spec", "template"]`); lists are stepped into.
    pub fn at(&self, path: &[&str]) -> Option<Schema> {
        let mut id = self.id;
        for step in path {
            id = self.types.step(id, step)?;
        }
        Some(Schema::new(self.types.clone(), id))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.name().unwrap_or("unnamed"))
    }
}
