//! What a resource provider implements.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::resource::{merge_patch, replace_identity, replace_tags};
use crate::{ArmError, Ctx, Operation, Resource, ResourceId};

/// What DELETE answers when it is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteStatus {
    /// 200 for a resource that was there.
    Ok,
    /// 204.
    NoContent,
}

/// What the framework must know of a type.
#[derive(Debug, Clone)]
pub struct TypeDescriptor {
    /// `Microsoft.Network/virtualNetworks/subnets`, canonical case.
    pub full_type: &'static str,
    /// Versions to list; the newest first. Others in a sensible range are accepted too unless [`strict`](Self::strict).
    pub api_versions: &'static [&'static str],
    /// Refuse versions that are not listed.
    pub strict: bool,
    /// Has a location and tags of its own and shows up in resource lists.
    pub tracked: bool,
    /// May exist on any resource or scope (`Microsoft.Insights/diagnosticSettings`).
    pub extension: bool,
    /// `global` is an accepted location (DNS zones).
    pub global: bool,
    /// The framework resolves the `identity` block: makes system-assigned identities, looks up user-assigned ones.
    pub identity: bool,
    /// Where the ETag is shown in bodies, if anywhere: `Some("etag")`, `Some("eTag")`.
    pub etag: Option<&'static str>,
    /// Status of a PUT that makes the resource: 201 nearly everywhere.
    pub created: StatusCode,
    /// Status of a PUT that changes it: 200 nearly everywhere.
    pub updated: StatusCode,
    /// Status of an accepted PATCH: 200 or 202.
    pub patched: StatusCode,
    /// Status of a DELETE done at once.
    pub deleted: DeleteStatus,
    /// Status of a DELETE of what is not there: 204 nearly everywhere.
    pub delete_missing: StatusCode,
    /// The order in which a dying group's resources go: lower first. 50 when nothing is said.
    pub delete_rank: u32,
    /// A name the type allows, as a regular expression over the whole name; none: the general rule.
    pub name_pattern: Option<&'static str>,
}

impl TypeDescriptor {
    /// A tracked type (top-level) or a child (nested name) with everything else as it is nearly everywhere.
    pub fn new(full_type: &'static str, api_versions: &'static [&'static str]) -> Self {
        Self {
            full_type,
            api_versions,
            strict: false,
            tracked: full_type.matches('/').count() == 1,
            extension: false,
            global: false,
            identity: false,
            etag: None,
            created: StatusCode::CREATED,
            updated: StatusCode::OK,
            patched: StatusCode::OK,
            deleted: DeleteStatus::Ok,
            delete_missing: StatusCode::NO_CONTENT,
            delete_rank: 50,
            name_pattern: None,
        }
    }

    /// `virtualNetworks/subnets`: the type without its namespace.
    pub fn short_type(&self) -> &'static str {
        self.full_type.split_once('/').map_or(self.full_type, |(_, rest)| rest)
    }

    /// `Microsoft.Network`.
    pub fn namespace(&self) -> &'static str {
        self.full_type.split_once('/').map_or(self.full_type, |(namespace, _)| namespace)
    }
}

/// A PUT.
#[derive(Debug)]
pub struct Put<'a> {
    /// What is written, in canonical case.
    pub id: &'a ResourceId,
    /// What the client sent. Location and name have been checked, `identity` is resolved where the type asks for it.
    pub body: Value,
    /// What is there already.
    pub existing: Option<&'a Resource>,
}

impl Put<'_> {
    /// The resource that the body describes; see [`Resource::from_body`].
    pub fn resource(&self) -> Resource {
        Resource::from_body(self.id, &self.body, self.existing)
    }

    /// `properties` of the body, or null.
    pub fn properties(&self) -> &Value {
        self.body.get("properties").unwrap_or(&Value::Null)
    }
}

/// A PATCH of a resource that exists.
#[derive(Debug)]
pub struct Patch<'a> {
    /// What is changed.
    pub id: &'a ResourceId,
    /// What the client sent.
    pub body: Value,
    /// What is there.
    pub existing: &'a Resource,
}

/// The outcome of PUT and PATCH. The framework stores the resource, sets its ETag and answers. A finished write that
/// changes nothing stores nothing: the ETag stays, and nobody who watches wakes up.
#[derive(Debug)]
pub enum Written {
    /// Finished.
    Done(Resource),
    /// Finished, and nothing is stored under this id: what was written stands elsewhere (in the parent). This is the
    /// answer's body.
    Elsewhere(Value),
    /// Going on. Work attached with [`Operation::work`] starts after the resource is stored.
    Accepted {
        /// As it is now (`provisioningState` `Creating`, …).
        resource: Resource,
        /// What to wait for.
        operation: Operation,
    },
}

/// The outcome of DELETE.
#[derive(Debug)]
pub enum Deleted {
    /// Gone: the framework forgets it and everything under it.
    Done,
    /// Going on; the framework sets `provisioningState` to `Deleting`, and forgets the resource when the operation
    /// succeeds.
    Accepted(Operation),
}

