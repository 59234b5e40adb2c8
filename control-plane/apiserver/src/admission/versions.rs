//! Objects in the version in which webhooks and policies see them, and back.

use serde_json::Value;

use super::Backend;
use super::matching::Seen;
use crate::attributes::{AdmissionRequest, ApiError, kind_of};
use crate::registry::Served;

/// Whether what is written is the resource's own kind. What subresources take has one version only.
pub(super) fn is_whole(request: &AdmissionRequest<'_>) -> bool {
    request.kind() == kind_of(request.resource, "")
}

/// An object of a request as it is seen.
pub(super) async fn seen(
    backend: &dyn Backend,
    object: &Value,
    request: &AdmissionRequest<'_>,
    from: &Served,
    seen: &Seen,
) -> Result<Value, ApiError> {
    match seen {
        Seen::As(to) if is_whole(request) => backend.convert(object.clone(), from, to).await,
        _ => Ok(object.clone()),
    }
}

/// Both objects of a request as they are seen: the new one and the old one.
pub(super) async fn both(
    backend: &dyn Backend,
    request: &AdmissionRequest<'_>,
    from: &Served,
    as_seen: &Seen,
) -> Result<(Option<Value>, Option<Value>), ApiError> {
    let object = match request.object.as_deref() {
        Some(object) => Some(seen(backend, object, request, from, as_seen).await?),
        None => None,
    };
    let old = match request.old {
        Some(old) => Some(seen(backend, old, request, from, as_seen).await?),
        None => None,
    };
    Ok((object, old))
}

/// A patched object as the request's version holds it: without what no schema knows, with all defaults.
pub(super) async fn completed(
    backend: &dyn Backend,
    mut patched: Value,
    request: &AdmissionRequest<'_>,
    served: &Served,
    seen: &Seen,
) -> Result<Value, ApiError> {
    let whole = is_whole(request);
    if let (Seen::As(from), true) = (seen, whole) {
        from.resource.schema.default(&mut patched);
        patched = backend.convert(patched, from, served).await?;
    }
    if whole {
        request.resource.schema.prune(&mut patched);
        request.resource.schema.default(&mut patched);
    }
    Ok(patched)
}
