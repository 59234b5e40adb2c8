//! MutatingAdmissionPolicy: expressions that change what is written.
//!
//! All policies that match are asked one after the other, by name, each through its bindings and their parameters; each sees what those
//! before it left. Which they are is settled before the first changes anything. Where a later plugin or policy changes the object, those
//! that wish so are asked once more.

mod compiled;
mod patch;
mod refusal;

use std::sync::Arc;

use serde_json::Value;

use super::bound::{Binding, Bound, Policy};
use super::variables::Variables;
use super::{GROUP, params};
use crate::admission::Backend;
use crate::admission::expressions::{Asks, Inputs};
use crate::admission::matching::{Seen, is_exempt};
use crate::admission::rounds::Rounds;
use crate::admission::versions;
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, text};
use crate::authz::Authorizer;
use crate::registry::Served;
pub(super) use compiled::Compiled;
use compiled::Mutation;
use patch::{Failure, Patched};
use refusal::Refusals;

pub(super) const POLICIES: &str = "mutatingadmissionpolicies";
pub(super) const BINDINGS: &str = "mutatingadmissionpolicybindings";

/// The plugin.
pub(in crate::admission) struct Mutations {
    objects: Arc<dyn Objects>,
    backend: Arc<dyn Backend>,
    authorizer: Arc<Authorizer>,
    policies: Bound<Compiled>,
}

/// A policy that is to be asked about a request, with one parameter.
struct Invocation<'p> {
    policy: &'p Policy<Compiled>,
    binding: &'p Binding,
    seen: Seen,
    param: Option<Arc<Value>>,
}

impl Invocation<'_> {
    /// Tells invocations apart when they are asked again.
    fn id(&self) -> String {
        let of = |pointer| self.param.as_deref().map(|param| text(param, pointer)).unwrap_or_default();
        let (namespace, name) = (of("/metadata/namespace"), of("/metadata/name"));
        format!("{}/{}/{namespace}/{name}", self.policy.name, self.binding.name)
    }
}

impl Mutations {
    pub fn new(objects: Arc<dyn Objects>, backend: Arc<dyn Backend>, authorizer: Arc<Authorizer>) -> Self {
        let policies = Bound::new(&[(GROUP, POLICIES), (GROUP, BINDINGS)]);
        Self { objects, backend, authorizer, policies }
    }

    pub async fn mutate(
        &self,
        request: &mut AdmissionRequest<'_>,
        served: &Served,
        rounds: &mut Rounds,
    ) -> Result<(), ApiError> {
        let policies = self.policies.all(&*self.objects);
        // What is deleted has nothing to change.
        if policies.is_empty() || request.operation == Operation::Delete || is_exempt(request) {
            return Ok(());
        }
        let mut refusals = Refusals::default();
        let invocations = self.invocations(&policies, request, &mut refusals);
        if !invocations.is_empty() {
            if rounds.second {
                rounds.policies.resume(request.object.as_deref());
            }
            let mut touched = false;
            for invocation in &invocations {
                touched |= self.invoke(invocation, request, served, rounds, &mut refusals).await?;
            }
            // Upstream takes whatever a policy gave for a change here.
            if touched {
                rounds.policies.require();
                rounds.needed = true;
            }
            rounds.policies.leave(request.object.as_deref());
        }
        refusals.into_result(request)
    }

