//! Rules of flow schemas and priority levels.

use super::names;
use super::place::Place;
use super::report::Report;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
/// Bits of the hash that deals a flow its queues.
const HASH_BITS_MAX: u32 = 60;

const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// A flow schema.
pub(super) fn schema(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let metadata = object.field("metadata");
    let name = metadata.text("name");
    let precedence = spec.field("matchingPrecedence");
    let number = precedence.as_number().unwrap_or(0);
    if number <= 0 {
        report.invalid_number(&precedence, "must be a positive value");
    }
    if number > PRECEDENCE_MAX {
        report.invalid_number(&precedence, &format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if number == 1 && name != "exempt" {
        report.invalid_number(&precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let method = spec.field("distinguisherMethod");
    let methods = ["ByNamespace", "ByUser"];
    if method.is_set() && !methods.contains(&method.text("type")) {
        let shown = format!("{{\"Type\":{}}}", crate::cause::quoted(method.text("type")));
        report.unsupported_shown(&method.field("type"), &shown, &methods);
    }
    let level = spec.field("priorityLevelConfiguration");
    let level = level.field("name");
    if level.is_empty() {
        report.required(&level, "must reference a priority level");
    } else {
        report.problems(&level, names::dns1123_subdomain(level.as_text()));
    }
    for rule in spec.field("rules").items() {
        schema_rule(&rule, report);
    }
    if matches!(name, "exempt" | "catch-all") && !super::same::same(spec.value(), &mandatory_schema(name)) {
        report.invalid(&spec, &format!("spec of '{name}' must equal the fixed value"));
    }
    status(object, object, report);
}

fn schema_rule(at: &Place, report: &mut Report) {
    let subjects = at.field("subjects");
    if subjects.is_empty() {
        report.required(&subjects, "subjects must contain at least one value");
    }
    for subject in subjects.items() {
        subject_of(&subject, report);
    }
    let (resources, others) = (at.field("resourceRules"), at.field("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        report.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for rule in resources.items() {
        resource_rule(&rule, report);
    }
    for rule in others.items() {
        url_rule(&rule, report);
    }
}

fn subject_of(at: &Place, report: &mut Report) {
    const KINDS: [(&str, &str); 3] =
        [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = at.text("kind");
    let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return report.unsupported(&at.field("kind"), &["Group", "ServiceAccount", "User"]);
    };
    let subject = at.field(own);
    if !subject.is_set() {
        report.required(&subject, &format!("{own} is required when subject kind is '{kind}'"));
    } else {
        let name = subject.field("name");
        report.present(&name);
        if kind == "ServiceAccount" {
            if !matches!(name.as_text(), "" | "*") {
                report.problems(&name, names::dns1123_subdomain(name.as_text()));
            }
            let namespace = subject.field("namespace");
            if namespace.is_empty() {
                report.required(&namespace, "must specify namespace for service account");
            } else {
                report.problems(&namespace, names::dns1123_label(namespace.as_text()));
            }
        }
    }
    for (other, field) in KINDS.iter().filter(|(other, field)| *other != kind && at.has(field)) {
        report
            .forbidden(&at.field(field), &format!("{field} is forbidden when subject kind is not '{other}'"));
    }
}

fn has_wildcard(at: &Place) -> bool {
    at.list().iter().any(|item| item == "*")
}

fn verbs(at: &Place, report: &mut Report) {
    if at.is_empty() {
        report.required(at, "verbs must contain at least one value");
    } else if has_wildcard(at) {
        if at.len() > 1 {
            report.invalid(at, "if '*' is present, must not specify other verbs");
        }
    } else if !at.list().iter().all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb))) {
        report.unsupported(at, &VERBS);
    }
}

fn resource_rule(at: &Place, report: &mut Report) {
    verbs(&at.field("verbs"), report);
    for (field, one, many) in
        [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
    {
        let list = at.field(field);
        if list.is_empty() {
            report.required(&list, &format!("resource rules must supply at least one {one}"));
        } else if list.len() > 1 && has_wildcard(&list) {
            report.invalid(&list, &format!("if '*' is present, must not specify other {many}"));
        }
    }
    let namespaces = at.field("namespaces");
    if namespaces.is_empty() && !at.flag("clusterScope") {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        report.required(&namespaces, detail);
    } else if has_wildcard(&namespaces) {
        if namespaces.len() > 1 {
            report.invalid(&namespaces, "if '*' is present, must not specify other namespaces");
        }
    } else {
        for namespace in namespaces.items() {
            for problem in names::dns1123_label(namespace.as_text()) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {problem}");
                report.invalid(&namespace, &detail);
            }
        }
    }
}

fn url_rule(at: &Place, report: &mut Report) {
    verbs(&at.field("verbs"), report);
    let urls = at.field("nonResourceURLs");
    if urls.is_empty() {
        report.required(&urls, "nonResourceURLs must contain at least one value");
    } else if has_wildcard(&urls) {
        if urls.len() > 1 {
            report.invalid(&urls, "if '*' is present, must not specify other non-resource URLs");
        }
    } else {
        for url in urls.items() {
            if let Some(problem) = url_problem(url.as_text()) {
                report.invalid(&url, problem);
            }
        }
    }
}

fn url_problem(path: &str) -> Option<&'static str> {
    let stars = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !path.ends_with("/*")) => {
            Some("wildcard can only do suffix matching")
        }
        _ => None,
    }
}

