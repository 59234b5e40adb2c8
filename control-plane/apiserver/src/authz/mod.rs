//! May they: `system:masters`, the node authoriser, RBAC, and whoever outside the server is asked last, in this order;
//! and the review APIs.
//!
//! Everything is decided from [`Objects`]; nothing is kept but compiled rules, for as long as the objects they came
//! from do not change. Who is asked last answers from what it knows, at once. Not here: whether a role may be granted ([`escalation`]) is asked by the registry when roles
//! and bindings are written.

pub mod escalation;
mod node;
mod rbac;
pub mod reviews;
mod rule;

use std::sync::Arc;

pub use escalation::missing;
pub use node::node_name;
pub use rbac::Rbac;
pub use rule::Rule;

use crate::attributes::{ApiError, Attributes, Decision, Objects};

/// Asks every authoriser in turn.
pub struct Authorizer {
    rbac: Rbac,
    node: node::NodeAuthorizer,
    external: Option<Arc<dyn ExternalAuthorizer>>,
}

/// Who is asked when neither the node authoriser nor RBAC allows: what upstream's mode `Webhook` is after `Node,RBAC`. It stands in the
/// request's way, so it answers from memory and never waits.
pub trait ExternalAuthorizer: Send + Sync + 'static {
    /// Its decision; a refusal's reason is shown to whoever asks.
    fn authorize(&self, attributes: &Attributes) -> Decision;
}

/// Members may do everything.
pub const MASTERS: &str = "system:masters";

impl Authorizer {
    /// An authoriser over these objects.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { rbac: Rbac::new(objects.clone()), node: node::NodeAuthorizer::new(objects), external: None }
    }

    /// Asks this one last.
    pub fn with_external(mut self, external: Option<Arc<dyn ExternalAuthorizer>>) -> Self {
        self.external = external;
        self
    }

    /// Whether somebody outside the server is asked, whose rules nobody can list.
    pub fn has_external(&self) -> bool {
        self.external.is_some()
    }

    /// What the authorisers say.
    pub fn authorize(&self, attributes: &Attributes) -> Decision {
        if attributes.user.is_in(MASTERS) {
            return Decision::Allow { reason: String::new() };
        }
        let mut reasons = Vec::new();
        let own: [&dyn Fn() -> Decision; 2] =
            [&|| self.node.authorize(attributes), &|| self.rbac.authorize(attributes)];
        let external = self.external.as_ref().map(|external| || external.authorize(attributes));
        let external = external.as_ref().map(|ask| ask as &dyn Fn() -> Decision);
        for ask in own.into_iter().chain(external) {
            match ask() {
                Decision::NoOpinion { reason } => reasons.push(reason),
                decided => return decided,
            }
        }
        reasons.retain(|reason| !reason.is_empty());
        Decision::NoOpinion { reason: reasons.join("\n") }
    }

    /// Nothing, or the 403 to answer.
    pub fn check(&self, attributes: &Attributes) -> Result<(), ApiError> {
        match self.authorize(attributes) {
            Decision::Allow { .. } => Ok(()),
            Decision::Deny { reason } | Decision::NoOpinion { reason } => Err(refused(attributes, &reason)),
        }
    }

    /// The role-based part, for rules reviews and escalation checks.
    pub fn rbac(&self) -> &Rbac {
        &self.rbac
    }
}

/// The 403 with upstream's text.
pub fn refused(attributes: &Attributes, reason: &str) -> ApiError {
    let mut message = refusal(attributes);
    if !reason.is_empty() {
        message = format!("{message}: {reason}");
    }
    ApiError::forbidden(&attributes.group, &attributes.resource, &attributes.name, &message)
}

fn refusal(attributes: &Attributes) -> String {
    let Attributes { user, verb, .. } = attributes;
    if !attributes.is_resource {
        return format!("User \"{}\" cannot {verb} path \"{}\"", user.name, attributes.path);
    }
    let resource = match attributes.subresource.as_str() {
        "" => attributes.resource.clone(),
        sub => format!("{}/{sub}", attributes.resource),
    };
    let place = match attributes.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    format!(
        "User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
        user.name, attributes.group
    )
}

#[cfg(test)]
mod tests;
