//! `backendAddressPools` and `inboundNatRules`: the parts of a load balancer that clients also write by themselves.
//!
//! A part is kept in its load balancer and nowhere else: writing one is writing the balancer with it, through the same
//! checks and in the balancer's turn.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::load_balancers::LoadBalancers;
use super::{API_VERSIONS, load_balancer_view, uses};
use crate::json::{list, set, text};

/// One kind of part.
pub struct Parts {
    member: &'static str,
    full_type: &'static str,
}

/// `Microsoft.Network/loadBalancers/backendAddressPools`.
pub const POOLS: Parts =
    Parts { member: "backendAddressPools", full_type: "Microsoft.Network/loadBalancers/backendAddressPools" };
/// `Microsoft.Network/loadBalancers/inboundNatRules`.
pub const INBOUND_NAT_RULES: Parts =
    Parts { member: "inboundNatRules", full_type: "Microsoft.Network/loadBalancers/inboundNatRules" };

impl Parts {
    fn shown(&self, ctx: &Ctx, balancer: &ResourceId) -> Vec<Value> {
        let Some(balancer) = ctx.resources.get(balancer) else { return Vec::new() };
        list(&load_balancer_view::shown(ctx, &balancer), &format!("/properties/{}", self.member)).to_vec()
    }

    fn resource(ctx: &Ctx, part: &Value) -> Option<Resource> {
        let id = ResourceId::parse(text(part, "/id")?).ok()?;
        let mut made = Resource::new(id.clone());
        made.properties = part.get("properties").cloned().unwrap_or_else(|| json!({}));
        made.etag = ctx.resources.get(&id.top())?.etag.clone();
        Some(made)
    }

    /// Writes the balancer with other parts.
    async fn write(
        &self,
        ctx: &Ctx,
        balancer: &ResourceId,
        change: impl FnOnce(&mut Vec<Value>) + Send,
    ) -> Result<(), ArmError> {
        let stored = ctx.resources.get(balancer).ok_or_else(|| ArmError::resource_not_found(balancer))?;
        let mut body = stored.to_json();
        let mut parts = list(&body, &format!("/properties/{}", self.member)).to_vec();
        change(&mut parts);
        set(&mut body, &["properties", self.member], parts);
        LoadBalancers.put(ctx, Put { id: balancer, body, existing: Some(&stored) }).await?;
        Ok(())
    }
}

#[async_trait]
impl ResourceType for Parts {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(self.full_type, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let name = request.id.name().to_owned();
        let properties = request.body.get("properties").filter(|p| p.is_object()).cloned();
        let part = json!({ "name": name, "properties": properties.unwrap_or_else(|| json!({})) });
        let own = |part: &Value| text(part, "/name").is_some_and(|n| n.eq_ignore_ascii_case(&name));
        self.write(ctx, &request.id.top(), |parts| match parts.iter_mut().find(|p| own(p)) {
            Some(old) => *old = part,
            None => parts.push(part),
        })
        .await?;
        let shown = self.shown(ctx, &request.id.top()).into_iter().find(own);
        Ok(Written::Elsewhere(shown.ok_or_else(|| ArmError::resource_not_found(request.id))?))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let id = &existing.id;
        let stored = ctx.resources.get(&id.top()).ok_or_else(|| ArmError::resource_not_found(id))?;
        let kept =
            list(&stored.properties, &format!("/{}", self.member)).iter().any(|p| uses::is(p, "/id", id));
        if !kept {
            return Err(ArmError::bad_request(
                "OperationNotAllowed",
                format!("{id} was made by an inbound NAT pool and goes with it; change the pool."),
            ));
        }
        self.write(ctx, &id.top(), |parts| parts.retain(|part| !uses::is(part, "/id", id))).await?;
        Ok(Deleted::Done)
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        let found = self.shown(ctx, &id.top()).into_iter().find(|part| uses::is(part, "/id", id));
        Ok(found.and_then(|part| Self::resource(ctx, &part)))
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        Ok(self.shown(ctx, scope).iter().filter_map(|part| Self::resource(ctx, part)).collect())
    }

    /// As its balancer shows it.
    fn present(&self, _: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        set(&mut shown, &["etag"], format!("W/\"{}\"", resource.etag));
        shown
    }
}
