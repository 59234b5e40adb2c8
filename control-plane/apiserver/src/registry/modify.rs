//! Changing objects: read, change, judge, store, and again when somebody was faster.

use bytes::Bytes;
use serde_json::{Value, json};

use super::manage::Who;
use super::{ATTEMPTS_MAX, Registry, Stored, Target, admit, object};
use crate::attributes::{ApiError, Operation};
use crate::handlers::options::WriteOptions;
use crate::strategy;
use crate::watch::entry::splice;

/// Makes the new object of the current one; both in the version of the request. Called again when the
/// object has changed meanwhile.
pub type Change<'c> = dyn FnMut(&Value) -> Result<Value, ApiError> + Send + 'c;

/// A way of changing.
pub struct Modify<'a> {
    /// The target; its subresource says which part may change.
    pub target: &'a Target,
    /// The options.
    pub options: &'a WriteOptions,
    /// For managed fields.
    pub who: &'a Who,
    /// Whether the kind's rules for changes are asked. Not for subresources that break them on purpose.
    pub checked: bool,
}

/// Whether a write through this subresource is asked for the kind's rules; what the others may do, they check themselves.
pub fn is_checked(subresource: &str) -> bool {
    matches!(subresource, "" | "status" | "approval" | "resize" | "ephemeralcontainers")
}

impl Registry {
    /// Changes an object and answers with its bytes as they are then.
    ///
    /// # Errors
    /// As the API answers them; not found when there is no such object.
    pub async fn modify(&self, modify: &Modify<'_>, change: &mut Change<'_>) -> Result<Bytes, ApiError> {
        self.modify_with(modify, change, None).await
    }

    /// The same with a `last` change that the kind's rules do not undo.
    pub(crate) async fn modify_with(
        &self,
        modify: &Modify<'_>,
        change: &mut Change<'_>,
        last: Option<&(dyn Fn(&mut Value) + Send + Sync)>,
    ) -> Result<Bytes, ApiError> {
        let target = modify.target;
        let mut entry = self.current(target).await?;
        for _ in 0..ATTEMPTS_MAX {
            let Some(current) = entry else { return Err(target.not_found()) };
            let old = self.one_in_version(&target.served, current.parse()).await?;
            let mut new = change(&old)?;
            check_identity(target, &mut new, &old)?;
            self.judge(modify, &mut new, &old).await?;
            if let Some(last) = last {
                last(&mut new);
            }
            let allocation = self.allocate(target, &mut new, Some(&old)).await?;
            target.served.resource.schema.settle(&mut new);
            self.validate(modify, &new, &old)?;
            admit::validate(self, target, Operation::Update, Some(&mut new), Some(&old), modify.options)
                .await?;
            target.served.resource.schema.settle_stored(&mut new);
            let gone = strategy::deletion::done(&target.served, &new);
            if !gone && object::same(&new, &old) {
                return shown(&old);
            }
            if modify.options.dry_run {
                object::set_meta(&mut new, "resourceVersion", json!(object::resource_version(&old)));
                return shown(&new);
            }
            let value = self.stored_bytes(&target.served, &new).await?;
            let put = (!gone).then(|| value.clone());
            let (key, turn) = (target.key(), allocation.as_ref());
            let beside = self.with_service(&target.served, Some(&old), (!gone).then_some(&new));
            let stored =
                self.commit_allocated(&target.served, &key, current.revision, put, turn, beside).await?;
            drop(allocation);
            self.sync_custom();
            if gone && matches!(stored, Stored::At(_)) {
                admit::removed(self, target, &old).await;
            }
            match stored {
                Stored::At(revision) if target.served.is_storage_version() => {
                    return Ok(splice(&value, revision));
                }
                Stored::At(revision) => return Ok(splice(&object::encode(&new), revision)),
                Stored::Lost(kv) => entry = kv.map(|kv| self.entry_of(&target.served, &kv)),
            }
        }
        Err(target.modified())
    }

    async fn judge(&self, modify: &Modify<'_>, new: &mut Value, old: &Value) -> Result<(), ApiError> {
        let target = modify.target;
        let schema = &target.served.resource.schema;
        schema.settle(new);
        schema.default(new);
        // What admission and the server add belongs to nobody.
        self.book(&target.served, Some(old), new, modify.who);
        admit::mutate(self, target, Operation::Update, Some(new), Some(old), modify.options).await?;
        schema.default(new);
        // A generation is counted when a spec says something else, not when it says the same otherwise.
        schema.settle(new);
        strategy::prepare_update(&target.served, &target.subresource, new, old);
        self.prepare_custom_definition(target, new, Some(old))
    }

    fn validate(&self, modify: &Modify<'_>, new: &Value, old: &Value) -> Result<(), ApiError> {
        let target = modify.target;
        let mut causes = target.served.wrong_shape(new, Some(old));
        if causes.is_empty() && modify.checked {
            let resource = &target.served.resource;
            causes = api_model::validation::validate_write(resource, &target.subresource, new, old);
        }
        if !causes.is_empty() {
            return Err(target.invalid(&target.name, &causes));
        }
        if modify.checked && target.subresource.is_empty() {
            for warning in api_model::validation::warnings(&target.served.resource, new, Some(old)) {
                target.notes.warn(warning);
            }
        }
        Ok(())
    }
}

fn shown(object: &Value) -> Result<Bytes, ApiError> {
    let version = object::resource_version(object).parse().unwrap_or(0);
    let bytes = object::encode(object);
    Ok(if version == 0 { bytes } else { splice(&bytes, version) })
}

/// The object that is written must be the one that is there.
fn check_identity(target: &Target, new: &mut Value, old: &Value) -> Result<(), ApiError> {
    if !new.is_object() {
        return Err(ApiError::bad_request("the object provided is not an object"));
    }
    let (name, have) = (object::name(new), object::name(old));
    if name.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({have} based on URL) was undeterminable: name must be provided"
        )));
    }
    if name != have {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({have})"
        )));
    }
    let (namespace, have) = (object::namespace(new), object::namespace(old));
    if !namespace.is_empty() && namespace != have {
        return Err(ApiError::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({have})"
        )));
    }
    object::set_meta(new, "namespace", object::at(old, &["metadata", "namespace"]).clone());
    let (given, have) = (object::uid(new), object::uid(old));
    if !given.is_empty() && given != have {
        return Err(target.another(given, have));
    }
    let version = object::resource_version(new);
    if version.is_empty() || version == "0" {
        if target.served.rules.needs_version {
            let path = api_model::FieldPath::new("metadata.resourceVersion");
            let cause = api_model::Cause::invalid(&path, &json!(0), "must be specified for an update");
            return Err(target.invalid(&target.name, &[cause]));
        }
    } else if version != object::resource_version(old) {
        return Err(target.modified());
    }
    for key in ["kind", "apiVersion"] {
        object::set(new, key, object::at(old, &[key]).clone());
    }
    Ok(())
}
