//! Rules of device classes, of claims to devices and of what nodes have of them.

use super::metadata;
use super::names;
use super::place::Place;
use super::pod::volume_sources::csi_driver_name;
use super::report::{NOT_POSITIVE, Report};
use super::selectors;
use base64::Engine;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a claim or a class may hold.
const REQUESTS_MAX: usize = 32;
const SELECTORS_MAX: usize = 32;
const CONSTRAINTS_MAX: usize = 32;
const CONFIGS_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const TOLERATIONS_MAX: usize = 16;
const EXPRESSION_MAX: usize = 10 * 1024;
const PARAMETERS_MAX: usize = 10 * 1024;
const USERS_MAX: usize = 256;
/// What a slice may hold.
const DEVICES_MAX: usize = 128;
const PROPERTIES_MAX: usize = 32;
const TEXT_MAX: usize = 64;
const POOL_MAX: usize = 253;
const DOMAIN_MAX: usize = 63;
const IDENTIFIER_MAX: usize = 32;

/// A class of devices.
pub(super) fn class(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    device_selectors(&spec.field("selectors"), report);
    let configs = spec.field("config");
    if configs.len() > CONFIGS_MAX {
        report.too_many(&configs, CONFIGS_MAX);
    }
    for config in configs.items() {
        configuration(&config, report);
    }
    let resource = spec.field("extendedResourceName");
    if resource.is_set() && !super::resources::is_extended(resource.as_text()) {
        report.invalid(&resource, "must be a valid extended resource name");
    }
}

fn device_selectors(at: &Place, report: &mut Report) {
    if at.len() > SELECTORS_MAX {
        report.too_many(at, SELECTORS_MAX);
    }
    for selector in at.items() {
        let cel = selector.field("cel");
        if !cel.is_set() {
            report.required(&cel, "");
            continue;
        }
        let expression = cel.field("expression");
        if expression.len() > EXPRESSION_MAX {
            report.too_long(&expression, EXPRESSION_MAX);
        } else if expression.as_text().trim().is_empty() {
            report.required(&expression, "");
        }
    }
}

fn configuration(at: &Place, report: &mut Report) {
    let opaque = at.field("opaque");
    if !opaque.is_set() {
        return report.required(&opaque, "");
    }
    csi_driver_name(&opaque.field("driver"), report);
    let parameters = opaque.field("parameters");
    match parameters.value() {
        Value::Null => report.required(&parameters, ""),
        Value::Object(_) => {
            if parameters.value().to_string().len() > PARAMETERS_MAX {
                report.too_long(&parameters, PARAMETERS_MAX);
            }
        }
        Value::String(text) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            if serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes).is_err() {
                report.invalid_as(&parameters, "<value omitted>", "must be a valid JSON object");
            }
        }
        _ => report.invalid_as(&parameters, "<value omitted>", "must be a valid JSON object"),
    }
}

/// A claim to devices.
pub(super) fn claim(object: &Place, report: &mut Report) {
    claim_spec(&object.field("spec"), report);
}

/// What claims are made of.
pub(super) fn claim_template(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    metadata::template(&spec.field("metadata"), report);
    claim_spec(&spec.field("spec"), report);
}

/// A claim is as it was made; so is a template.
pub(super) fn claim_changes(new: &Place, old: &Place, report: &mut Report) {
    report.immutable(&new.field("spec"), &old.field("spec"));
}

fn claim_spec(at: &Place, report: &mut Report) {
    let devices = at.field("devices");
    let requests = devices.field("requests");
    if requests.len() > REQUESTS_MAX {
        report.too_many(&requests, REQUESTS_MAX);
    }
    let mut known: BTreeSet<String> = BTreeSet::new();
    for request in requests.items() {
        let name = request.field("name");
        report.named(&name, names::dns1123_label);
        if !known.insert(name.as_text().to_owned()) {
            report.duplicate(&name);
        }
        one_request(&request, report);
        let alternatives = request.field("firstAvailable");
        for alternative in alternatives.items() {
            known.insert(format!("{}/{}", name.as_text(), alternative.text("name")));
        }
    }
    let constraints = devices.field("constraints");
    if constraints.len() > CONSTRAINTS_MAX {
        report.too_many(&constraints, CONSTRAINTS_MAX);
    }
    for constraint in constraints.items() {
        names_of_requests(&constraint.field("requests"), &known, report);
        let (attribute, distinct) =
            (constraint.field("matchAttribute"), constraint.field("distinctAttribute"));
        if !attribute.is_set() && !distinct.is_set() {
            report.required(&attribute, "");
        }
        if attribute.is_set() {
            full_name(&attribute, report);
        }
        if distinct.is_set() {
            full_name(&distinct, report);
        }
    }
    let configs = devices.field("config");
    if configs.len() > CONFIGS_MAX {
        report.too_many(&configs, CONFIGS_MAX);
    }
    for config in configs.items() {
        names_of_requests(&config.field("requests"), &known, report);
        configuration(&config, report);
    }
}

