//! Asks admission about a write.
//!
//! What is judged is what the caller sent: of a scale the `Scale`, of a binding the `Binding`. A target that is
//! [`judged`](Target::judged) already is not judged again.

use async_trait::async_trait;
use serde_json::Value;

use super::{Registry, Served, Target, scale};
use crate::attributes::{AdmissionRequest, ApiError, Operation, Options};

/// Who may change or refuse a write.
#[async_trait]
pub trait Gate: Send + Sync {
    /// May change the object; an error refuses the write.
    async fn mutate(&self, request: &mut AdmissionRequest<'_>, served: &Served) -> Result<(), ApiError>;
    /// Judges the object as it will be stored.
    async fn validate(&self, request: &mut AdmissionRequest<'_>, served: &Served) -> Result<(), ApiError>;
    /// Is told that an object is gone from the store.
    async fn removed(&self, served: &Served, old: &Value);
}

/// Lets admission change the object.
///
/// # Errors
/// When it is refused.
pub async fn mutate<'a>(
    registry: &Registry,
    target: &Target,
    operation: Operation,
    object: Option<&mut Value>,
    old: Option<&Value>,
    options: impl Into<Options<'a>> + Send,
) -> Result<(), ApiError> {
    if target.judged {
        return Ok(());
    }
    let options = options.into();
    let gate = registry.gate()?;
    let object = match object {
        Some(object) if target.subresource == "scale" => object,
        object => {
            let mut request = request(target, operation, object, old, options);
            return gate.mutate(&mut request, &target.served).await;
        }
    };
    let mut asked = scale::scale_of(&target.served, object);
    let before = old.map(|old| scale::scale_of(&target.served, old));
    let mut request = request(target, operation, Some(&mut asked), before.as_ref(), options);
    gate.mutate(&mut request, &target.served).await?;
    let replicas = super::object::number(&asked, &["spec", "replicas"]).unwrap_or(0);
    scale::set_replicas(&target.served, object, replicas);
    Ok(())
}

/// Lets admission judge the object as it will be stored.
///
/// # Errors
/// When it is refused.
pub async fn validate<'a>(
    registry: &Registry,
    target: &Target,
    operation: Operation,
    object: Option<&mut Value>,
    old: Option<&Value>,
    options: impl Into<Options<'a>> + Send,
) -> Result<(), ApiError> {
    if target.judged {
        return Ok(());
    }
    let options = options.into();
    let gate = registry.gate()?;
    if let (true, Some(whole)) = (target.subresource == "scale", object.as_deref()) {
        let mut asked = scale::scale_of(&target.served, whole);
        let before = old.map(|old| scale::scale_of(&target.served, old));
        let mut request = request(target, operation, Some(&mut asked), before.as_ref(), options);
        return gate.validate(&mut request, &target.served).await;
    }
    let mut request = request(target, operation, object, old, options);
    gate.validate(&mut request, &target.served).await
}

/// Both, for what is judged and never stored by itself: a binding, an eviction, a token request, a connection.
///
/// # Errors
/// When it is refused.
pub async fn judge<'a>(
    registry: &Registry,
    target: &Target,
    operation: Operation,
    object: &mut Value,
    options: impl Into<Options<'a>> + Send,
) -> Result<(), ApiError> {
    let options = options.into();
    mutate(registry, target, operation, Some(&mut *object), None, options).await?;
    validate(registry, target, operation, Some(object), None, options).await
}

/// Tells admission that an object is gone.
pub async fn removed(registry: &Registry, target: &Target, old: &Value) {
    if let Ok(gate) = registry.gate() {
        gate.removed(&target.served, old).await;
    }
}

fn request<'a>(
    target: &'a Target,
    operation: Operation,
    object: Option<&'a mut Value>,
    old: Option<&'a Value>,
    options: Options<'a>,
) -> AdmissionRequest<'a> {
    AdmissionRequest {
        operation,
        resource: &target.served.resource,
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: &target.name,
        user: &target.user,
        object,
        old,
        options,
        notes: &target.notes,
    }
}
