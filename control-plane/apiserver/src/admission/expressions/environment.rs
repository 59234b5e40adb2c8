//! The variables of admission's expressions, with their types.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::{Environment, FieldShape, ObjectType, Shape, Type};
use serde_json::{Value, json};

/// What an expression has besides `object`, `oldObject`, `request` and `namespaceObject`.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::admission) struct Has<'v> {
    pub params: bool,
    pub authorizer: bool,
    /// `Object{…}` and `JSONPatch{…}`.
    pub patches: bool,
    /// The policy's variables, by name, with the types of what they give.
    pub variables: &'v [(String, Type)],
}

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn texts(names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect()
}

/// `AdmissionRequest` as expressions see it.
static REQUEST: LazyLock<Type> = LazyLock::new(|| {
    let list = json!({"type": "array", "items": {"type": "string"}});
    let mut user = texts(&["username", "uid"]);
    user["groups"] = list.clone();
    user["extra"] = json!({"type": "object", "additionalProperties": list});
    let kind = object(texts(&["group", "version", "kind"]));
    let resource = object(texts(&["group", "version", "resource"]));
    let mut fields = texts(&["subResource", "requestSubResource", "name", "namespace", "operation"]);
    for (name, schema) in
        [("kind", &kind), ("requestKind", &kind), ("resource", &resource), ("requestResource", &resource)]
    {
        fields[name] = schema.clone();
    }
    fields["userInfo"] = object(user);
    fields["dryRun"] = json!({"type": "boolean"});
    let name = "kubernetes.AdmissionRequest";
    let Some(Type::Object(known)) =
        Shape::from_schema(&object(fields), false, name).map(|shape| shape.type_of())
    else {
        return Type::Dyn;
    };
    // Words that the language keeps for itself are plain names here.
    let plain = |(name, field): (&String, &FieldShape)| {
        (cel::unescape(name), FieldShape { property: field.property.clone(), shape: field.shape.clone() })
    };
    let mut fields: BTreeMap<String, FieldShape> = known.fields.iter().map(plain).collect();
    fields.insert("options".to_owned(), any("options"));
    Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields, open: false }))
});

/// The parts of a namespace that expressions see.
pub(super) static NAMESPACE: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let mut metadata = texts(&["name", "generateName", "namespace", "uid", "resourceVersion"]);
    for name in ["labels", "annotations"] {
        metadata[name] = strings.clone();
    }
    for name in ["creationTimestamp", "deletionTimestamp"] {
        metadata[name] = json!({"type": "string", "format": "date-time"});
    }
    for name in ["generation", "deletionGracePeriodSeconds"] {
        metadata[name] = json!({"type": "integer"});
    }
    let list = json!({"type": "array", "items": {"type": "string"}});
    metadata["finalizers"] = list.clone();
    let schema = object(json!({
        "metadata": object(metadata),
        "spec": object(json!({"finalizers": list})),
        "status": object(texts(&["phase"])),
    }));
    Shape::from_schema(&schema, false, "kubernetes.Namespace").unwrap_or_else(Shape::any)
});

fn any(property: &str) -> FieldShape {
    FieldShape { property: property.to_owned(), shape: Shape::any() }
}

/// The environment to compile in; objects and parameters are of any kind.
pub(in crate::admission) fn environment(has: Has<'_>) -> Environment {
    let mut environment = Environment::new()
        .variable("object", Type::Dyn)
        .variable("oldObject", Type::Dyn)
        .variable("request", REQUEST.clone())
        .shaped("namespaceObject", NAMESPACE.clone());
    if has.params {
        environment = environment.variable("params", Type::Dyn);
    }
    if has.authorizer {
        environment = environment.authorizer().request_resource();
    }
    if has.patches {
        environment = environment.policy_objects();
    }
    environment.variable("variables", variables(has.variables))
}

/// The type of `variables`.
fn variables(known: &[(String, Type)]) -> Type {
    let field = |(name, ty): &(String, Type)| {
        (name.clone(), FieldShape { property: name.clone(), shape: Shape::given(ty) })
    };
    let fields = known.iter().map(field).collect();
    Type::Object(Arc::new(ObjectType { name: "kubernetes.variables".to_owned(), fields, open: false }))
}
