//! The objects a binding gives its policy as parameters.

use std::sync::Arc;

use api_model::selector::LabelSelector;
use serde_json::Value;

use super::bound::{Binding, Policy};
use crate::admission::matching::namespace_of;
use crate::admission::{Backend, labels};
use crate::attributes::{AdmissionRequest, Objects, text};

/// Why there are none to be had.
pub(super) enum Wrong {
    /// The policy asks for what is not served.
    Policy(String),
    /// The binding does not fit the policy or the request.
    Binding(String),
}

/// The parameters to judge with, one after the other; one that is none when the policy takes none or the binding gives none. An
/// empty list: the binding has nothing to say about the request.
pub(super) fn collect<C>(
    policy: &Policy<C>,
    binding: &Binding,
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
    backend: &dyn Backend,
) -> Result<Vec<Option<Arc<Value>>>, Wrong> {
    let Some((group, version, kind)) = &policy.param_kind else { return Ok(vec![None]) };
    let Some(served) = backend.by_kind(group, version, kind) else {
        let why =
            format!("failed to find resource referenced by paramKind: '{group}/{version}, Kind={kind}'");
        return Err(Wrong::Policy(why));
    };
    let Some(wanted) = &binding.param else { return Ok(vec![None]) };
    let stated = text(wanted, "/namespace");
    let namespace = match (served.resource.namespaced, stated, namespace_of(request)) {
        (true, "", "") => {
            let why =
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(Wrong::Binding(why.to_owned()));
        }
        (true, "", own) => own,
        (true, stated, _) => stated,
        (false, "", _) => "",
        (false, ..) => {
            let why = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
            return Err(Wrong::Binding(why.to_owned()));
        }
    };
    let plural = &served.resource.plural;
    let name = text(wanted, "/name");
    let found: Vec<Arc<Value>> = match (name.is_empty(), wanted.get("selector").filter(|one| one.is_object()))
    {
        (false, _) => objects.get(group, plural, namespace, name).into_iter().collect(),
        (true, Some(selector)) => {
            let selector = LabelSelector::from_object(Some(selector))
                .map_err(|error| Wrong::Binding(error.to_string()))?;
            let all = objects.list(group, plural, Some(namespace).filter(|one| !one.is_empty()));
            all.into_iter().filter(|one| selector.matches(labels(one))).collect()
        }
        (true, None) => return Err(Wrong::Binding("one of name or selector must be provided".to_owned())),
    };
    if found.is_empty() && text(wanted, "/parameterNotFoundAction") == "Deny" {
        let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
        return Err(Wrong::Binding(why.to_owned()));
    }
    let versioned = |param: Arc<Value>| {
        if served.is_storage_version() { param } else { Arc::new(served.from_storage((*param).clone())) }
    };
    Ok(found.into_iter().map(|param| Some(versioned(param))).collect())
}