fn names_of_requests(at: &Place, known: &BTreeSet<String>, report: &mut Report) {
    if at.len() > REQUESTS_MAX {
        report.too_many(at, REQUESTS_MAX);
    }
    let mut seen = BTreeSet::new();
    for name in at.items() {
        if !known.contains(name.as_text()) {
            let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
            report.invalid(&name, detail);
        }
        if !seen.insert(name.as_text()) {
            report.duplicate(&name);
        }
    }
}

fn one_request(at: &Place, report: &mut Report) {
    let (exactly, first) = (at.field("exactly"), at.field("firstAvailable"));
    match (exactly.is_set(), !first.is_empty()) {
        (true, true) => {
            report.invalid_unshown(
                at,
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
            );
        }
        (false, false) => report.required(at, "exactly one of `exactly` or `firstAvailable` is required"),
        (true, false) => asked(&exactly, report),
        (false, true) => {
            if first.len() > ALTERNATIVES_MAX {
                report.too_many(&first, ALTERNATIVES_MAX);
            }
            let mut seen = BTreeSet::new();
            for alternative in first.items() {
                let name = alternative.field("name");
                report.named(&name, names::dns1123_label);
                if !seen.insert(name.as_text()) {
                    report.duplicate(&name);
                }
                asked(&alternative, report);
            }
        }
    }
}

/// So many devices of a class.
fn asked(at: &Place, report: &mut Report) {
    report.named(&at.field("deviceClassName"), names::dns1123_subdomain);
    device_selectors(&at.field("selectors"), report);
    let (mode, count) = (at.field("allocationMode"), at.field("count"));
    match mode.as_text() {
        "All" => {
            if count.as_number().unwrap_or(0) != 0 {
                report.invalid(&count, "must not be specified when allocationMode is 'All'");
            }
        }
        "ExactCount" => {
            if count.as_number().unwrap_or(0) <= 0 {
                report.invalid_number(&count, NOT_POSITIVE);
            }
        }
        _ => report.unsupported(&mode, &["All", "ExactCount"]),
    }
    let tolerations = at.field("tolerations");
    if tolerations.len() > TOLERATIONS_MAX {
        report.too_many(&tolerations, TOLERATIONS_MAX);
    }
    for toleration in tolerations.items() {
        toleration_of(&toleration, report);
    }
}

fn toleration_of(at: &Place, report: &mut Report) {
    let (key, operator, value) = (at.field("key"), at.field("operator"), at.field("value"));
    if !key.is_empty() {
        selectors::label_name(&key, report);
    }
    match operator.as_text() {
        "Exists" => {
            if !value.is_empty() {
                report.invalid(&value, "must be empty for operator `Exists`");
            }
        }
        "Equal" => {
            report.problems(&value, names::label_value(value.as_text()));
            if key.is_empty() {
                report.invalid_text(&operator, "must be `Exists` when `key` is empty");
            }
        }
        "" => report.required(&operator, ""),
        _ => report.unsupported(&operator, &["Equal", "Exists"]),
    }
    let effect = at.field("effect");
    if !effect.is_empty() {
        report.optional_of(&effect, &["NoExecute", "NoSchedule"]);
    }
}

/// What may be written to a claim's status.
pub(super) fn claim_status(new: &Place, old: &Place, report: &mut Report) {
    let (status, had) = (new.field("status"), old.field("status"));
    let users = status.field("reservedFor");
    if users.len() > USERS_MAX {
        report.too_many(&users, USERS_MAX);
    }
    let mut seen = BTreeSet::new();
    for user in users.items() {
        report.present(&user.field("resource"));
        report.present(&user.field("name"));
        report.present(&user.field("uid"));
        if !seen.insert(user.text("uid")) {
            report.duplicate_as(&user.field("uid"), user.text("uid"));
        }
    }
    let allocation = status.field("allocation");
    if !users.is_empty() && !allocation.is_set() {
        report.forbidden(&users, "may not be specified when `allocated` is not set");
    }
    if users.len() > had.field("reservedFor").len() && new.field("metadata").has("deletionTimestamp") {
        report.forbidden(
            &users,
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
        );
    }
    if had.has("allocation") && allocation.is_set() {
        report.immutable(&allocation, &had.field("allocation"));
    }
    if allocation.has("nodeSelector") {
        selectors::node_selector(&allocation.field("nodeSelector"), false, report);
    }
    for result in allocation.field("devices").field("results").items() {
        report.present(&result.field("request"));
        csi_driver_name(&result.field("driver"), report);
        pool_name(&result.field("pool"), report);
        report.named(&result.field("device"), names::dns1123_label);
    }
}

/// Labels joined by slashes.
fn pool_name(at: &Place, report: &mut Report) {
    if at.is_empty() {
        return report.required(at, "");
    }
    if at.len() > POOL_MAX {
        report.too_long(at, POOL_MAX);
    }
    for part in at.as_text().split('/') {
        report.problems_of(at, part, names::dns1123_subdomain(part));
    }
}

