//! The cluster's authorizer, as expressions ask it.

use std::sync::Arc;

use cel::{Decision, Question};

use crate::attributes::{Attributes, Decision as Decided, UserInfo};
use crate::authz::Authorizer;

/// Asks on behalf of a request's user.
pub(in crate::admission) struct Asks<'a> {
    authorizer: &'a Authorizer,
    user: Arc<UserInfo>,
}

impl<'a> Asks<'a> {
    pub fn new(authorizer: &'a Authorizer, user: &UserInfo) -> Self {
        Self { authorizer, user: Arc::new(user.clone()) }
    }
}

fn service_account(namespace: &str, name: &str) -> Arc<UserInfo> {
    let groups =
        ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"];
    Arc::new(UserInfo::new(&format!("system:serviceaccount:{namespace}:{name}"), &groups))
}

impl cel::Authorizer for Asks<'_> {
    fn authorize(&self, question: &Question<'_>) -> Decision {
        let check = question.check;
        let user = match question.service_account {
            Some((namespace, name)) => service_account(namespace, name),
            None => self.user.clone(),
        };
        let attributes = Attributes {
            user,
            verb: question.verb.to_owned(),
            group: check.group.clone(),
            version: if check.path.is_none() { "*".to_owned() } else { String::new() },
            resource: check.resource.clone().unwrap_or_default(),
            subresource: check.subresource.clone(),
            namespace: check.namespace.clone(),
            name: check.name.clone(),
            path: check.path.clone().unwrap_or_default(),
            is_resource: check.path.is_none(),
            ..Attributes::default()
        };
        let (allowed, reason) = match self.authorizer.authorize(&attributes) {
            Decided::Allow { reason } => (true, reason),
            Decided::Deny { reason } | Decided::NoOpinion { reason } => (false, reason),
        };
        Decision { allowed, reason, error: None }
    }
}