    fn invocations<'p>(
        &self,
        policies: &'p [Policy<Compiled>],
        request: &AdmissionRequest<'_>,
        refusals: &mut Refusals,
    ) -> Vec<Invocation<'p>> {
        let (objects, backend) = (&*self.objects, &*self.backend);
        let mut found = Vec::new();
        for policy in policies {
            let seen = match policy.matcher.matches(request, objects, backend) {
                Ok(None) => continue,
                Ok(Some(seen)) => seen,
                Err(error) => {
                    refusals.misconfigured(policy, None, &error.message);
                    continue;
                }
            };
            for binding in &policy.bindings {
                let matched = binding.matcher.as_ref().map(|one| one.matches(request, objects, backend));
                match matched {
                    Some(Ok(None)) => continue,
                    Some(Err(error)) => {
                        refusals.misconfigured(policy, Some(&binding.name), &error.message);
                        continue;
                    }
                    None | Some(Ok(Some(_))) => {}
                }
                match params::collect(policy, binding, request, objects, backend) {
                    Ok(params) => found.extend(params.into_iter().map(|param| Invocation {
                        policy,
                        binding,
                        seen: seen.clone(),
                        param,
                    })),
                    Err(params::Wrong::Policy(why)) => {
                        refusals.misconfigured(policy, None, &why);
                        break;
                    }
                    Err(params::Wrong::Binding(why)) => {
                        refusals.misconfigured(policy, Some(&binding.name), &why);
                    }
                }
            }
        }
        found
    }

    /// Asks one policy, when its conditions hold and it is its turn; says whether any of its mutations gave something.
    async fn invoke(
        &self,
        one: &Invocation<'_>,
        request: &mut AdmissionRequest<'_>,
        served: &Served,
        rounds: &mut Rounds,
        refusals: &mut Refusals,
    ) -> Result<bool, ApiError> {
        let compiled = &*one.policy.compiled;
        if !compiled.conditions.is_empty() {
            let both = versions::both(&*self.backend, request, served, &one.seen).await?;
            let inputs = Inputs::new(request, &one.seen, &*self.objects, both);
            match self.conditions_hold(one, &inputs, request) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => {
                    refusals.failed(one.policy, &one.binding.name, &why);
                    return Ok(false);
                }
            }
        }
        let id = one.id();
        if rounds.second && !rounds.policies.wants(&id) {
            return Ok(false);
        }
        let before = request.object.as_deref().cloned();
        let mut touched = false;
        for mutation in &compiled.mutations {
            if request.object.is_none() {
                break;
            }
            match self.mutated(one, mutation, request, served).await {
                Ok(new) => {
                    touched = true;
                    if let Some(object) = request.object.as_deref_mut() {
                        *object = new;
                    }
                }
                Err(Failure::Status(error)) => return Err(error),
                Err(Failure::Policy(why)) => refusals.failed(one.policy, &one.binding.name, &why),
            }
        }
        if before.as_ref() != request.object.as_deref() {
            rounds.policies.require();
            rounds.needed = true;
        }
        if compiled.reinvoked {
            rounds.policies.asked(&id);
        }
        Ok(touched)
    }

    fn conditions_hold(
        &self,
        one: &Invocation<'_>,
        inputs: &Inputs,
        request: &AdmissionRequest<'_>,
    ) -> Result<bool, String> {
        let asks = Asks::new(&self.authorizer, request.user);
        let compiled = &*one.policy.compiled;
        let variables = Variables::new(&compiled.variables, inputs.bindings(one.param.as_deref(), &asks));
        compiled.conditions.hold(&variables.bindings())
    }

    /// The object after one mutation, in the request's version.
    async fn mutated(
        &self,
        one: &Invocation<'_>,
        mutation: &Mutation,
        request: &AdmissionRequest<'_>,
        served: &Served,
    ) -> Result<Value, Failure> {
        let both = versions::both(&*self.backend, request, served, &one.seen).await;
        let inputs = Inputs::new(request, &one.seen, &*self.objects, both.map_err(Failure::Status)?);
        let patched = self.patched(one, mutation, &inputs, request)?;
        let whole = versions::completed(&*self.backend, patched, request, served, &one.seen).await;
        whole.map_err(Failure::Status)
    }

    fn patched(
        &self,
        one: &Invocation<'_>,
        mutation: &Mutation,
        inputs: &Inputs,
        request: &AdmissionRequest<'_>,
    ) -> Result<Value, Failure> {
        let resource = match &one.seen {
            Seen::AsIs => request.resource,
            Seen::As(served) => &served.resource,
        };
        let (group, version, kind) = crate::attributes::kind_of(resource, request.subresource);
        let schema = if (group, version, kind) == crate::attributes::kind_of(resource, "") {
            Some(resource.schema.clone())
        } else {
            self.backend.schema(group, version, kind)
        };
        let Some(schema) = schema else {
            return Err(Failure::Status(ApiError::unavailable(format!(
                "Resource kind {group}/{version}, Kind={kind} not found. There can be a delay between when CustomResourceDefinitions are created and when they are available."
            ))));
        };
        let asks = Asks::new(&self.authorizer, request.user);
        let compiled = &*one.policy.compiled;
        let variables = Variables::new(&compiled.variables, inputs.bindings(one.param.as_deref(), &asks));
        let custom = schema.name().is_none();
        Patched { object: &inputs.object, schema: &schema, custom }.by(mutation, &variables.bindings())
    }
}
