//! Where something stands inside an object, written as upstream writes it: `spec.containers[0].image`.

use std::fmt::{self, Write};

/// A path to a field. `Display` gives upstream's text; keys that are no identifiers stand in brackets.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path from upstream's text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A struct's field below this path.
    #[must_use]
    pub fn child(&self, field: &str) -> Self {
        let mut next = self.clone();
        next.push_field(field);
        next
    }

    /// An item of a list below this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut next = self.clone();
        next.push_index(index);
        next
    }

    /// An entry of a map below this path, `[key]`.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// Appends a field; undo with [`Self::truncate`].
    pub fn push_field(&mut self, field: &str) {
        if !self.0.is_empty() {
            self.0.push('.');
        }
        self.0.push_str(field);
    }

    /// Appends a list index; undo with [`Self::truncate`].
    pub fn push_index(&mut self, index: usize) {
        self.0.push('[');
        match u32::try_from(index).ok().and_then(|index| char::from_digit(index, 10)) {
            Some(digit) => self.0.push(digit),
            // Writing to a String cannot fail.
            None => drop(write!(self.0, "{index}")),
        }
        self.0.push(']');
    }

    /// Length in bytes, to come back to with [`Self::truncate`].
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is the object itself.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cuts back to an earlier [`Self::len`].
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<FieldPath> for String {
    fn from(path: FieldPath) -> Self {
        path.0
    }
}