/// `domain/identifier`.
fn full_name(at: &Place, report: &mut Report) {
    if at.is_empty() {
        return report.required(at, "");
    }
    match at.as_text().split_once('/') {
        Some((domain, name)) => {
            domain_of(at, domain, report);
            identifier(at, name, report);
        }
        None => report.invalid(at, "must include a domain"),
    }
}

/// `[domain/]identifier`, a key.
fn property_name(at: &Place, key: &str, report: &mut Report) {
    match key.split_once('/') {
        _ if key.is_empty() => report.required(at, "name required"),
        Some((domain, name)) => {
            domain_of(at, domain, report);
            identifier(at, name, report);
        }
        None => identifier(at, key, report),
    }
}

fn domain_of(at: &Place, domain: &str, report: &mut Report) {
    if domain.is_empty() {
        return report.required(at, "the domain must not be empty");
    }
    if domain.len() > DOMAIN_MAX {
        report.too_long(at, DOMAIN_MAX);
    }
    report.problems_of(at, domain, names::dns1123_subdomain(domain));
}

fn identifier(at: &Place, name: &str, report: &mut Report) {
    if name.is_empty() {
        return report.required(at, "the name must not be empty");
    }
    if name.len() > IDENTIFIER_MAX {
        report.too_long(at, IDENTIFIER_MAX);
    }
    report.problems_of(at, name, names::c_identifier(name));
}

/// What a driver has to give.
pub(super) fn slice(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    csi_driver_name(&spec.field("driver"), report);
    let pool = spec.field("pool");
    pool_name(&pool.field("name"), report);
    if pool.number("resourceSliceCount") <= 0 {
        report.invalid_number(&pool.field("resourceSliceCount"), NOT_POSITIVE);
    }
    if pool.number("generation") < 0 {
        report.invalid_number(&pool.field("generation"), super::report::NEGATIVE);
    }
    whose(&spec, report);
    let devices = spec.field("devices");
    if devices.len() > DEVICES_MAX {
        report.too_many(&devices, DEVICES_MAX);
    }
    let mut seen = BTreeSet::new();
    for device in devices.items() {
        let name = device.field("name");
        report.named(&name, names::dns1123_label);
        if !seen.insert(name.as_text()) {
            report.duplicate(&name);
        }
        properties(&device, report);
    }
}

fn whose(spec: &Place, report: &mut Report) {
    const FIELDS: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    let set: Vec<&str> = FIELDS
        .into_iter()
        .filter(|field| spec.has(field) && (*field != "nodeName" || !spec.text("nodeName").is_empty()))
        .collect();
    let node = spec.field("nodeName");
    if node.is_set() {
        if node.is_empty() {
            report.invalid(&node, "must be either unset or set to a non-empty string");
        } else {
            report.problems(&node, names::dns1123_subdomain(node.as_text()));
        }
    }
    let selector = spec.field("nodeSelector");
    if selector.is_set() {
        selectors::node_selector(&selector, true, report);
        if selector.field("nodeSelectorTerms").len() != 1 {
            let terms = selector.field("nodeSelectorTerms");
            report.invalid(&terms, "must have exactly one node selector term");
        }
    }
    for field in ["allNodes", "perDeviceNodeSelection"] {
        if spec.field(field).value() == &Value::Bool(false) {
            report.invalid(&spec.field(field), "must be either unset or set to true");
        }
    }
    const ONE: &str =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.len() {
        0 => report.required(spec, ONE),
        1 => {}
        _ => {
            let shown: Vec<String> = set.iter().map(|field| format!("`{field}`")).collect();
            let detail = format!("{ONE}, but multiple fields are set");
            report.invalid_as(spec, format!("{{{}}}", shown.join(", ")), &detail);
        }
    }
}

fn properties(device: &Place, report: &mut Report) {
    let (attributes, capacity) = (device.field("attributes"), device.field("capacity"));
    for (key, value) in attributes.entries() {
        property_name(&value, key, report);
        let set = ["int", "bool", "string", "version"].into_iter().filter(|field| value.has(field)).count();
        match set {
            0 => report.required(&value, "exactly one value must be specified"),
            1 => {}
            _ => report.invalid(&value, "exactly one value must be specified"),
        }
        for field in ["string", "version"] {
            let text = value.field(field);
            if text.len() > TEXT_MAX {
                report.too_long(&text, TEXT_MAX);
            }
        }
    }
    for (key, value) in capacity.entries() {
        property_name(&value, key, report);
    }
    if attributes.len() + capacity.len() > PROPERTIES_MAX {
        let detail =
            format!("the total number of attributes and capacities must not exceed {PROPERTIES_MAX}");
        report.invalid_as(device, attributes.len() + capacity.len(), &detail);
    }
}

/// A changed slice: whose it is, is fixed.
pub(super) fn slice_changes(new: &Place, old: &Place, report: &mut Report) {
    let (spec, had) = (new.field("spec"), old.field("spec"));
    report.immutable(&spec.field("driver"), &had.field("driver"));
    let (pool, of) = (spec.field("pool"), had.field("pool"));
    report.immutable(&pool.field("name"), &of.field("name"));
    report.immutable(&spec.field("nodeName"), &had.field("nodeName"));
}
