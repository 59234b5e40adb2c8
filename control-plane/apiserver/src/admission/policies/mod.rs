//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy: expressions that judge or change what is written, bound to where and with
//! which parameters they apply.
//!
//! A policy is compiled once per generation. Guarantees: a change of a policy, a binding or a parameter counts from the next
//! request after its write was acknowledged; expressions cost what upstream lets them cost.

mod bound;
mod definitions;
mod evaluate;
mod mutating;
mod outcome;
mod params;
mod permissions;
mod policy;
mod typecheck;
mod variables;

use std::sync::Arc;

use super::Backend;
use super::expressions::{Asks, Inputs};
use super::matching::{Seen, is_exempt};
use super::versions;
use crate::attributes::{AdmissionRequest, ApiError, Objects};
use crate::authz::Authorizer;
use crate::registry::Served;
use bound::{Bound, Policy};
use outcome::Outcome;
use policy::Compiled;

pub(super) use definitions::check as check_definition;
pub(super) use mutating::Mutations;
pub(super) use permissions::check as check_permissions;
pub(super) use typecheck::keep as keep_status;

const GROUP: &str = "admissionregistration.k8s.io";
const POLICIES: &str = "validatingadmissionpolicies";
const BINDINGS: &str = "validatingadmissionpolicybindings";

/// The plugin.
pub(super) struct Policies {
    objects: Arc<dyn Objects>,
    backend: Arc<dyn Backend>,
    authorizer: Arc<Authorizer>,
    policies: Bound<Compiled>,
}

impl Policies {
    pub fn new(objects: Arc<dyn Objects>, backend: Arc<dyn Backend>, authorizer: Arc<Authorizer>) -> Self {
        let policies = Bound::new(&[(GROUP, POLICIES), (GROUP, BINDINGS)]);
        Self { objects, backend, authorizer, policies }
    }

    pub async fn validate(&self, request: &AdmissionRequest<'_>, served: &Served) -> Result<(), ApiError> {
        let policies = self.policies.all(&*self.objects);
        if policies.is_empty() || is_exempt(request) {
            return Ok(());
        }
        let mut outcome = Outcome::new(request);
        for policy in policies.iter() {
            let seen = match policy.matcher.matches(request, &*self.objects, &*self.backend) {
                Ok(None) => continue,
                Ok(Some(seen)) => seen,
                Err(error) => {
                    outcome.misconfigured(policy, None, &error.message);
                    continue;
                }
            };
            self.judge(policy, &seen, request, served, &mut outcome).await?;
        }
        outcome.into_result()
    }

    /// Asks a policy that matches, through each of its bindings that does.
    async fn judge(
        &self,
        policy: &Policy<Compiled>,
        seen: &Seen,
        request: &AdmissionRequest<'_>,
        served: &Served,
        outcome: &mut Outcome<'_, '_>,
    ) -> Result<(), ApiError> {
        let both = versions::both(&*self.backend, request, served, seen).await?;
        let inputs = Inputs::new(request, seen, &*self.objects, both);
        let asks = Asks::new(&self.authorizer, request.user);
        for binding in &policy.bindings {
            match binding
                .matcher
                .as_ref()
                .map(|matcher| matcher.matches(request, &*self.objects, &*self.backend))
            {
                Some(Ok(None)) => continue,
                Some(Err(error)) => {
                    outcome.misconfigured(policy, Some(binding), &error.message);
                    continue;
                }
                None | Some(Ok(Some(_))) => {}
            }
            let params = match params::collect(policy, binding, request, &*self.objects, &*self.backend) {
                Ok(params) => params,
                Err(params::Wrong::Policy(why)) => {
                    outcome.misconfigured(policy, None, &why);
                    break;
                }
                Err(params::Wrong::Binding(why)) => {
                    outcome.misconfigured(policy, Some(binding), &why);
                    continue;
                }
            };
            for param in &params {
                let verdict =
                    evaluate::evaluate(&policy.compiled, policy.ignores, &inputs, param.as_deref(), &asks);
                outcome.take(policy, binding, verdict);
            }
        }
        outcome.publish(policy);
        Ok(())
    }
}
