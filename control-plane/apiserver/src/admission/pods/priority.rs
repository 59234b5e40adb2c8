//! Priority: the number behind the class's name, and whether the pod may push others out.

use serde_json::{Value, json};

use crate::admission::derived::Derived;
use crate::admission::{concerns, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, Part, text};

const CLASSES: (&str, &str) = ("scheduling.k8s.io", "priorityclasses");

/// What a class stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    name: String,
    value: i64,
    policy: String,
}

/// The plugin, with the class that pods without one get.
pub(crate) struct Priorities {
    default: Derived<Option<Class>>,
}

impl Default for Priorities {
    fn default() -> Self {
        Self { default: Derived::new(&[CLASSES]) }
    }
}

fn is_global_default(class: &Value) -> bool {
    class.get("globalDefault").and_then(Value::as_bool).unwrap_or(false)
}

fn class_of(class: &Value) -> Class {
    let policy = text(class, "/preemptionPolicy");
    Class {
        name: text(class, "/metadata/name").to_owned(),
        value: class["value"].as_i64().unwrap_or(0),
        policy: if policy.is_empty() { "PreemptLowerPriority" } else { policy }.to_owned(),
    }
}

impl Priorities {
    /// Sets a pod's priority.
    pub fn set(&self, request: &mut AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
        if !concerns(request, "", "pods", "") {
            return Ok(());
        }
        if request.operation == Operation::Update {
            keep(request);
            return Ok(());
        }
        let Some(pod) = request.object.as_deref().filter(|_| request.operation == Operation::Create) else {
            return Ok(());
        };
        let class = self.class(request, pod, objects)?;
        let given = pod.part("/spec/priority").and_then(Value::as_i64);
        if let Some(given) = given.filter(|given| *given != class.value) {
            let why = format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                class.value
            );
            return Err(forbid(request, &why));
        }
        let given = text(pod, "/spec/preemptionPolicy");
        if !given.is_empty() && given != class.policy {
            let why = format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                class.policy
            );
            return Err(forbid(request, &why));
        }
        let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
        if !class.name.is_empty() {
            pod["spec"]["priorityClassName"] = json!(class.name);
        }
        pod["spec"]["priority"] = json!(class.value);
        pod["spec"]["preemptionPolicy"] = json!(class.policy);
        Ok(())
    }

    fn class(
        &self,
        request: &AdmissionRequest<'_>,
        pod: &Value,
        objects: &dyn Objects,
    ) -> Result<Class, ApiError> {
        let name = text(pod, "/spec/priorityClassName");
        let (group, plural) = CLASSES;
        if !name.is_empty() {
            let found = objects.get(group, plural, "", name);
            let missing = || forbid(request, &format!("no PriorityClass with name {name} was found"));
            return found.map(|class| class_of(&class)).ok_or_else(missing);
        }
        let default = self.default.get(objects, || {
            let all = objects.list(group, plural, None);
            let defaults = all.iter().filter(|class| is_global_default(class)).map(|class| class_of(class));
            defaults.min_by_key(|class| class.value)
        });
        let none = || Class { name: String::new(), value: 0, policy: "PreemptLowerPriority".to_owned() };
        Ok(default.as_ref().clone().unwrap_or_else(none))
    }

    /// Only one class may be the default.
    pub fn check(&self, request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
        let (group, plural) = CLASSES;
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let Some(class) =
            request.object.as_deref().filter(|_| writes && concerns(request, group, plural, ""))
        else {
            return Ok(());
        };
        if !is_global_default(class) {
            return Ok(());
        }
        let name = text(class, "/metadata/name");
        let all = objects.list(group, plural, None);
        let others =
            all.iter().filter(|other| is_global_default(other) && text(other, "/metadata/name") != name);
        match others.min_by_key(|other| other["value"].as_i64()) {
            None => Ok(()),
            Some(other) => {
                let why = format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    text(other, "/metadata/name")
                );
                Err(forbid(request, &why))
            }
        }
    }
}

/// A change that does not mention the priority leaves it.
fn keep(request: &mut AdmissionRequest<'_>) {
    let old = request.old.and_then(|old| old.part("/spec/priority")).cloned();
    let (Some(pod), Some(old)) = (request.object.as_deref_mut(), old) else { return };
    if pod["spec"].is_object() && pod.part("/spec/priority").is_none_or(Value::is_null) {
        pod["spec"]["priority"] = old;
    }
}
