//! Template deployments.

use std::sync::Arc;

use crate::front::route_types::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, ResourceId};

impl Front {
    pub(crate) async fn deployments(self: &Arc<Self>, asked: &Asked<'_>, scope: ResourceId, rest: &[String]) -> Result<Answer, ArmError> {
        let _ = (scope, rest);
        Err(ArmError::not_implemented(format_args!("'{} deployments'", asked.method())))
    }
}
