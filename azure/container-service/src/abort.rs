//! `abort` of a cluster or a pool: its latest operation is cut short where it next waits, and ends as `Canceled`.
//!
//! What it made stays, as after a failure; the same write again goes on from there.

use arm::{Acted, ArmError, Ctx, Resource, operations};

use crate::service::Shared;

/// The name of its operation.
pub(crate) const NAME: &str = "abort";

/// What an abort says that a restart of the service came before.
pub(crate) fn interrupted() -> ArmError {
    ArmError::conflict(
        "OperationInterrupted",
        "The service was restarted before the operation was aborted. Repeat the request.",
    )
}

/// Aborts the latest operation on a cluster or a pool.
pub(crate) async fn abort(
    shared: &Shared,
    ctx: &Ctx,
    resource: &Resource,
    location: &str,
) -> Result<Acted, ArmError> {
    let running = ctx.operations.running();
    let latest = running.iter().rfind(|record| record.resource == resource.id && record.name != NAME);
    let Some(latest) = latest else {
        return Err(ArmError::bad_request(
            "OperationNotAllowed",
            format!("There is no operation in progress on '{}' that could be aborted.", resource.name),
        ));
    };
    if latest.deed == operations::Deed::Delete {
        return Err(ArmError::conflict(
            "OperationNotAllowed",
            format!("'{}' is being deleted, and a deletion cannot be aborted.", resource.name),
        ));
    }
    let operation = ctx.operations.create_action(&resource.id, NAME, location).await?;
    shared.lanes.of(&resource.id.top()).abort(&latest.id);
    let (operations, id) = (ctx.operations.clone(), latest.id.clone());
    Ok(Acted::Accepted(operation.work(async move {
        operations.wait(&id).await;
        Ok(())
    })))
}
