//! Waiting for instances, by notification of the store and the fabric.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arm::{ArmError, Resource, ResourceId, Resources};
use fabric::{MachineId, Machines};
use tokio::sync::watch;

use super::extension;
use super::instances::{Phase, is_deleting, private};
use crate::json::text;

/// How long an instance may take to boot or stop.
const SETTLE: Duration = Duration::from_secs(600);

/// Waits until the instances with these ids are up or off as wanted, or failed. Missing ones are settled.
pub async fn settled(resources: &Resources, ids: &[ResourceId]) -> Result<(), ArmError> {
    let mut changed = resources.watch();
    let all = async {
        loop {
            changed.mark_unchanged();
            let waiting = ids.iter().filter_map(|id| resources.get(id)).any(|i| !is_settled(&i));
            if !waiting || changed.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(SETTLE, all).await.is_err() {
        return Err(ArmError::conflict(
            "OSProvisioningTimedOut",
            format!("OS provisioning did not finish in the allotted time of {} seconds.", SETTLE.as_secs()),
        ));
    }
    match ids.iter().filter_map(|id| resources.get(id)).find_map(|instance| failure(&instance)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn is_settled(instance: &Resource) -> bool {
    is_deleting(instance)
        || private(instance).is_none_or(|p| match p.phase {
            Phase::Pending | Phase::Booting => false,
            Phase::Running => p.on,
            Phase::Stopped => !p.on,
            Phase::Failed => true,
        })
}

/// Why an instance failed, if it did.
pub fn failure(instance: &Resource) -> Option<ArmError> {
    let private = private(instance).filter(|p| p.phase == Phase::Failed && p.on)?;
    let name = text(&instance.properties, "/osProfile/computerName").unwrap_or(&instance.name);
    Some(extension::error(name, private.exit_code.unwrap_or(-1), &private.last_lines))
}

/// Waits until the fabric has no machine for these instances.
pub async fn gone(mut machines: watch::Receiver<Arc<Machines>>, ids: &[ResourceId]) -> Result<(), ArmError> {
    let wanted: BTreeSet<MachineId> = ids.iter().map(|id| MachineId::of(&id.to_string())).collect();
    let none = async {
        loop {
            let left = machines.borrow_and_update().keys().any(|id| wanted.contains(id));
            if !left || machines.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(SETTLE, none).await.map_err(|_| {
        ArmError::conflict("OperationTimedOut", "The machines did not stop in the allotted time.")
    })
}
