//! Who writes a policy with parameters must be allowed to read them: policies show what they hold.
//!
//! Judged after everything else about the object, and not for those who may do anything.

use std::sync::Arc;

use api_model::{Cause, FieldPath};
use serde_json::Value;

use super::bound::param_kind;
use super::{BINDINGS, GROUP, POLICIES, mutating};
use crate::admission::Backend;
use crate::attributes::{AdmissionRequest, ApiError, Attributes, Objects, Operation, UserInfo, text};
use crate::authz::{Authorizer, MASTERS};

/// Judges a policy or a binding that is written.
pub(in crate::admission) fn check(
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
    backend: &dyn Backend,
    authorizer: &Authorizer,
) -> Result<(), ApiError> {
    let writes =
        matches!(request.operation, Operation::Create | Operation::Update) && request.subresource.is_empty();
    let Some(object) = request.object.as_deref().filter(|_| writes && request.resource.group == GROUP) else {
        return Ok(());
    };
    if request.user.is_in(MASTERS) {
        return Ok(());
    }
    let spec = &object["spec"];
    let (field, asked) = match request.resource.plural.as_str() {
        POLICIES | mutating::POLICIES => {
            let before = request.old.and_then(|old| old.pointer("/spec/paramKind"));
            if before.is_some_and(|before| *before == spec["paramKind"]) {
                return Ok(());
            }
            ("paramKind", read_all(spec, backend))
        }
        BINDINGS | mutating::BINDINGS => {
            let plural = if request.resource.plural == BINDINGS { POLICIES } else { mutating::POLICIES };
            let policy = objects.get(GROUP, plural, "", text(spec, "/policyName"));
            ("paramRef", read_those(spec, policy.as_deref(), backend))
        }
        _ => return Ok(()),
    };
    let Some(mut asked) = asked else { return Ok(()) };
    asked.user = Arc::new(request.user.clone());
    if authorizer.authorize(&asked).allowed() {
        return Ok(());
    }
    let user = shown(request.user);
    let why = if field == "paramKind" {
        format!(
            "user {user} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
            text(spec, "/paramKind/kind"),
            text(spec, "/paramKind/apiVersion")
        )
    } else {
        // Upstream has these two the wrong way round.
        format!(
            "user {} does not have \"{user}\" permission on the object referenced by paramRef",
            asked.verb
        )
    };
    let cause = Cause::forbidden(&FieldPath::new("spec").child(field), &why);
    Err(ApiError::invalid(GROUP, &request.resource.kind, text(object, "/metadata/name"), &[cause]))
}

/// Group, version and resource of a policy's parameters; `*` for what is not known.
fn place(policy: Option<&Value>, backend: &dyn Backend) -> Attributes {
    let mut asked = Attributes {
        group: "*".to_owned(),
        version: "*".to_owned(),
        resource: "*".to_owned(),
        is_resource: true,
        ..Attributes::default()
    };
    if let Some((group, version, kind)) = policy.and_then(param_kind) {
        if let Some(served) = backend.by_kind(&group, &version, &kind) {
            asked.resource.clone_from(&served.resource.plural);
        }
        (asked.group, asked.version) = (group, version);
    }
    asked
}

fn read_all(spec: &Value, backend: &dyn Backend) -> Option<Attributes> {
    param_kind(spec)?;
    let every = || "*".to_owned();
    Some(Attributes {
        verb: "get".to_owned(),
        name: every(),
        namespace: every(),
        ..place(Some(spec), backend)
    })
}

fn read_those(spec: &Value, policy: Option<&Value>, backend: &dyn Backend) -> Option<Attributes> {
    let wanted = spec.get("paramRef").filter(|wanted| wanted.is_object())?;
    let name = text(wanted, "/name").to_owned();
    let verb = if name.is_empty() { "list" } else { "get" }.to_owned();
    let namespace = text(wanted, "/namespace").to_owned();
    Some(Attributes { verb, name, namespace, ..place(policy.map(|policy| &policy["spec"]), backend) })
}

/// A user as Go shows one.
fn shown(user: &UserInfo) -> String {
    let extra: Vec<String> =
        user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}
