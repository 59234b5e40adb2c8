//! What the last run of the service left undone, taken up at start, before anybody is answered.
//!
//! An operation without an end is handed to its type, which goes on with it or ends it as failed with its cause. What has
//! neither an operation nor an end gets one, and an identity whose resource never came to be, or is gone, goes.
//!
//! Does not know what a type does in the middle: that is [`ResourceType::resume`](crate::ResourceType::resume).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Front;
use crate::activity::Cause;
use crate::operations::{Deed, OperationRecord};
use crate::{ArmError, Caller, CallerKind, Operation, Resource};

/// States of a resource that something is being done to.
const GOING_ON: [&str; 10] = [
    "Accepted",
    "Creating",
    "Deleting",
    "Provisioning",
    "Running",
    "Scaling",
    "Starting",
    "Stopping",
    "Updating",
    "Upgrading",
];

const GROUP: &str = "Microsoft.Resources/resourceGroups";

impl Front {
    /// Takes up everything.
    pub(super) async fn take_up(self: &Arc<Self>) -> Result<(), ArmError> {
        // Before any work starts: it may make identities of resources that it stores a moment later.
        self.forget_identities_of_nothing().await?;
        let running = self.operations.running();
        self.end_what_has_no_operation(&running).await?;
        for record in running {
            let Some(operation) = self.operations.find(&record.id) else { continue };
            self.take_up_one(&record, operation).await?;
        }
        Ok(())
    }

    async fn forget_identities_of_nothing(&self) -> Result<(), ArmError> {
        for owner in self.config.directory.owners_of_identities() {
            if !self.resources.exists(&owner) {
                self.config.directory.delete_managed_identity(&owner).await?;
            }
        }
        Ok(())
    }

    /// A state that says that something goes on, where nothing does, is a failure; a group is what it was.
    async fn end_what_has_no_operation(
        self: &Arc<Self>,
        running: &[OperationRecord],
    ) -> Result<(), ArmError> {
        let busy: BTreeSet<String> =
            running.iter().map(|record| record.resource.top().key().to_owned()).collect();
        for resource in self.resources.everything() {
            let id = &resource.id;
            let going_on = resource.provisioning_state().is_some_and(|state| GOING_ON.contains(&state));
            // What is below another resource is that resource's affair.
            if !going_on || id.types().len() > 1 || busy.contains(id.top().key()) {
                continue;
            }
            if resource.kind_type.eq_ignore_ascii_case(crate::deployments::TYPE) {
                self.interrupted(id).await?;
                continue;
            }
            let state = if resource.kind_type.eq_ignore_ascii_case(GROUP) { "Succeeded" } else { "Failed" };
            self.resources
                .modify(id, |resource| {
                    resource.set_provisioning_state(state);
                    true
                })
                .await?;
        }
        Ok(())
    }

    async fn take_up_one(
        self: &Arc<Self>,
        record: &OperationRecord,
        operation: Operation,
    ) -> Result<(), ArmError> {
        let full_type = record.resource.resource_type();
        let ctx = self.ctx("Lazurite");
        let resource = self.resources.get(&record.resource).map(|r| (*r).clone());
        if record.deed == Deed::Delete && resource.is_none() {
            return operation.succeed().await;
        }
        if full_type.eq_ignore_ascii_case(GROUP) {
            let caller = match record.cause.as_deref() {
                Some(cause) => self.who_asked(cause).await,
                None => ctx.caller.clone(),
            };
            let work = self.clone().delete_group_contents(
                record.resource.clone(),
                caller,
                operation.id().to_owned(),
            );
            operation.work(work).start(&self.config.tasks);
            return Ok(());
        }
        if full_type.eq_ignore_ascii_case(crate::deployments::TYPE) {
            let error = self.interrupted(&record.resource).await?;
            return operation.fail(error).await;
        }
        if let Some(resource) = resource.clone().filter(|_| record.deed == Deed::Delete) {
            self.forget_identity_after(&operation, resource);
        }
        let taken = match self.registered(&full_type) {
            Some(registered) => registered.kind.resume(&ctx, operation.clone(), resource).await,
            None => Err(ArmError::not_implemented(format_args!("The resource type '{full_type}'"))),
        };
        match taken {
            // Work that `resume` attached starts now.
            Ok(()) => {
                operation.start(&self.config.tasks);
                Ok(())
            }
            Err(error) => self.give_up_on(record, operation, error).await,
        }
    }

    /// Who began what goes on: it stays theirs, and what they may no longer do is done no longer.
    async fn who_asked(&self, cause: &Cause) -> Caller {
        let known = self.config.directory.principal(&cause.caller_id).await;
        let kind = match known.as_ref().map(|known| known.kind.as_str()) {
            Some("User") => CallerKind::User,
            Some(_) => CallerKind::ServicePrincipal,
            None => CallerKind::Service,
        };
        Caller {
            object_id: cause.caller_id.clone(),
            name: cause.caller.clone(),
            tenant_id: self.config.tenant_id.clone(),
            app_id: known.and_then(|known| known.app_id),
            kind,
            groups: self.config.directory.groups_of(&cause.caller_id),
            claims: serde_json::Value::Object(cause.claims.clone()),
        }
    }

    async fn give_up_on(
        &self,
        record: &OperationRecord,
        operation: Operation,
        error: ArmError,
    ) -> Result<(), ArmError> {
        let failed = |resource: &mut Resource| {
            let had = resource.provisioning_state().is_some();
            if had {
                resource.set_provisioning_state("Failed");
            }
            had
        };
        self.resources.modify(&record.resource, failed).await?;
        operation.fail(error).await
    }
}
