//! Rules of resource names and amounts.

use super::names;
use super::place::Place;
use super::report::{NEGATIVE, NOT_POSITIVE, Report};
use crate::quantity::Quantity;

/// A native resource: without domain, or with one of Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

pub(super) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// A resource of a device, counted in whole units: `vendor.example/gpu`.
pub(super) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// May a container ask for less than its limit?
pub(super) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

fn is_container_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)
}

/// Resources that quotas count.
pub(super) fn is_quota_resource(name: &str) -> bool {
    matches!(
        name,
        "cpu"
            | "memory"
            | "ephemeral-storage"
            | "requests.cpu"
            | "requests.memory"
            | "requests.storage"
            | "requests.ephemeral-storage"
            | "limits.cpu"
            | "limits.memory"
            | "limits.ephemeral-storage"
            | "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "persistentvolumeclaims"
            | "configmaps"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || is_huge_page(name)
        || name.starts_with("requests.hugepages-")
}

fn is_standard(name: &str) -> bool {
    is_quota_resource(name) || name == "storage"
}

fn is_whole(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "services"
            | "replicationcontrollers"
            | "resourcequotas"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || is_extended(name)
}

/// The name of any resource, reported at its key.
pub(super) fn resource_name(at: &Place, name: &str, report: &mut Report) -> bool {
    let problems = names::qualified_name(name);
    let fits = problems.is_empty();
    report.problems_of(at, name, problems);
    if fits && !name.contains('/') && !is_standard(name) {
        report.invalid_as(at, name, "must be a standard resource type or fully qualified");
        return false;
    }
    fits
}

/// The name of a resource that a container asks for.
pub(super) fn container_resource_name(at: &Place, name: &str, report: &mut Report) {
    resource_name(at, name, report);
    if !name.contains('/') {
        if !is_container_resource(name) {
            report.invalid_as(at, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        report.invalid_as(at, name, "doesn't follow extended resource name standard");
    }
}

/// The name of a resource that a whole pod asks for.
pub(super) fn pod_resource_name(at: &Place, name: &str, report: &mut Report) {
    if resource_name(at, name, report) && !matches!(name, "cpu" | "memory") && !is_huge_page(name) {
        report.unsupported_as(at, name, &["cpu", "hugepages-", "memory"]);
    }
}

/// The name of a resource that a quota counts.
pub(super) fn quota_resource_name(at: &Place, name: &str, report: &mut Report) {
    resource_name(at, name, report);
    if !name.contains('/') && !is_quota_resource(name) && !name.starts_with("count/") {
        report.invalid_as(at, name, "must be a standard resource for quota");
    }
}

/// An amount of a resource: not negative, and whole where parts make no sense.
pub(super) fn amount(at: &Place, name: &str, report: &mut Report) {
    let Some(quantity) = at.as_quantity() else { return };
    not_negative(at, &quantity, report);
    if is_whole(name) && !is_integer(&quantity) {
        report.invalid_as(at, quantity.canonical(), "must be an integer");
    }
}

fn is_integer(quantity: &Quantity) -> bool {
    quantity.cmp(&Quantity::from_int(quantity.value())).is_eq()
}

pub(super) fn not_negative(at: &Place, quantity: &Quantity, report: &mut Report) {
    if quantity.sign() < 0 {
        report.invalid_as(at, quantity.canonical(), NEGATIVE);
    }
}

/// An amount above zero; says whether it is.
pub(super) fn positive(at: &Place, report: &mut Report) -> bool {
    let quantity = at.as_quantity().unwrap_or(Quantity::ZERO);
    if quantity.sign() <= 0 {
        report.invalid_as(at, quantity.canonical(), NOT_POSITIVE);
        return false;
    }
    true
}

/// A number of bytes that is not negative, as upstream shows it.
pub(super) fn basic(at: &Place, report: &mut Report) {
    if let Some(quantity) = at.as_quantity().filter(|q| q.value() < 0) {
        report.invalid_as(at, quantity.value(), "must be a valid resource quantity");
    }
}

/// What asks for resources.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Container,
    Pod,
}

/// `limits` and `requests`, and what they have to do with one another.
pub(super) fn requirements(at: &Place, asks: Asks, report: &mut Report) {
    let (limits, requests) = (at.field("limits"), at.field("requests"));
    let (mut computes, mut huge) = (false, false);
    for (list, is_request) in [(limits, false), (requests, true)] {
        for (name, entry) in list.entries() {
            match asks {
                Asks::Container => container_resource_name(&entry, name, report),
                Asks::Pod => pod_resource_name(&entry, name, report),
            }
            amount(&entry, name, report);
            if is_request {
                within_limit(name, &entry, &requests, &limits, report);
            }
            if is_huge_page(name) {
                huge = true;
                huge_pages(name, &entry, report);
            }
            computes |= matches!(name, "cpu" | "memory");
        }
    }
    if huge && !computes {
        report.forbidden(at, "HugePages require cpu or memory");
    }
}

fn within_limit(name: &str, request: &Place, requests: &Place, limits: &Place, report: &mut Report) {
    let Some(asked) = request.as_quantity() else { return };
    let limit = limits.value().get(name).and_then(|limit| limits.with(limit).as_quantity());
    match limit {
        Some(limit) if !may_overcommit(name) && asked.cmp(&limit).is_ne() => {
            let detail = format!("must be equal to {name} limit of {}", limit.canonical());
            report.invalid_as(requests, asked.canonical(), &detail);
        }
        Some(limit) if asked.cmp(&limit).is_gt() => {
            let detail = format!("must be less than or equal to {name} limit of {}", limit.canonical());
            report.invalid_as(requests, asked.canonical(), &detail);
        }
        Some(_) => {}
        None if !may_overcommit(name) => {
            report.required(limits, "Limit must be set for non overcommitable resources")
        }
        None => {}
    }
}

fn huge_pages(name: &str, at: &Place, report: &mut Report) {
    let Some(quantity) = at.as_quantity() else { return };
    let size = name
        .strip_prefix("hugepages-")
        .and_then(|size| Quantity::parse(size).ok())
        .map_or(0, |size| size.value());
    let value = quantity.value();
    if value <= 0 || size <= 0 || value % size != 0 {
        let shown = quantity.canonical();
        report.invalid_as(at, shown.as_str(), &format!("{shown} is not positive integer multiple of {name}"));
    }
}
