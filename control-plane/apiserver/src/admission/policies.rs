//! Admission policies in CEL: not evaluated here yet, so what one covers is refused in plain words instead of being let through.

use serde_json::Value;

use super::webhooks::rules_match;
use super::{forbid, labels};
use crate::attributes::{AdmissionRequest, ApiError, Objects, items, text};

const GROUP: &str = "admissionregistration.k8s.io";

pub(super) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    if request.resource.group == GROUP {
        return Ok(());
    }
    for (bindings, policies) in [
        ("validatingadmissionpolicybindings", "validatingadmissionpolicies"),
        ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"),
    ] {
        for binding in objects.list(GROUP, bindings, None) {
            let name = text(&binding, "/spec/policyName");
            let Some(policy) = objects.get(GROUP, policies, "", name) else { continue };
            if covers(&policy, &binding, request, objects) {
                let why = format!(
                    "{} \"{name}\" covers this request, and expressions in CEL are not evaluated by this server yet",
                    text(&policy, "/kind")
                );
                return Err(forbid(request, &why));
            }
        }
    }
    Ok(())
}

fn covers(policy: &Value, binding: &Value, request: &AdmissionRequest<'_>, objects: &dyn Objects) -> bool {
    if text(policy, "/spec/failurePolicy") == "Ignore" {
        return false;
    }
    let actions = items(binding, "/spec/validationActions");
    if !actions.is_empty() && !actions.iter().any(|action| action == "Deny") {
        return false;
    }
    let constraints = [policy.pointer("/spec/matchConstraints"), binding.pointer("/spec/matchResources")];
    constraints.into_iter().flatten().filter(|one| !one.is_null()).all(|constraint| {
        let rules = items(constraint, "/resourceRules");
        (rules.is_empty() || rules_match(rules, request))
            && !rules_match(items(constraint, "/excludeResourceRules"), request)
            && super::webhooks::selected(constraint, request, objects, labels)
    })
}
