//! Creating objects.

use bytes::Bytes;
use serde_json::{Value, json};

use super::manage::Who;
use super::{Registry, Stored, Target, admit, object};
use crate::attributes::{ApiError, Operation};
use crate::handlers::options::WriteOptions;
use crate::strategy;
use crate::watch::entry::splice;

/// How much of a generated name is the caller's.
const GENERATED_BASE_MAX: usize = 58;
/// Letters and digits that make no words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Tries to find a name that is free.
const NAME_ATTEMPTS_MAX: usize = 8;
/// Tries to allocate before other servers do.
const TURN_ATTEMPTS_MAX: usize = 20;

/// A name made of `base` and five random characters.
pub fn generated_name(base: &str) -> String {
    let mut end = base.len().min(GENERATED_BASE_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let suffix: String =
        (0..5).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect();
    format!("{}{suffix}", &base[..end])
}

impl Registry {
    /// Creates an object, given in the version of the target with unknown fields removed. Answers with its
    /// bytes, resource version included.
    ///
    /// Mutating admission sees what was sent: the uid, the time and a generated name come after it.
    ///
    /// # Errors
    /// As the API answers them.
    pub async fn create(
        &self,
        target: &Target,
        mut object: Value,
        options: &WriteOptions,
        who: &Who,
    ) -> Result<Bytes, ApiError> {
        target.served.check_definition("create")?;
        complete_metadata(target, &mut object)?;
        let target = &Target { name: object::name(&object).to_owned(), ..target.clone() };
        let schema = &target.served.resource.schema;
        schema.settle(&mut object);
        schema.default(&mut object);
        // What admission and the server add belongs to nobody.
        self.book(&target.served, None, &mut object, who);
        admit::mutate(self, target, Operation::Create, Some(&mut object), None, options).await?;
        schema.default(&mut object);
        let prefix = object::text(&object, &["metadata", "generateName"]).to_owned();
        if !object::name(&object).is_empty() || prefix.is_empty() {
            return self.create_named(target, object, options).await;
        }
        let mut name = String::new();
        for _ in 0..NAME_ATTEMPTS_MAX {
            let mut candidate = object.clone();
            name = generated_name(&prefix);
            object::set_meta(&mut candidate, "name", json!(name));
            match self.create_named(target, candidate, options).await {
                Err(error) if error.reason == "AlreadyExists" => {}
                result => return result,
            }
        }
        let resource = &target.served.resource;
        Err(ApiError::no_free_name(&resource.group, &resource.plural, &name))
    }

    /// Stores an object that has passed mutating admission. A service that loses its turn to allocate to another server tries again.
    async fn create_named(
        &self,
        target: &Target,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Bytes, ApiError> {
        object::set_meta(&mut object, "uid", json!(uuid::Uuid::new_v4().to_string()));
        object::set_meta(&mut object, "creationTimestamp", json!(object::timestamp(self.clock.now())));
        if object::name(&object).is_empty() {
            let path = api_model::FieldPath::new("metadata.name");
            let cause = api_model::Cause::required(&path, "name or generateName is required");
            return Err(target.invalid("", &[cause]));
        }
        let target = &Target { name: object::name(&object).to_owned(), ..target.clone() };
        let mut attempts = if target.served.storage == "core/services" { TURN_ATTEMPTS_MAX } else { 1 };
        while attempts > 1 {
            attempts -= 1;
            match self.create_now(target, object.clone(), options).await {
                Err(error) if error.reason == "Conflict" => {}
                result => return result,
            }
        }
        self.create_now(target, object, options).await
    }

    async fn create_now(
        &self,
        target: &Target,
        mut new: Value,
        options: &WriteOptions,
    ) -> Result<Bytes, ApiError> {
        let served = &target.served;
        strategy::prepare_create(served, &mut new, &target.user);
        self.prepare_custom_definition(target, &mut new, None)?;
        let allocation = self.allocate(target, &mut new, None).await?;
        served.resource.schema.settle(&mut new);
        let mut causes = served.wrong_shape(&new, None);
        if causes.is_empty() {
            causes = api_model::validation::validate_create(&served.resource, &new);
        }
        if !causes.is_empty() {
            return Err(target.invalid(&target.name, &causes));
        }
        for warning in api_model::validation::warnings(&served.resource, &new, None) {
            target.notes.warn(warning);
        }
        admit::validate(self, target, Operation::Create, Some(&mut new), None, options).await?;
        if served.custom.is_some() {
            // What is read of a custom kind is defaulted, its status too, which nobody could write yet.
            served.resource.schema.default(&mut new);
        }
        served.resource.schema.settle_stored(&mut new);
        let value = self.stored_bytes(served, &new).await?;
        let key = target.key();
        if options.dry_run {
            if self.current(target).await?.is_some() {
                return Err(self.already_exists(target));
            }
            return Ok(object::encode(&new));
        }
        let (turn, beside) = (allocation.as_ref(), self.with_service(served, None, Some(&new)));
        let stored = self.commit_allocated(served, &key, 0, Some(value.clone()), turn, beside).await?;
        let allocates = allocation.is_some();
        drop(allocation);
        self.sync_custom();
        match stored {
            Stored::At(revision) if served.is_storage_version() => Ok(splice(&value, revision)),
            Stored::At(revision) => Ok(splice(&object::encode(&new), revision)),
            // The name is free: it was the turn that was lost.
            Stored::Lost(None) if allocates => Err(target.modified()),
            Stored::Lost(_) => Err(self.already_exists(target)),
        }
    }

    fn already_exists(&self, target: &Target) -> ApiError {
        let resource = &target.served.resource;
        ApiError::already_exists(&resource.group, &resource.plural, &target.name)
    }

    /// What a service is given; the guard is to be held until the write is done.
    pub(crate) async fn allocate(
        &self,
        target: &Target,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<Option<crate::allocation::Allocation>, ApiError> {
        if target.served.storage != "core/services" || !target.subresource.is_empty() {
            return Ok(None);
        }
        let mut allocation = self.allocator.begin(&self.hub, (&target.namespace, &target.name)).await;
        strategy::services::allocate(new, old, &mut allocation).map_err(|refused| refused.answer(target))?;
        Ok(Some(allocation))
    }
}

/// Takes from a new object what only the server says, and gives it its namespace.
fn complete_metadata(target: &Target, new: &mut Value) -> Result<(), ApiError> {
    if !object::at(new, &["metadata"]).is_object() {
        object::set(new, "metadata", json!({}));
    }
    if !object::resource_version(new).is_empty() {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    if target.served.resource.namespaced {
        if target.namespace.is_empty() {
            let path = api_model::FieldPath::new("metadata.namespace");
            return Err(target.invalid(object::name(new), &[api_model::Cause::required(&path, "")]));
        }
        let given = object::namespace(new);
        if !given.is_empty() && given != target.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        object::set_meta(new, "namespace", json!(target.namespace));
    } else {
        object::set_meta(new, "namespace", Value::Null);
    }
    for key in ["selfLink", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        object::set_meta(new, key, Value::Null);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_keep_their_base_and_fit() {
        assert!(generated_name("web-").starts_with("web-"));
        assert_eq!(generated_name("web-").len(), 9);
        assert_eq!(generated_name(&"x".repeat(100)).len(), 63);
    }
}
