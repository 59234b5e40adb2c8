//! Rules of webhook configurations and admission policies. Expressions are compiled where they are run, not here.

use super::names;
use super::place::Place;
use super::report::Report;
use super::selectors;
use std::collections::BTreeSet;

const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// Seconds that a webhook may take.
const TIMEOUT_MAX_S: i64 = 30;
const CONDITIONS_MAX: usize = 64;
/// A key of an audit annotation and its domain, in bytes.
const AUDIT_KEY_MAX: usize = 63;
const AUDIT_ANNOTATIONS_MAX: usize = 20;

/// A configuration of webhooks of either kind.
pub(super) fn webhooks(object: &Place, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for hook in object.field("webhooks").items() {
        webhook(&hook, report);
        let name = hook.field("name");
        if !name.is_empty() && !seen.insert(name.as_text()) {
            report.duplicate(&name);
        }
    }
}

fn webhook(at: &Place, report: &mut Report) {
    qualified(&at.field("name"), report);
    for rule in at.field("rules").items() {
        operations(&rule.field("operations"), report);
        rule_of(&rule, report);
    }
    report.optional_of(&at.field("failurePolicy"), &["Fail", "Ignore"]);
    report.optional_of(&at.field("matchPolicy"), &["Equivalent", "Exact"]);
    let effects = at.field("sideEffects");
    let known = ["None", "NoneOnDryRun"];
    if effects.is_empty() {
        report.required(&effects, "must specify one of None, NoneOnDryRun");
    } else {
        report.optional_of(&effects, &known);
    }
    let timeout = at.field("timeoutSeconds");
    if timeout.as_number().is_some_and(|seconds| !(1..=TIMEOUT_MAX_S).contains(&seconds)) {
        report.invalid(&timeout, "the timeout value must be between 1 and 30 seconds");
    }
    selectors::label_selector(&at.field("namespaceSelector"), report);
    selectors::label_selector(&at.field("objectSelector"), report);
    report.optional_of(&at.field("reinvocationPolicy"), &["IfNeeded", "Never"]);
    client(&at.field("clientConfig"), report);
    match_conditions(&at.field("matchConditions"), report);
    review_versions(&at.field("admissionReviewVersions"), report);
}

/// A name of three parts at least.
fn qualified(at: &Place, report: &mut Report) {
    let text = at.as_text();
    let problems = names::dns1123_subdomain(text);
    if text.is_empty() {
        report.required(at, "");
    } else if !problems.is_empty() {
        report.invalid(at, &problems.join(","));
    } else if text.split('.').count() < 3 {
        report.invalid(at, "should be a domain with at least three segments separated by dots");
    }
}

fn operations(at: &Place, report: &mut Report) {
    if at.is_empty() {
        report.required(at, "");
    }
    if at.len() > 1 && has_wildcard(at) {
        report.invalid(at, "if '*' is present, must not specify other operations");
    }
    for operation in at.items() {
        report.optional_of(&operation, &OPERATIONS);
    }
}

fn has_wildcard(at: &Place) -> bool {
    at.list().iter().any(|item| item == "*")
}

fn rule_of(at: &Place, report: &mut Report) {
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = at.field(field);
        if list.is_empty() {
            report.required(&list, "");
        }
        if list.len() > 1 && has_wildcard(&list) {
            report.invalid(&list, &format!("if '*' is present, must not specify other {what}"));
        }
    }
    for version in at.field("apiVersions").items() {
        report.present(&version);
    }
    resources(&at.field("resources"), report);
    report.optional_of(&at.field("scope"), &["*", "Cluster", "Namespaced"]);
}

