//! The values of admission's variables.

use cel::{Authorizer, Bindings, Check, Value};
use serde_json::{Map, Value as Json, json};

use super::environment::NAMESPACE;
use crate::admission::matching::{Seen, namespace_of};
use crate::attributes::{AdmissionRequest, Objects, kind_of, text};

/// Everything expressions see of a request, in the version it is seen in.
pub(in crate::admission) struct Inputs {
    pub object: Json,
    pub old: Json,
    request: Json,
    /// Null for what is in no namespace.
    namespace: Json,
    check: Check,
}

static NULL: Json = Json::Null;

impl Inputs {
    pub fn new(
        request: &AdmissionRequest<'_>,
        seen: &Seen,
        objects: &dyn Objects,
        both: (Option<Json>, Option<Json>),
    ) -> Self {
        let resource = request.resource;
        let is_namespace = resource.group.is_empty() && resource.plural == "namespaces";
        let namespace = match request.namespace {
            name if name.is_empty() || is_namespace => None,
            name => objects.get("", "namespaces", "", name),
        };
        Self {
            object: both.0.unwrap_or_default(),
            old: both.1.unwrap_or_default(),
            request: described(request, seen),
            namespace: namespace.as_deref().map(reduced).unwrap_or_default(),
            check: Check {
                group: resource.group.clone(),
                resource: Some(resource.plural.clone()),
                subresource: request.subresource.to_owned(),
                namespace: namespace_of(request).to_owned(),
                name: crate::admission::object_name(request).to_owned(),
                ..Check::default()
            },
        }
    }

    /// The same, for expressions without parameters.
    pub fn bound<'a>(&'a self, authorizer: &'a dyn Authorizer) -> Bindings<'a> {
        self.bindings(None, authorizer)
            .into_iter()
            .fold(Bindings::new(), |all, (name, value)| all.with(name, value))
    }

    /// The variables but for those of a policy. `params`: none when there are none to be had.
    pub fn bindings<'a>(
        &'a self,
        params: Option<&'a Json>,
        authorizer: &'a dyn Authorizer,
    ) -> Vec<(&'a str, Value<'a>)> {
        let namespace = match &self.namespace {
            Json::Null => Value::Null,
            namespace => Value::typed(namespace, &NAMESPACE).unwrap_or(Value::Null),
        };
        vec![
            ("object", Value::json(&self.object)),
            ("oldObject", Value::json(&self.old)),
            ("request", Value::json(&self.request)),
            ("namespaceObject", namespace),
            ("params", Value::json(params.unwrap_or(&NULL))),
            ("authorizer", Value::authorizer(authorizer)),
            ("authorizer.requestResource", Value::request_resource(authorizer, self.check.clone())),
        ]
    }
}

fn described(request: &AdmissionRequest<'_>, seen: &Seen) -> Json {
    let as_seen = match seen {
        Seen::AsIs => request.resource,
        Seen::As(served) => &served.resource,
    };
    let kind = |resource: &api_model::Resource| {
        let (group, version, kind) = kind_of(resource, request.subresource);
        json!({"group": group, "version": version, "kind": kind})
    };
    let place = |resource: &api_model::Resource| json!({"group": resource.group, "version": resource.version, "resource": resource.plural});
    let mut described = json!({
        "kind": kind(as_seen),
        "resource": place(as_seen),
        "requestKind": kind(request.resource),
        "requestResource": place(request.resource),
        "operation": request.operation.as_str(),
        "userInfo": request.user.to_value(),
        "dryRun": request.dry_run(),
        "options": request.options.to_value(request.operation),
    });
    let optional = [
        ("name", crate::admission::object_name(request)),
        ("namespace", namespace_of(request)),
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
    ];
    for (field, value) in optional.into_iter().filter(|(_, value)| !value.is_empty()) {
        described[field] = json!(value);
    }
    described
}

/// A namespace without what expressions do not see.
fn reduced(namespace: &Json) -> Json {
    const METADATA: [&str; 12] = [
        "name",
        "generateName",
        "namespace",
        "labels",
        "annotations",
        "uid",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "resourceVersion",
        "finalizers",
    ];
    let picked = |part: &str, fields: &[&str]| -> Map<String, Json> {
        let all = namespace.get(part).and_then(Json::as_object).into_iter().flatten();
        all.filter(|(field, _)| fields.contains(&field.as_str()))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    };
    json!({
        "metadata": picked("metadata", &METADATA),
        "spec": picked("spec", &["finalizers"]),
        "status": {"phase": text(namespace, "/status/phase")},
    })
}
