//! Runs checked expressions within a budget.

mod budget;
pub(crate) mod charge;
mod fold;
mod run;

use crate::value::Value;

pub use budget::{Budget, CALL_COST_MAX};
pub(crate) use run::Runtime;

/// The values of variables.
#[derive(Debug, Default)]
pub struct Bindings<'a>(Vec<(&'a str, Value<'a>)>);

impl<'a> Bindings<'a> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: Value<'a>) -> Self {
        self.set(name, value);
        self
    }

    /// Gives a variable a value.
    pub fn set(&mut self, name: &'a str, value: Value<'a>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name, value)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}