/// The outcome of a POST action, or of a GET below a resource.
#[derive(Debug)]
pub enum Acted {
    /// 200 with a body, or 204 without.
    Done(Option<Value>),
    /// This status and body. With 202 the client is told to ask the same URL again.
    Answer(StatusCode, Value),
    /// 202 with a `Location` of the provider's own (`…/commandResults/{id}`), polled through
    /// [`read`](ResourceType::read).
    AcceptedAt {
        /// A path on this host, without a query.
        path: String,
        /// The body of the 202.
        body: Value,
    },
    /// 202 and the headers to poll; the operation's result is what `Location` shows in the end.
    Accepted(Operation),
    /// 204 at once; the operation goes on, and the client is told nothing of it.
    Begun(Operation),
}

/// One resource type.
#[async_trait]
pub trait ResourceType: Send + Sync + 'static {
    /// What the framework must know.
    fn descriptor(&self) -> TypeDescriptor;

    /// Makes or replaces. The caller is authorised, the group exists, the parent of a child exists.
    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError>;

    /// Changes in part. By default the body is merged into what is there and handed to [`put`](Self::put); tags are not
    /// merged: those that are given are all there are then, as in the public cloud's `UpdateTags`.
    async fn patch(&self, ctx: &Ctx, request: Patch<'_>) -> Result<Written, ArmError> {
        let mut body = request.existing.to_json();
        merge_patch(&mut body, &request.body);
        replace_tags(&mut body, &request.body);
        replace_identity(&mut body, &request.body);
        self.put(ctx, Put { id: request.id, body, existing: Some(request.existing) }).await
    }

    /// Removes.
    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError>;

    /// A POST on the resource.
    async fn action(
        &self,
        ctx: &Ctx,
        existing: &Resource,
        name: &str,
        body: Value,
    ) -> Result<Acted, ArmError> {
        let _ = (ctx, body);
        Err(ArmError::not_implemented(format_args!("The action '{}/{name}'", existing.kind_type)))
    }

    /// A GET below the resource that is no registered type (`upgradeProfiles/default`, `instanceView`). `path` has at
    /// least one segment.
    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let _ = ctx;
        Err(ArmError::not_implemented(format_args!("Reading '{}/{}'", existing.kind_type, path.join("/"))))
    }

    /// The resource; by default what is stored. Types whose resources are computed override this and [`list`](Self::list).
    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        Ok(ctx.resources.get(id).map(|r| (*r).clone()))
    }

    /// All of this type at or below `scope` (a parent resource, a group, a subscription); by default what is stored.
    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        let found = ctx.resources.list_type(scope, self.descriptor().full_type);
        Ok(found.iter().map(|r| (**r).clone()).collect())
    }

    /// What GET shows. By default everything.
    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let _ = ctx;
        resource.to_json()
    }

    /// Called once at start for each operation of this type that the last run of the service did not end. An answer of
    /// `Ok` means that the type has taken the operation on and will end it; the default ends it as failed and sets the
    /// resource's `provisioningState` to `Failed`, from where a repeated request repairs it.
    async fn resume(
        &self,
        ctx: &Ctx,
        operation: Operation,
        resource: Option<Resource>,
    ) -> Result<(), ArmError> {
        let _ = (ctx, operation, resource);
        Err(ArmError::conflict(
            "OperationInterrupted",
            "The operation was interrupted by a restart of the service. Repeat the request.",
        ))
    }
}

/// A request below `/subscriptions/{id}/providers/{namespace}` (or `/providers/{namespace}`) that is no resource:
/// `locations/eastus/kubernetesVersions`, `skus`, `checkNameAvailability`.
#[derive(Debug)]
pub struct Call<'a> {
    /// GET or POST.
    pub method: &'a Method,
    /// The scope in front of `providers`: a subscription, a group, or the root.
    pub scope: &'a ResourceId,
    /// What follows the namespace, in the client's case.
    pub path: &'a [String],
    /// The body, or null.
    pub body: Value,
}

/// Answers calls that address the provider itself.
#[async_trait]
pub trait ProviderCalls: Send + Sync + 'static {
    /// `None`: the provider knows no such call.
    async fn call(&self, ctx: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>>;
}

/// A namespace with its types.
#[derive(Clone)]
pub struct Provider {
    /// `Microsoft.Network`.
    pub namespace: &'static str,
    /// Its types.
    pub types: Vec<Arc<dyn ResourceType>>,
    /// Its calls that are no resources.
    pub calls: Option<Arc<dyn ProviderCalls>>,
    /// Whether its bodies say who made and changed a resource, and when (`systemData`).
    pub system_data: bool,
}

impl Provider {
    /// A namespace without types.
    pub fn new(namespace: &'static str) -> Self {
        Self { namespace, types: Vec::new(), calls: None, system_data: true }
    }

    /// With a type.
    pub fn with(mut self, kind: impl ResourceType) -> Self {
        self.types.push(Arc::new(kind));
        self
    }

    /// With a shared type.
    pub fn with_arc(mut self, kind: Arc<dyn ResourceType>) -> Self {
        self.types.push(kind);
        self
    }

    /// With bodies that have no `systemData`.
    pub fn without_system_data(mut self) -> Self {
        self.system_data = false;
        self
    }

    /// With calls.
    pub fn with_calls(mut self, calls: impl ProviderCalls) -> Self {
        self.calls = Some(Arc::new(calls));
        self
    }
}
