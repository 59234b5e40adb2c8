//! Writes through `resize` and `ephemeralcontainers`.

use super::{annotations, metadata_and_spec};
use crate::quantity::Quantity;
use crate::validation::place::Place;
use crate::validation::report::Report;
use crate::validation::same::same;
use serde_json::Value;

/// A pod with more ephemeral containers: those it has stay as they are.
pub(in crate::validation) fn ephemeral_containers(new: &Place, old: &Place, report: &mut Report) {
    if annotations::is_mirror(old) {
        return report.forbidden(&new.field(""), "static pods do not support ephemeral containers");
    }
    metadata_and_spec(new, report);
    let spec = new.field("spec");
    let at = spec.field("ephemeralContainers");
    let had = old.field("spec");
    for container in had.field("ephemeralContainers").items() {
        let name = container.text("name");
        let now = at.list().iter().find(|one| one.get("name").and_then(Value::as_str) == Some(name));
        let shown = crate::cause::quoted(name);
        match now {
            None => {
                report.forbidden(&at, &format!("existing ephemeral containers {shown} may not be removed\n"))
            }
            Some(now) if !same(now, container.value()) => {
                let change = format!("- \t{},\n+ \t{now},\n", container.value());
                report.forbidden(
                    &at,
                    &format!("existing ephemeral containers {shown} may not be changed\n{change}"),
                );
            }
            Some(_) => {}
        }
    }
}

/// A pod whose containers get other resources while they run.
pub(in crate::validation) fn resize(new: &Place, old: &Place, report: &mut Report) {
    metadata_and_spec(new, report);
    let (spec, had) = (new.field("spec"), old.field("spec"));
    let whole = |spec: &Place| {
        let own = spec.field("resources");
        !own.field("requests").is_empty() || !own.field("limits").is_empty()
    };
    let refusal = if whole(&spec) || whole(&had) {
        Some("pods with pod-level resources cannot be resized")
    } else if annotations::is_mirror(old) {
        Some("static pods cannot be resized")
    } else if had.field("os").text("name") == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        report.causes.clear();
        return report.forbidden(&new.field(""), refusal);
    }
    if quality(&spec) != quality(&had) {
        let class = new.field("status").text("qosClass");
        report.invalid_as(&spec, class, "Pod QOS Class may not change as a result of resizing");
    }
    for list in ["initContainers", "containers"] {
        let now = spec.field(list);
        for (now, had) in now.items().zip(had.field(list).items()) {
            let sidecar = had.text("restartPolicy") == "Always";
            if list == "containers" || sidecar {
                container(&now, &had, report);
            }
            if list == "initContainers" && !sidecar && !same(now.value(), had.value()) {
                report.forbidden(&spec, "resources for non-sidecar init containers are immutable");
            } else if !same(&without_compute(now.value()), &without_compute(had.value())) {
                let detail = if list == "containers" {
                    "only cpu and memory resources are mutable"
                } else {
                    "only cpu and memory resources for sidecar containers are mutable"
                };
                report.forbidden(&spec, detail);
            }
        }
    }
}

fn container(now: &Place, had: &Place, report: &mut Report) {
    let (at, old) = (now.field("resources"), had.field("resources"));
    for (field, detail) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        let list = at.field(field);
        if old.field(field).entries().any(|(name, _)| list.value().get(name).is_none()) {
            report.forbidden(&list, detail);
        }
    }
    let policies = now.field("resizePolicy");
    let memory = policies
        .items()
        .find(|policy| policy.text("resourceName") == "memory")
        .map(|p| p.text("restartPolicy"));
    if memory == Some("RestartContainer") {
        return;
    }
    let limits = at.field("limits");
    let limit = limits.key("memory");
    let before = old.field("limits").key("memory").as_quantity();
    match (limit.as_quantity(), before) {
        (Some(now), Some(before)) if now.cmp(&before).is_lt() => {
            report.forbidden(
                &limit,
                "memory limits cannot be decreased unless resizePolicy is RestartContainer",
            );
        }
        (Some(_), None) => {
            report.forbidden(&limit, "memory limits cannot be added unless resizePolicy is RestartContainer");
        }
        _ => {}
    }
}

/// The container without its processors and memory; how it is resized is part of the write.
fn without_compute(container: &Value) -> Value {
    let mut left = container.clone();
    for list in ["requests", "limits"] {
        if let Some(Value::Object(amounts)) = left.pointer_mut(&format!("/resources/{list}")) {
            amounts.remove("cpu");
            amounts.remove("memory");
        }
    }
    if let Some(map) = left.as_object_mut() {
        map.remove("resizePolicy");
    }
    left
}

/// `BestEffort`, `Burstable` or `Guaranteed`, from the containers alone.
fn quality(spec: &Place) -> &'static str {
    let (mut any, mut guaranteed, mut count) = (false, true, 0);
    for list in ["containers", "initContainers"] {
        for container in spec.field(list).items() {
            count += 1;
            let own = container.field("resources");
            for name in ["cpu", "memory"] {
                let amount = |list: &'static str| -> Option<Quantity> {
                    own.field(list).key(name).as_quantity().filter(|quantity| !quantity.is_zero())
                };
                let (limit, request) = (amount("limits"), amount("requests"));
                any |= limit.is_some() || request.is_some();
                guaranteed &= match (&limit, &request) {
                    (Some(limit), Some(request)) => limit.cmp(request).is_eq(),
                    (Some(_), None) => true,
                    _ => false,
                };
            }
        }
    }
    match (any, guaranteed && count > 0) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
