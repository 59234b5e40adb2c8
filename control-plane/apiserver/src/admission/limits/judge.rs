//! Least, most, and how far a limit may be above its request.

use api_model::quantity::Quantity;
use serde_json::Value;

use super::{is_ending, ranges, writes_pod};
use crate::admission::resources::{Amounts, amounts, of_pod};
use crate::admission::{concerns, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, Part, items, text};

/// What is asked for.
struct Asked {
    kind: &'static str,
    requests: Amounts,
    limits: Amounts,
}

/// Judges a new pod, a pod that is resized, or a claim.
pub(crate) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    let pod = writes_pod(request);
    let claim = matches!(request.operation, Operation::Create | Operation::Update)
        && concerns(request, "", "persistentvolumeclaims", "");
    let Some(object) = request.object.as_deref().filter(|_| (pod || claim) && !is_ending(request)) else {
        return Ok(());
    };
    for range in ranges(request, objects) {
        let mut wrong = Vec::new();
        for limit in items(&range, "/spec/limits") {
            let asked = match (text(limit, "/type"), pod) {
                ("Container", true) => of_containers(object),
                ("Pod", true) => vec![Asked {
                    kind: "Pod",
                    requests: of_pod(object, "requests"),
                    limits: of_pod(object, "limits"),
                }],
                ("PersistentVolumeClaim", false) => vec![of_claim(object)],
                _ => continue,
            };
            asked.iter().for_each(|asked| judge(limit, asked, &mut wrong));
        }
        if let Some(why) = aggregated(wrong) {
            return Err(forbid(request, &why));
        }
    }
    Ok(())
}

/// One text of several, each said once.
fn aggregated(texts: Vec<String>) -> Option<String> {
    let mut once: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    match once.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

fn of_containers(pod: &Value) -> Vec<Asked> {
    let of = |container: &Value| Asked {
        kind: "Container",
        requests: amounts(container.part("/resources/requests")),
        limits: amounts(container.part("/resources/limits")),
    };
    ["/spec/containers", "/spec/initContainers"]
        .into_iter()
        .flat_map(|list| items(pod, list))
        .map(of)
        .collect()
}

fn of_claim(claim: &Value) -> Asked {
    let requests = amounts(claim.part("/spec/resources/requests"));
    Asked { kind: "PersistentVolumeClaim", requests, limits: Amounts::new() }
}

fn judge(limit: &Value, asked: &Asked, wrong: &mut Vec<String>) {
    for (name, least) in amounts(limit.get("min")) {
        wrong.extend(below(&name, &least, asked));
    }
    for (name, most) in amounts(limit.get("max")) {
        wrong.extend(above(&name, &most, asked));
    }
    // Claims have no limits, so nothing is above anything.
    if asked.kind != "PersistentVolumeClaim" {
        for (name, ratio) in amounts(limit.get("maxLimitRequestRatio")) {
            wrong.extend(apart(&name, &ratio, asked));
        }
    }
}

fn below(name: &str, least: &Quantity, asked: &Asked) -> Option<String> {
    let start = format!("minimum {name} usage per {} is {least}", asked.kind);
    match (asked.requests.get(name), asked.limits.get(name)) {
        (None, _) => Some(format!("{start}.  No request is specified")),
        (Some(have), _) if have < least => Some(format!("{start}, but request is {have}")),
        (_, Some(have)) if have < least => Some(format!("{start}, but limit is {have}")),
        _ => None,
    }
}

fn above(name: &str, most: &Quantity, asked: &Asked) -> Option<String> {
    let start = format!("maximum {name} usage per {} is {most}", asked.kind);
    if asked.kind == "PersistentVolumeClaim" {
        return match asked.requests.get(name) {
            None => Some(format!("{start}.  No request is specified")),
            Some(have) if have > most => Some(format!("{start}, but request is {have}")),
            Some(_) => None,
        };
    }
    match (asked.limits.get(name), asked.requests.get(name)) {
        (None, _) => Some(format!("{start}.  No limit is specified")),
        (Some(have), _) if have > most => Some(format!("{start}, but limit is {have}")),
        (_, Some(have)) if have > most => Some(format!("{start}, but request is {have}")),
        _ => None,
    }
}

fn apart(name: &str, most: &Quantity, asked: &Asked) -> Option<String> {
    let start = format!("{name} max limit to request ratio per {} is {most}", asked.kind);
    let stated =
        |amounts: &Amounts| amounts.get(name).filter(|amount| !amount.is_zero()).map(Quantity::as_f64);
    let Some(request) = stated(&asked.requests) else {
        return Some(format!("{start}, but no request is specified or request is 0"));
    };
    let Some(limit) = stated(&asked.limits) else {
        return Some(format!("{start}, but no limit is specified or limit is 0"));
    };
    let ratio = limit / request;
    (ratio > most.as_f64()).then(|| format!("{start}, but provided ratio is {ratio:.6}"))
}
