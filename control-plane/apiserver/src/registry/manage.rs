//! Who owns which field.

use api_model::merge::apply::{self, ApplyError, Manager, Version, Versions};
use serde_json::{Value, json};

use super::{Kinds, Registry, Served, convert};
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

    /// For the books.
    pub(crate) fn manager(&self, api_version: String, now: jiff::Timestamp) -> Manager {
        Manager {
            name: self.manager.clone(),
            api_version,
            subresource: (!self.subresource.is_empty()).then(|| self.subresource.clone()),
            time: now,
        }
    }
}

/// The versions in which a kind is served: entries of `managedFields` may be of any of them.
struct ServedVersions<'a> {
    kinds: &'a Kinds,
    served: &'a Served,
}

impl ServedVersions<'_> {
    fn other(&self, api_version: &str) -> Option<std::sync::Arc<Served>> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.kinds
            .get(group, version, &self.served.resource.plural)
            .filter(|other| other.storage == self.served.storage)
    }
}

impl Versions for ServedVersions<'_> {
    fn version(&self, api_version: &str) -> Version {
        if api_version == self.served.api_version() {
            return Version::Same;
        }
        match self.other(api_version) {
            None => Version::Gone,
            Some(other) if other.custom.is_some() || convert::changes_fields(&other.resource.kind) => {
                Version::Other(other.resource.schema.clone())
            }
            Some(_) => Version::Same,
        }
    }

    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        self.other(api_version)?;
        Some(convert::convert(object.clone(), &self.served.resource.kind, api_version))
    }
}

impl Registry {
    /// Books a write that is no apply. `old` and `new` are in the version of `served`.
    pub(crate) fn book(&self, served: &Served, old: Option<&Value>, new: &mut Value, who: &Who) {
        if who.applies {
            return;
        }
        let versions = ServedVersions { kinds: &self.kinds, served };
        let manager = who.manager(served.api_version(), self.clock.now());
        apply::update_managed_fields_in(&served.resource.schema, &versions, old, new, &manager);
    }

    /// Merges an applied configuration into the live object.
    ///
    /// # Errors
    /// A conflict naming the fields and their owners, or what is wrong with the configuration.
    pub fn apply(
        &self,
        served: &Served,
        live: Option<&Value>,
        config: &Value,
        who: &Who,
        force: bool,
    ) -> Result<Value, ApiError> {
        let versions = ServedVersions { kinds: &self.kinds, served };
        let manager = who.manager(served.api_version(), self.clock.now());
        apply::apply_in(&served.resource.schema, &versions, live, config, &manager, force).map_err(refused)
    }
}

/// A refused apply, for a caller.
pub(crate) fn refused(error: ApplyError) -> ApiError {
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
        ApplyError::Malformed(_) => ApiError::bad_request(message),
        // Upstream answers 500 without a reason, and kubectl shows the text alone (docs/decisions/0008).
        ApplyError::Misfit(_) => ApiError::new(400, "", message),
    }
}
