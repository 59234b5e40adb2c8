//! Who owns which field.

use api_model::merge::apply::{self, ApplyError, Manager};
use serde_json::{Value, json};

use super::Served;
use crate::attributes::ApiError;

/// Who writes, for `managedFields`.
#[derive(Debug, Clone)]
pub struct Who {
    /// The manager's name.
    pub manager: String,
    /// The subresource it writes through.
    pub subresource: String,
    /// The write is an apply, which keeps the books itself.
    pub applies: bool,
}

impl Who {
    /// A writer through a subresource (empty: the object itself).
    pub fn updates(manager: &str, subresource: &str) -> Self {
        Self { manager: manager.to_owned(), subresource: subresource.to_owned(), applies: false }
    }

    /// An applier.
    pub fn applies(manager: &str, subresource: &str) -> Self {
        Self { applies: true, ..Self::updates(manager, subresource) }
    }
}

fn manager(served: &Served, who: &Who, now: jiff::Timestamp) -> Manager {
    Manager {
        name: who.manager.clone(),
        api_version: served.api_version(),
        subresource: (!who.subresource.is_empty()).then(|| who.subresource.clone()),
        time: now,
    }
}

/// Books a write that is no apply.
pub fn update(served: &Served, old: Option<&Value>, new: &mut Value, who: &Who, now: jiff::Timestamp) {
    if !who.applies {
        apply::update_managed_fields(&served.resource.schema, old, new, &manager(served, who, now));
    }
}

/// Merges an applied configuration into the live object.
///
/// # Errors
/// A conflict naming the fields and their owners, or what is wrong with the configuration.
pub fn apply(
    served: &Served,
    live: Option<&Value>,
    config: &Value,
    who: &Who,
    force: bool,
    now: jiff::Timestamp,
) -> Result<Value, ApiError> {
    apply::apply(&served.resource.schema, live, config, &manager(served, who, now), force).map_err(refused)
}

fn refused(error: ApplyError) -> ApiError {
    let message = error.to_string();
    match error {
        ApplyError::Conflicts(conflicts) => {
            let causes: Vec<Value> = conflicts
                .iter()
                .map(|conflict| {
                    json!({
                        "reason": "FieldManagerConflict",
                        "message": conflict.message(),
                        "field": conflict.field,
                    })
                })
                .collect();
            let mut error = ApiError::new(409, "Conflict", message);
            error.details = Some(json!({"causes": causes}));
            error
        }
        ApplyError::Invalid(_) => ApiError::bad_request(message),
    }
}
