//! Lists: of JSON, made, or two joined.

use std::sync::Arc;

use serde_json::Value as Json;

use super::Value;
use crate::error::EvalError;
use crate::shape::{ListKind, Shape};

static ATOMIC: ListKind = ListKind::Atomic;

/// A list.
#[derive(Debug, Clone)]
pub struct List<'a>(Items<'a>);

#[derive(Debug, Clone)]
enum Items<'a> {
    Json {
        items: &'a [Json],
        item: &'a Shape,
        kind: &'a ListKind,
    },
    Made {
        items: Arc<Vec<Value<'a>>>,
        kind: &'a ListKind,
    },
    /// Adding copies nothing, so that a long list cannot be copied again and again for next to no cost.
    Joined(Arc<(List<'a>, List<'a>)>, usize),
}

impl<'a> List<'a> {
    pub(super) fn json(items: &'a [Json], item: &'a Shape, kind: &'a ListKind) -> Self {
        Self(Items::Json { items, item, kind })
    }

    pub(crate) fn made(items: Vec<Value<'a>>) -> Self {
        Self(Items::Made { items: Arc::new(items), kind: &ATOMIC })
    }

    fn merged(items: Vec<Value<'a>>, kind: &'a ListKind) -> Self {
        Self(Items::Made { items: Arc::new(items), kind })
    }

    pub(super) fn kind(&self) -> &'a ListKind {
        match &self.0 {
            Items::Json { kind, .. } | Items::Made { kind, .. } => kind,
            Items::Joined(..) => &ATOMIC,
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        match &self.0 {
            Items::Json { items, .. } => items.len(),
            Items::Made { items, .. } => items.len(),
            Items::Joined(_, length) => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at a position.
    ///
    /// # Errors
    /// When it is not what its schema says.
    pub fn get(&self, index: usize) -> Option<Result<Value<'a>, EvalError>> {
        let (mut list, mut index) = (self, index);
        loop {
            match &list.0 {
                Items::Json { items, item, .. } => {
                    return items.get(index).map(|json| Value::typed(json, item));
                }
                Items::Made { items, .. } => return items.get(index).cloned().map(Ok),
                Items::Joined(both, _) => {
                    let first = both.0.len();
                    (list, index) = if index < first { (&both.0, index) } else { (&both.1, index - first) };
                }
            }
        }
    }

    /// All items, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, EvalError>> + '_ {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// This and then the other. Sets and maps stay such: what is there already is not there twice.
    pub(crate) fn join(&self, other: &List<'a>) -> Result<List<'a>, EvalError> {
        let kind = self.kind();
        if *kind == ListKind::Atomic {
            let length = self.len().saturating_add(other.len());
            return Ok(Self(Items::Joined(Arc::new((self.clone(), other.clone())), length)));
        }
        let mut items: Vec<Value<'a>> = self.iter().collect::<Result<_, _>>()?;
        let mut known = Vec::with_capacity(items.len());
        for item in &items {
            known.push(super::compare::key(item, kind)?);
        }
        let mut places: std::collections::HashMap<String, usize> = known.into_iter().zip(0..).collect();
        for item in other.iter() {
            let item = item?;
            match places.entry(super::compare::key(&item, kind)?) {
                std::collections::hash_map::Entry::Occupied(place) => {
                    if let Some(slot) = items.get_mut(*place.get()) {
                        *slot = item;
                    }
                }
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(items.len());
                    items.push(item);
                }
            }
        }
        Ok(Self::merged(items, kind))
    }
}