/// What the two schemas that always exist say.
fn mandatory_schema(name: &str) -> Value {
    let everything = json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
    let resources = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}]);
    let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
    let (level, precedence, subjects) = match name {
        "exempt" => ("exempt", 1, json!([group("system:masters")])),
        _ => ("catch-all", 10_000, json!([group("system:unauthenticated"), group("system:authenticated")])),
    };
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": subjects, "resourceRules": resources, "nonResourceRules": everything}],
    });
    if name == "catch-all" {
        spec["distinguisherMethod"] = json!({"type": "ByUser"});
    }
    spec
}

/// What may be written to the status of either kind.
pub(super) fn status(new: &Place, _old: &Place, report: &mut Report) {
    let status = new.field("status");
    let mut seen = BTreeSet::new();
    for condition in status.field("conditions").items() {
        let kind = condition.field("type");
        if !seen.insert(kind.as_text()) {
            report.duplicate(&kind);
        }
        if kind.is_empty() {
            report.required(&kind, "must not be empty");
        }
    }
}

/// A priority level.
pub(super) fn level(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let metadata = object.field("metadata");
    let (name, kind) = (metadata.text("name"), spec.field("type"));
    if (name == "exempt") != (kind.as_text() == "Exempt") {
        report.invalid_text(&kind, "type must be 'Exempt' if and only if name is 'exempt'");
    }
    if name == "catch-all" {
        let limited = spec.field("limited");
        let fixed = limited.number("nominalConcurrencyShares") == 5
            && limited.number("lendablePercent") == 0
            && limited.field("limitResponse").text("type") == "Reject";
        if !fixed {
            report.invalid(
                &spec,
                "spec of 'catch-all', except the borrowingLimitPercent fields, must equal the fixed value",
            );
        }
    }
    let (limited, exempt) = (spec.field("limited"), spec.field("exempt"));
    match kind.as_text() {
        "Exempt" => {
            if limited.is_set() {
                report.forbidden(&limited, "must be nil if the type is not Limited");
            }
            if exempt.is_set() {
                shares(&exempt, 0, report);
            }
        }
        "Limited" => {
            if exempt.is_set() {
                report.forbidden(&exempt, "must be nil if the type is Limited");
            }
            if limited.is_set() {
                limited_level(&limited, report);
            } else {
                report.required(&limited, "must not be empty when type is Limited");
            }
        }
        _ => report.unsupported(&kind, &["Exempt", "Limited"]),
    }
    status(object, object, report);
}

fn shares(at: &Place, least: i64, report: &mut Report) {
    let nominal = at.field("nominalConcurrencyShares");
    if nominal.as_number().is_some_and(|shares| shares < least) {
        report.invalid(&nominal, "must be a non-negative integer");
    }
    percent(&at.field("lendablePercent"), 100, report);
}

fn percent(at: &Place, most: i64, report: &mut Report) {
    if at.as_number().is_some_and(|percent| percent < 0 || percent > most) {
        report.invalid(at, &format!("must be between 0 and {most}, inclusive"));
    }
}

fn limited_level(at: &Place, report: &mut Report) {
    shares(at, 0, report);
    let borrowing = at.field("borrowingLimitPercent");
    if borrowing.as_number().is_some_and(|percent| percent < 0) {
        report.invalid(&borrowing, "if specified, must be a non-negative integer");
    }
    let response = at.field("limitResponse");
    let queuing = response.field("queuing");
    match response.text("type") {
        "Reject" => {
            if queuing.is_set() {
                report.forbidden(&queuing, "must be nil if limited.limitResponse.type is not Limited");
            }
        }
        "Queue" if !queuing.is_set() => {
            report.required(&queuing, "must not be empty if limited.limitResponse.type is Limited");
        }
        "Queue" => queues(&queuing, report),
        _ => report.unsupported(&response.field("type"), &["Queue", "Reject"]),
    }
}

fn queues(at: &Place, report: &mut Report) {
    let (length, queues, hand) = (at.field("queueLengthLimit"), at.field("queues"), at.field("handSize"));
    let number = |at: &Place| at.as_number().unwrap_or(0);
    if number(&length) <= 0 {
        report.invalid_number(&length, "must be positive");
    }
    if number(&queues) <= 0 {
        report.invalid_number(&queues, "must be positive");
    } else if number(&queues) > QUEUES_MAX {
        report.invalid_number(&queues, &format!("must not be greater than {QUEUES_MAX}"));
    }
    let (deck, dealt) = (number(&queues), number(&hand));
    if dealt <= 0 {
        report.invalid_number(&hand, "must be positive");
    } else if dealt > deck {
        report.invalid_number(&hand, &format!("should not be greater than queues ({deck})"));
    } else if entropy_bits(deck, dealt) > HASH_BITS_MAX {
        let detail = format!(
            "required entropy bits of deckSize {deck} and handSize {dealt} should not be greater than {HASH_BITS_MAX}"
        );
        report.invalid_number(&hand, &detail);
    }
}

/// Bits that it takes to deal a hand from a deck.
fn entropy_bits(deck: i64, hand: i64) -> u32 {
    (deck as f64).log2().mul_add(hand as f64, 0.0).ceil() as u32
}
