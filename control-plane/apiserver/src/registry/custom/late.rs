//! What is made of a definition's schema when an object of the kind is written first.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde_json::Value;

use super::rules::Rules;
use crate::watch::Entry;

/// A version's schema, in the bytes of its definition.
#[derive(Clone)]
pub(super) struct Source {
    entry: Arc<Entry>,
    version: String,
}

impl Source {
    /// Of a version of the definition that the entry holds.
    pub fn new(entry: Arc<Entry>, version: &str) -> Self {
        Self { entry, version: version.to_owned() }
    }

    /// The schema, read anew.
    pub fn schema(&self) -> Option<Value> {
        api_model::schema::custom::declared(&self.entry.parse(), &self.version)
    }
}

/// Rules that are compiled at first use.
pub struct LateRules {
    source: Mutex<Option<Source>>,
    made: OnceLock<Option<Rules>>,
}

impl std::fmt::Debug for LateRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LateRules").field(&self.made.get().is_some()).finish()
    }
}

impl LateRules {
    pub(super) fn new(source: Source) -> Self {
        Self { source: Mutex::new(Some(source)), made: OnceLock::new() }
    }

    /// The rules, when there are any.
    pub fn get(&self) -> Option<&Rules> {
        let make = || self.source.lock().take().and_then(|source| Rules::of(&source.schema()?));
        self.made.get_or_init(make).as_ref()
    }
}
