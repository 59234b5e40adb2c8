//! DefaultStorageClass and DefaultIngressClass.

use std::sync::Arc;

use serde_json::{Value, json};

use super::creates;
use super::derived::Derived;
use crate::attributes::{AdmissionRequest, Objects, text};

const STORAGE: (&str, &str) = ("storage.k8s.io", "storageclasses");
const INGRESS: (&str, &str) = ("networking.k8s.io", "ingressclasses");

/// The default classes there are.
pub(super) struct Classes {
    storage: Derived<Option<String>>,
    ingress: Derived<Option<String>>,
}

impl Default for Classes {
    fn default() -> Self {
        Self { storage: Derived::new(&[STORAGE]), ingress: Derived::new(&[INGRESS]) }
    }
}

/// The newest class that says it is the default; of two as old, the first by name.
fn default_class(classes: &[Arc<Value>], annotations: &[&str]) -> Option<String> {
    let is_default = |class: &&Arc<Value>| {
        annotations.iter().any(|annotation| {
            let all = class.pointer("/metadata/annotations");
            all.and_then(|all| all.get(annotation)).and_then(Value::as_str) == Some("true")
        })
    };
    let mut found: Vec<&Arc<Value>> = classes.iter().filter(is_default).collect();
    found.sort_by(|left, right| {
        let at = |class: &Value| text(class, "/metadata/creationTimestamp").to_owned();
        let name = |class: &Value| text(class, "/metadata/name").to_owned();
        at(right).cmp(&at(left)).then_with(|| name(left).cmp(&name(right)))
    });
    found.first().map(|class| text(class, "/metadata/name").to_owned())
}

impl Classes {
    /// Gives a claim or an ingress that names no class the default one.
    pub fn set(&self, request: &mut AdmissionRequest<'_>, objects: &dyn Objects) {
        if creates(request, "", "persistentvolumeclaims") {
            let annotations = [
                "storageclass.kubernetes.io/is-default-class",
                "storageclass.beta.kubernetes.io/is-default-class",
            ];
            let class = self
                .storage
                .get(objects, || default_class(&objects.list(STORAGE.0, STORAGE.1, None), &annotations));
            name(request, "storageClassName", "volume.beta.kubernetes.io/storage-class", class.as_deref());
        } else if creates(request, "networking.k8s.io", "ingresses") {
            let annotations = ["ingressclass.kubernetes.io/is-default-class"];
            let class = self
                .ingress
                .get(objects, || default_class(&objects.list(INGRESS.0, INGRESS.1, None), &annotations));
            name(request, "ingressClassName", "kubernetes.io/ingress.class", class.as_deref());
        }
    }
}

fn name(request: &mut AdmissionRequest<'_>, field: &str, annotation: &str, class: Option<&str>) {
    let (Some(object), Some(class)) = (request.object.as_deref_mut(), class) else { return };
    let annotated = object.pointer("/metadata/annotations").is_some_and(|all| all.get(annotation).is_some());
    let stated = object["spec"].get(field).is_some_and(|class| !class.is_null());
    if !annotated && !stated {
        object["spec"][field] = json!(class);
    }
}
