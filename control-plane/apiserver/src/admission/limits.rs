//! LimitRanger: defaults, least and most of what containers, pods and claims may ask for in a namespace.

use std::sync::Arc;

use api_model::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::{concerns, containers, each_container, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text};

fn ranges(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Vec<Arc<Value>> {
    if request.namespace.is_empty() {
        return Vec::new();
    }
    objects.list("", "limitranges", Some(request.namespace))
}

/// Every limit of a type in the namespace.
fn limits<'a>(ranges: &'a [Arc<Value>], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    ranges
        .iter()
        .flat_map(|range| items(range, "/spec/limits"))
        .filter(move |limit| text(limit, "/type") == kind)
}

/// Fills in what containers do not say.
pub(super) fn default(request: &mut AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    let ranges = ranges(request, objects);
    let mut wanted: [(&str, Map<String, Value>); 2] = [("limits", Map::new()), ("requests", Map::new())];
    for limit in limits(&ranges, "Container") {
        for ((_, into), field) in wanted.iter_mut().zip(["default", "defaultRequest"]) {
            for (name, value) in limit.get(field).and_then(Value::as_object).into_iter().flatten() {
                into.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    if wanted.iter().all(|(_, values)| values.is_empty()) {
        return Ok(());
    }
    let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
    each_container(pod, |container| {
        for (field, values) in &wanted {
            for (name, value) in values {
                let path = format!("/resources/{field}/{}", name.replace('~', "~0").replace('/', "~1"));
                if container.pointer(&path).is_none() {
                    if !container["resources"][*field].is_object() {
                        container["resources"][*field] = json!({});
                    }
                    container["resources"][*field][name.as_str()] = value.clone();
                }
            }
        }
    });
    Ok(())
}

fn quantity(value: Option<&Value>) -> Option<Quantity> {
    match value? {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// What is asked for of one resource.
struct Asked {
    request: Option<Quantity>,
    limit: Option<Quantity>,
}

/// Judges a new pod or claim.
pub(super) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    let Some(object) = request.object.as_deref() else { return Ok(()) };
    let pod = request.operation == Operation::Create && concerns(request, "", "pods", "");
    let claim = matches!(request.operation, Operation::Create | Operation::Update)
        && concerns(request, "", "persistentvolumeclaims", "");
    if !pod && !claim {
        return Ok(());
    }
    let ranges = ranges(request, objects);
    let mut wrong = Vec::new();
    if pod {
        for container in containers(object) {
            let asked = |name: &str| Asked {
                request: quantity(container.pointer("/resources/requests").and_then(|all| all.get(name))),
                limit: quantity(container.pointer("/resources/limits").and_then(|all| all.get(name))),
            };
            limits(&ranges, "Container").for_each(|limit| judge(limit, "Container", &asked, &mut wrong));
        }
        let asked = |name: &str| total(object, name);
        limits(&ranges, "Pod").for_each(|limit| judge(limit, "Pod", &asked, &mut wrong));
    } else {
        let asked = |name: &str| Asked {
            request: quantity(object.pointer("/spec/resources/requests").and_then(|all| all.get(name))),
            limit: None,
        };
        limits(&ranges, "PersistentVolumeClaim")
            .for_each(|limit| judge(limit, "PersistentVolumeClaim", &asked, &mut wrong));
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(forbid(request, one)),
        many => Err(forbid(request, &format!("[{}]", many.join(", ")))),
    }
}

/// The sum over a pod's containers; none when no container says anything.
fn total(pod: &Value, name: &str) -> Asked {
    let sum = |field: &str| {
        let all = items(pod, "/spec/containers").iter();
        all.filter_map(|one| {
            quantity(one.pointer(&format!("/resources/{field}")).and_then(|all| all.get(name)))
        })
        .reduce(|left, right| left.add(&right))
    };
    Asked { request: sum("requests"), limit: sum("limits") }
}

fn judge(limit: &Value, kind: &str, asked: &dyn Fn(&str) -> Asked, wrong: &mut Vec<String>) {
    let bounds = |field: &str| -> Vec<(String, Quantity)> {
        let all = limit.get(field).and_then(Value::as_object).into_iter().flatten();
        all.filter_map(|(name, value)| Some((name.clone(), quantity(Some(value))?))).collect()
    };
    for (name, least) in bounds("min") {
        let Asked { request, limit } = asked(&name);
        match request {
            None => {
                wrong.push(format!("minimum {name} usage per {kind} is {least}.  No request is specified"))
            }
            Some(have) if have < least => {
                wrong.push(format!("minimum {name} usage per {kind} is {least}, but request is {have}"));
            }
            Some(_) => {}
        }
        if let Some(have) = limit.filter(|have| *have < least) {
            wrong.push(format!("minimum {name} usage per {kind} is {least}, but limit is {have}"));
        }
    }
    for (name, most) in bounds("max") {
        let Asked { request, limit } = asked(&name);
        match limit {
            None if kind != "PersistentVolumeClaim" => {
                wrong.push(format!("maximum {name} usage per {kind} is {most}.  No limit is specified"));
            }
            Some(have) if have > most => {
                wrong.push(format!("maximum {name} usage per {kind} is {most}, but limit is {have}"));
            }
            _ => {}
        }
        if let Some(have) = request.filter(|have| *have > most) {
            wrong.push(format!("maximum {name} usage per {kind} is {most}, but request is {have}"));
        }
    }
    for (name, ratio) in bounds("maxLimitRequestRatio") {
        if let Asked { request: Some(request), limit: Some(have) } = asked(&name)
            && !request.is_zero()
            && have.as_f64() / request.as_f64() > ratio.as_f64()
        {
            let real = have.as_f64() / request.as_f64();
            wrong.push(format!(
                "{name} max limit to request ratio per {kind} is {ratio}, but provided ratio is {real:.6}"
            ));
        }
    }
}
