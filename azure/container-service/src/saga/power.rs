//! Steps of stop and start: machines off and on, the control plane off.

use std::time::Duration;

use arm::ArmError;
use async_trait::async_trait;
use reconcile::saga::{Memo, Step};
use serde_json::json;

use super::{COMPUTE, Work, nodes, plane_error, pools};

/// Every machine is off.
pub struct StopNodes;
/// Every machine is on.
pub struct StartNodes;
/// The nodes of machines that are off are not in the cluster.
pub struct ForgetNodes;
/// The control plane does not answer; its state is kept.
pub struct StopPlane;

async fn post(work: &Work, action: &str) -> Result<(), ArmError> {
    for pool in work.pools() {
        let set = pools::scale_set_id(work, &pool)?;
        match work.service().post(format!("{set}/{action}"), COMPUTE, json!({})).await {
            Ok(reply) => {
                work.unless_cut(reply.done()).await?;
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[async_trait]
impl Step<Work, ArmError> for StopNodes {
    fn name(&self) -> &'static str {
        "stop-nodes"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(900)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        post(work, "deallocate").await
    }
}

#[async_trait]
impl Step<Work, ArmError> for StartNodes {
    fn name(&self) -> &'static str {
        "start-nodes"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(900)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        post(work, "start").await
    }
}

#[async_trait]
impl Step<Work, ArmError> for ForgetNodes {
    fn name(&self) -> &'static str {
        "forget-nodes"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let cluster = work.cluster.to_string();
        for pool in work.pools() {
            for instance in nodes::instances(work, &pool).await? {
                work.planes.delete_node(&cluster, &instance.node).await.map_err(plane_error)?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Step<Work, ArmError> for StopPlane {
    fn name(&self) -> &'static str {
        "stop-control-plane"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        work.planes.stop(&work.cluster.to_string()).await.map_err(plane_error)
    }
}
