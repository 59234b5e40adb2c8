//! Admission policies in CEL: not evaluated here yet, so what one covers is refused in plain words instead of being let through.

use std::sync::Arc;

use super::derived::Derived;
use super::matching::{Matcher, is_exempt};
use super::{Backend, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, items, text};
use crate::authz::Authorizer;
use crate::registry::Served;

const GROUP: &str = "admissionregistration.k8s.io";
const POLICIES: &str = "validatingadmissionpolicies";
const BINDINGS: &str = "validatingadmissionpolicybindings";

struct Bound {
    policy: String,
    matchers: Vec<Matcher>,
}

/// The plugin.
pub(super) struct Policies {
    objects: Arc<dyn Objects>,
    backend: Arc<dyn Backend>,
    bound: Derived<Vec<Bound>>,
}

impl Policies {
    pub fn new(objects: Arc<dyn Objects>, backend: Arc<dyn Backend>, _: Arc<Authorizer>) -> Self {
        Self { objects, backend, bound: Derived::new(&[(GROUP, POLICIES), (GROUP, BINDINGS)]) }
    }

    fn bound(&self) -> Vec<Bound> {
        let mut bound = Vec::new();
        for binding in self.objects.list(GROUP, BINDINGS, None) {
            let name = text(&binding, "/spec/policyName");
            let Some(policy) = self.objects.get(GROUP, POLICIES, "", name) else { continue };
            let denies = items(&binding, "/spec/validationActions").iter().any(|action| action == "Deny");
            if text(&policy, "/spec/failurePolicy") == "Ignore" || !denies {
                continue;
            }
            let constraints =
                policy.pointer("/spec/matchConstraints").map(|one| Matcher::of_match_resources(one, false));
            let narrowed =
                binding.pointer("/spec/matchResources").map(|one| Matcher::of_match_resources(one, true));
            bound.push(Bound {
                policy: name.to_owned(),
                matchers: constraints.into_iter().chain(narrowed).collect(),
            });
        }
        bound
    }

    pub async fn validate(&self, request: &AdmissionRequest<'_>, _: &Served) -> Result<(), ApiError> {
        let bound = self.bound.get(&*self.objects, || self.bound());
        if bound.is_empty() || is_exempt(request) {
            return Ok(());
        }
        for one in bound.iter() {
            let mut covers = !one.matchers.is_empty();
            for matcher in &one.matchers {
                covers &= matcher.matches(request, &*self.objects, &*self.backend)?.is_some();
            }
            if covers {
                let why = format!(
                    "ValidatingAdmissionPolicy \"{}\" covers this request, and expressions in CEL are not evaluated by this server yet",
                    one.policy
                );
                return Err(forbid(request, &why));
            }
        }
        Ok(())
    }
}
