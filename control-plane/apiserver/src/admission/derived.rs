//! What is made of stored objects once and kept until one of them changes.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::attributes::Objects;

/// A value derived from all objects of some resources.
pub(super) struct Derived<T> {
    of: &'static [(&'static str, &'static str)],
    kept: RwLock<Option<(Vec<u64>, Arc<T>)>>,
}

impl<T> Derived<T> {
    /// Of these resources: group and plural.
    pub const fn new(of: &'static [(&'static str, &'static str)]) -> Self {
        Self { of, kept: RwLock::new(None) }
    }

    /// The value for the objects there are now. `make` is called when any of them changed.
    pub fn get(&self, objects: &dyn Objects, make: impl FnOnce() -> T) -> Arc<T> {
        let version = |(group, plural): &(&str, &str)| objects.version(group, plural);
        if let Some((versions, value)) = &*self.kept.read()
            && self.of.iter().zip(versions).all(|(of, known)| version(of) == *known)
        {
            return value.clone();
        }
        // Read before the objects: a change in between only makes it once more.
        let versions = self.of.iter().map(version).collect();
        let value = Arc::new(make());
        *self.kept.write() = Some((versions, value.clone()));
        value
    }
}
