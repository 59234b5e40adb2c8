//! Deleting objects.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ATTEMPTS_MAX, Registry, Stored, Target, admit, object};
use crate::attributes::{ApiError, Operation};
use crate::handlers::options::DeleteOptions;
use crate::strategy::deletion::{self, Plan};
use crate::watch::Entry;
use crate::watch::entry::splice;

/// What became of an object that was to be deleted.
pub enum Removed {
    /// It is gone; this is what it was.
    Gone(Bytes),
    /// It is marked and will go later.
    Marked(Bytes),
}

impl Registry {
    /// Deletes an object, or marks it for deletion.
    ///
    /// # Errors
    /// As the API answers them.
    pub async fn delete(&self, target: &Target, options: &DeleteOptions) -> Result<Removed, ApiError> {
        let mut entry = self.current(target).await?;
        for _ in 0..ATTEMPTS_MAX {
            let Some(current) = entry else { return Err(target.not_found()) };
            let old = self.one_in_version(&target.served, current.parse()).await?;
            check_preconditions(target, options, &old)?;
            admit::mutate(self, target, Operation::Delete, None, Some(&old), options).await?;
            admit::validate(self, target, Operation::Delete, None, Some(&old), options).await?;
            let plan = deletion::plan(&target.served, &old, options, self.clock.now());
            if options.dry_run {
                return Ok(tried(target, &plan, &current, &old));
            }
            let mut beside = Vec::new();
            let (value, shown) = match plan {
                Plan::Nothing => return Ok(Removed::Marked(as_asked(target, &current, &old))),
                Plan::Remove => {
                    beside = self.with_service(&target.served, Some(&old), None);
                    (None, None)
                }
                Plan::Mark(new) => {
                    let value = self.stored_bytes(&target.served, &new).await?;
                    (Some(value), Some(object::encode(&new)))
                }
            };
            match self.commit(&target.served, &target.key(), current.revision, value, beside).await? {
                Stored::At(revision) => {
                    if shown.is_none() {
                        admit::removed(self, target, &old).await;
                    }
                    return Ok(match shown {
                        Some(marked) => Removed::Marked(splice(&marked, revision)),
                        None => Removed::Gone(as_asked(target, &current.deleted_at(revision), &old)),
                    });
                }
                Stored::Lost(kv) => entry = kv.map(|kv| self.entry_of(&target.served, &kv)),
            }
        }
        Err(target.modified())
    }
}

/// The entry's bytes in the version of the request; `object` is the same in it.
fn as_asked(target: &Target, entry: &Entry, object: &Value) -> Bytes {
    if target.served.is_as_stored(entry) {
        return entry.bytes();
    }
    if target.served.custom.is_some() {
        return splice(&object::encode(object), entry.revision);
    }
    serde_json::to_vec(&target.served.from_storage(entry.parse())).unwrap_or_default().into()
}

fn tried(target: &Target, plan: &Plan, current: &Arc<Entry>, old: &Value) -> Removed {
    match plan {
        Plan::Remove => Removed::Gone(as_asked(target, current, old)),
        Plan::Nothing => Removed::Marked(as_asked(target, current, old)),
        Plan::Mark(new) => Removed::Marked(splice(&object::encode(new), current.revision)),
    }
}

fn check_preconditions(target: &Target, options: &DeleteOptions, old: &Value) -> Result<(), ApiError> {
    let resource = &target.served.resource;
    let refused = |why: String| Err(ApiError::conflict(&resource.group, &resource.kind, &target.name, &why));
    let have = object::uid(old);
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != have) {
        return refused(format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({have}). The object might have been deleted and then recreated"
        ));
    }
    let have = object::resource_version(old);
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != have) {
        return refused(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({have}). The object might have been modified"
        ));
    }
    Ok(())
}

/// The `Status` that says that an object is gone.
pub fn gone_status(target: &Target, old: &Value) -> Value {
    let resource = &target.served.resource;
    let mut details = json!({"name": target.name, "kind": resource.plural, "uid": object::uid(old)});
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
