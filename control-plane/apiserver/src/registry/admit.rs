//! Asks admission about a write.

use async_trait::async_trait;
use serde_json::Value;

use super::{Registry, Target};
use crate::attributes::{AdmissionRequest, ApiError, Operation};

/// Who may change or refuse a write.
#[async_trait]
pub trait Gate: Send + Sync {
    /// May change the object; an error refuses the write.
    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), ApiError>;
    /// Judges the object as it will be stored.
    async fn validate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), ApiError>;
}

/// Lets admission change the object.
///
/// # Errors
/// When it is refused.
pub async fn mutate(
    registry: &Registry,
    target: &Target,
    operation: Operation,
    object: Option<&mut Value>,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<(), ApiError> {
    let mut request = request(target, operation, object, old, dry_run);
    registry.gate()?.mutate(&mut request).await
}

/// Lets admission judge the object as it will be stored.
///
/// # Errors
/// When it is refused.
pub async fn validate(
    registry: &Registry,
    target: &Target,
    operation: Operation,
    object: Option<&mut Value>,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<(), ApiError> {
    let mut request = request(target, operation, object, old, dry_run);
    registry.gate()?.validate(&mut request).await
}

fn request<'a>(
    target: &'a Target,
    operation: Operation,
    object: Option<&'a mut Value>,
    old: Option<&'a Value>,
    dry_run: bool,
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
        dry_run,
    }
}