fn resources(at: &Place, report: &mut Report) {
    if at.is_empty() {
        report.required(at, "");
    }
    let (mut whole, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
    let (mut all_of_all, mut all, mut plain) = (false, false, false);
    for resource in at.items() {
        let text = resource.as_text();
        if text.is_empty() {
            report.required(&resource, "");
            continue;
        }
        all_of_all |= text == "*/*";
        all |= text == "*";
        let Some((name, part)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        if whole.contains(name) {
            report.invalid(&resource, &format!("if '{name}/*' is present, must not specify {text}"));
        }
        if everywhere.contains(part) {
            report.invalid(&resource, &format!("if '*/{part}' is present, must not specify {text}"));
        }
        if part == "*" {
            whole.insert(name);
        }
        if name == "*" {
            everywhere.insert(part);
        }
    }
    if at.len() > 1 && all_of_all {
        report.invalid(at, "if '*/*' is present, must not specify other resources");
    }
    if all && plain {
        report.invalid(at, "if '*' is present, must not specify other resources without subresources");
    }
}

/// Where a server is: an address or a service.
pub(super) fn client(at: &Place, report: &mut Report) {
    let (url, service) = (at.field("url"), at.field("service"));
    if url.is_set() == service.is_set() {
        return report.required(at, "exactly one of url or service is required");
    }
    if url.is_set() {
        webhook_url(&url, report);
    } else {
        report.present(&service.field("name"));
        report.present(&service.field("namespace"));
        let port = service.field("port");
        if port.is_set() && !(1..=65535).contains(&port.as_number().unwrap_or(0)) {
            report.invalid(&port, "port is not valid: must be between 1 and 65535, inclusive");
        }
        service_path(&service.field("path"), report);
    }
}

fn webhook_url(at: &Place, report: &mut Report) {
    const FORM: &str = "; desired format: https://host[/path]";
    let text = at.as_text();
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    if scheme != "https" {
        report.invalid(at, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (host, path) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.is_empty() || scheme.is_empty() {
        report.invalid(at, &format!("host must be specified{FORM}"));
    }
    if rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@')) {
        report.invalid(at, "user information is not permitted in the URL");
    }
    let whole = rest.get(host.len()..).unwrap_or_default();
    if whole.contains('#') || path.contains('#') {
        report.invalid(at, "fragments are not permitted in the URL");
    }
    if whole.contains('?') || path.contains('?') {
        report.invalid(at, "query parameters are not permitted in the URL");
    }
}

fn service_path(at: &Place, report: &mut Report) {
    let text = at.as_text();
    if !at.is_set() || matches!(text, "" | "/") {
        return;
    }
    if text.starts_with("//") {
        return report.invalid(at, "segment[0] may not be empty");
    }
    if !text.starts_with('/') {
        report.invalid(at, "must start with a '/'");
    }
    let trimmed = text.strip_prefix('/').unwrap_or(text);
    let steps: Vec<&str> = trimmed.strip_suffix('/').unwrap_or(trimmed).split('/').collect();
    for (index, step) in steps.iter().enumerate() {
        if step.is_empty() {
            report.invalid(at, &format!("segment[{index}] may not be empty"));
            continue;
        }
        for problem in names::dns1123_subdomain(step) {
            report.invalid(at, &format!("segment[{index}]: {problem}"));
        }
    }
}

pub(super) fn match_conditions(at: &Place, report: &mut Report) {
    if at.len() > CONDITIONS_MAX {
        report.too_many(at, CONDITIONS_MAX);
    }
    let mut seen = BTreeSet::new();
    for condition in at.items() {
        let (name, expression) = (condition.field("name"), condition.field("expression"));
        if expression.as_text().trim().is_empty() {
            report.required(&expression, "");
        }
        if name.is_empty() {
            report.required(&name, "");
            continue;
        }
        report.problems(&name, names::qualified_name(name.as_text()));
        if !seen.insert(name.as_text()) {
            report.duplicate(&name);
        }
    }
}

fn review_versions(at: &Place, report: &mut Report) {
    if at.is_empty() {
        return report.required(at, &format!("must specify one of {}", VERSIONS.join(", ")));
    }
    let (mut seen, mut accepted) = (BTreeSet::new(), false);
    for version in at.items() {
        if !seen.insert(version.as_text()) {
            report.invalid(&version, "duplicate version");
            continue;
        }
        report.problems(&version, names::dns1035_label(version.as_text()));
        accepted |= VERSIONS.contains(&version.as_text());
    }
    if !accepted {
        report.invalid(at, &format!("must include at least one of {}", VERSIONS.join(", ")));
    }
}

/// A validating policy.
pub(super) fn policy(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    report.optional_of(&spec.field("failurePolicy"), &["Fail", "Ignore"]);
    if spec.has("paramKind") {
        param_kind(&spec.field("paramKind"), report);
    }
    constraints(&spec.field("matchConstraints"), true, report);
    match_conditions(&spec.field("matchConditions"), report);
    variables(&spec.field("variables"), report);
    let (validations, annotations) = (spec.field("validations"), spec.field("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        report.required(&validations, detail);
        report.required(&annotations, detail);
    }
    for validation in validations.items() {
        one_validation(&validation, report);
    }
    if annotations.len() > AUDIT_ANNOTATIONS_MAX {
        let detail = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        report.invalid(&annotations, &detail);
    }
    let mut seen = BTreeSet::new();
    for annotation in annotations.items() {
        let key = annotation.field("key");
        if key.is_empty() {
            report.required(&key, "");
        } else {
            report.problems(&key, names::qualified_name(key.as_text()));
            if key.len() > AUDIT_KEY_MAX {
                report.too_long(&key, AUDIT_KEY_MAX);
            }
        }
        if !seen.insert(key.as_text()) {
            report.duplicate(&key);
        }
        if annotation.text("valueExpression").trim().is_empty() {
            report.required(&annotation.field("valueExpression"), "valueExpression is not specified");
        }
    }
}

fn one_validation(at: &Place, report: &mut Report) {
    const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
    let expression = at.field("expression");
    if expression.as_text().trim().is_empty() {
        report.required(&expression, "expression is not specified");
    }
    let message = at.field("message");
    if message.as_text().trim() != message.as_text() || message.as_text().contains('\n') {
        if message.as_text().contains('\n') {
            report.invalid(&message, "message must not contain line breaks");
        } else if message.as_text().trim().is_empty() {
            report.invalid(&message, "message must be non-empty if specified");
        }
    }
    report.optional_of(&at.field("reason"), &REASONS);
}

pub(super) fn variables(at: &Place, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for variable in at.items() {
        let (name, expression) = (variable.field("name"), variable.field("expression"));
        if name.as_text().trim().is_empty() {
            report.required(&name, "name is not specified");
        } else if !names::c_identifier(name.as_text()).is_empty() {
            report.invalid(&name, "name is not a valid CEL identifier");
        }
        if !name.is_empty() && !seen.insert(name.as_text()) {
            report.duplicate(&name);
        }
        if expression.as_text().trim().is_empty() {
            report.required(&expression, "expression is not specified");
        }
    }
}

pub(super) fn param_kind(at: &Place, report: &mut Report) {
    let (version, kind) = (at.field("apiVersion"), at.field("kind"));
    match version.as_text().split('/').collect::<Vec<_>>()[..] {
        [""] => report.required(&version, ""),
        [one] => report.problems_of(&version, one, names::dns1035_label(one)),
        [group, one] => {
            report.problems_of(&version, group, names::dns1123_subdomain(group));
            report.problems_of(&version, one, names::dns1035_label(one));
        }
        _ => {
            let detail = format!("unexpected GroupVersion string: {}", version.as_text());
            report.invalid(&version, &detail);
        }
    }
    if kind.is_empty() {
        report.required(&kind, "");
    } else {
        for problem in names::dns1035_label(&kind.as_text().to_lowercase()) {
            let detail = format!("may have mixed case, but should otherwise match: {problem}");
            report.invalid(&kind, &detail);
        }
    }
}

/// What a policy or a binding looks at.
pub(super) fn constraints(at: &Place, needed: bool, report: &mut Report) {
    if !at.is_set() {
        if needed {
            report.required(at, "");
        }
        return;
    }
    let rules = at.field("resourceRules");
    if rules.is_empty() && needed {
        report.required(&rules, "");
    }
    if needed {
        for selector in ["namespaceSelector", "objectSelector"] {
            if !at.has(selector) {
                report.required(&at.field(selector), "");
            }
        }
    }
    selectors::label_selector(&at.field("namespaceSelector"), report);
    selectors::label_selector(&at.field("objectSelector"), report);
    report.optional_of(&at.field("matchPolicy"), &["Equivalent", "Exact"]);
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in at.field(list).items() {
            let mut seen = BTreeSet::new();
            for name in rule.field("resourceNames").items() {
                report.problems(&name, names::path_segment(name.as_text()));
                if !seen.insert(name.as_text()) {
                    report.duplicate(&name);
                }
            }
            operations(&rule.field("operations"), report);
            rule_of(&rule, report);
        }
    }
}

/// Which policy a binding binds, with which parameters, for what.
pub(super) fn bound_policy(spec: &Place, report: &mut Report) {
    let policy = spec.field("policyName");
    if policy.is_empty() {
        report.required(&policy, "");
    } else {
        report.problems(&policy, names::dns1123_subdomain(policy.as_text()));
    }
    param_ref(&spec.field("paramRef"), report);
    constraints(&spec.field("matchResources"), false, report);
}

/// A binding of a validating policy.
pub(super) fn policy_binding(object: &Place, report: &mut Report) {
    const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
    let spec = object.field("spec");
    bound_policy(&spec, report);
    let actions = spec.field("validationActions");
    if actions.is_empty() {
        report.required(&actions, "");
    }
    let mut seen = BTreeSet::new();
    for action in actions.items() {
        report.optional_of(&action, &ACTIONS);
        if !seen.insert(action.as_text()) {
            report.duplicate(&action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        report.invalid(&actions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
    }
}

pub(super) fn param_ref(at: &Place, report: &mut Report) {
    if !at.is_set() {
        return;
    }
    let (name, selector) = (at.field("name"), at.field("selector"));
    if !name.is_empty() {
        report.problems(&name, names::path_segment(name.as_text()));
        if selector.is_set() {
            report.forbidden(&name, "name and selector are mutually exclusive");
        }
    }
    if selector.is_set() {
        selectors::label_selector(&selector, report);
        if !name.is_empty() {
            report.forbidden(&selector, "name and selector are mutually exclusive");
        }
    }
    if name.is_empty() && !selector.is_set() {
        report.required(at, "one of name or selector must be specified");
    }
    let missing = at.field("parameterNotFoundAction");
    if !missing.is_set() || missing.is_empty() {
        report.required(&missing, "");
    } else {
        report.optional_of(&missing, &["Deny", "Allow"]);
    }
}

/// A service of an extension API.
pub(super) fn api_service(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let (group, version) = (spec.field("group"), spec.field("version"));
    if !group.is_empty() {
        report.problems(&group, names::dns1123_subdomain(group.as_text()));
    }
    for problem in names::dns1035_label(version.as_text()) {
        report.invalid_text(&version, &problem);
    }
    for (field, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let number = spec.field(field);
        let value = number.as_number().unwrap_or(0);
        if value <= 0 || value > max {
            report.invalid_number(&number, &format!("must be positive and less than {max}"));
        }
    }
    let service = spec.field("service");
    if !service.is_set() {
        if !spec.field("caBundle").is_empty() {
            let detail = format!("{} bytes", super::config::decoded_len(spec.text("caBundle")));
            report.invalid_as(&spec.field("caBundle"), detail, "local APIServices may not have a caBundle");
        }
        if spec.flag("insecureSkipTLSVerify") {
            report.invalid(
                &spec.field("insecureSkipTLSVerify"),
                "local APIServices may not have insecureSkipTLSVerify",
            );
        }
        return;
    }
    report.present(&service.field("namespace"));
    report.present(&service.field("name"));
    let port = service.field("port");
    if port.is_set() && !(1..=65535).contains(&port.as_number().unwrap_or(0)) {
        report.invalid(&port, "port is not valid: must be between 1 and 65535, inclusive");
    }
    if spec.flag("insecureSkipTLSVerify") && !spec.field("caBundle").is_empty() {
        let skipped = spec.field("insecureSkipTLSVerify");
        report.invalid(&skipped, "may not be true if caBundle is present");
    }
}

pub(super) fn api_service_status(new: &Place, _old: &Place, report: &mut Report) {
    let status = new.field("status");
    for condition in status.field("conditions").items() {
        report.optional_of(&condition.field("status"), &["False", "True", "Unknown"]);
    }
}
