//! The review APIs: questions to the authenticators and authorisers, as objects that are created and never stored.

use std::sync::Arc;

use api_model::selector::FieldRequirement;
use api_model::{Cause, FieldPath};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Authorizer, node_name};
use crate::attributes::{ApiError, Attributes, Decision, UserInfo, text, texts};
use crate::authn::Authenticator;

const GROUP: &str = "authorization.k8s.io";

/// A review somebody asks for.
pub struct Review<'a> {
    /// One of `selfsubjectaccessreviews`, `subjectaccessreviews`, `localsubjectaccessreviews`, `selfsubjectrulesreviews`,
    /// `selfsubjectreviews`, `tokenreviews`.
    pub plural: &'a str,
    /// Where it is created; empty for reviews of the cluster.
    pub namespace: &'a str,
    /// Who asks.
    pub user: &'a UserInfo,
    /// Now.
    pub now: Timestamp,
}

/// Answers a review.
///
/// # Errors
/// As the API answers wrong questions.
pub async fn create(
    review: &Review<'_>,
    body: Value,
    authorizer: &Authorizer,
    authenticator: &Authenticator,
) -> Result<Value, ApiError> {
    match review.plural {
        "selfsubjectaccessreviews" | "subjectaccessreviews" | "localsubjectaccessreviews" => {
            access(review, body, authorizer)
        }
        "selfsubjectrulesreviews" => rules(review.user, body, authorizer),
        "selfsubjectreviews" => {
            let mut answer = with_status(body, json!({"userInfo": review.user.to_value()}));
            let second = Timestamp::from_second(review.now.as_second()).unwrap_or(review.now);
            answer["metadata"]["creationTimestamp"] = json!(second.to_string());
            Ok(answer)
        }
        "tokenreviews" => token(body, authenticator).await,
        _ => Err(ApiError::no_such_path()),
    }
}

fn with_status(mut body: Value, status: Value) -> Value {
    if let Some(object) = body.as_object_mut() {
        object.insert("status".to_owned(), status);
        object.entry("metadata").or_insert_with(|| json!({}));
    }
    body
}

fn object<'a>(spec: &'a Value, field: &str) -> Option<&'a Map<String, Value>> {
    spec.get(field).and_then(Value::as_object)
}

/// What is wrong with a question about access.
fn check(review: &Review<'_>, body: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let invalid = |path: &str, value: &Value, why: &str| Cause::invalid(&FieldPath::new(path), value, why);
    let spec = &body["spec"];
    let (resource, other) = (object(spec, "resourceAttributes"), object(spec, "nonResourceAttributes"));
    if resource.is_some() && other.is_some() {
        let why = "cannot be specified in combination with resourceAttributes";
        causes.push(invalid("spec.nonResourceAttributes", &spec["nonResourceAttributes"], why));
    }
    if resource.is_none() && other.is_none() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        causes.push(invalid("spec.resourceAttributes", &Value::Null, why));
    }
    let of_self = review.plural == "selfsubjectaccessreviews";
    if !of_self && text(spec, "/user").is_empty() && texts(spec, "/groups").is_empty() {
        causes.push(invalid("spec.user", &json!(""), "at least one of user or group must be specified"));
    }
    for selector in ["fieldSelector", "labelSelector"] {
        if let Some(given) =
            resource.and_then(|resource| resource.get(selector)).filter(|given| given.is_object())
        {
            causes.extend(check_selector(&format!("spec.resourceAttributes.{selector}"), given));
        }
    }
    let is_local = review.plural == "localsubjectaccessreviews";
    let stray = body["metadata"].as_object().is_some_and(|metadata| {
        metadata.iter().any(|(key, value)| {
            let known =
                key == "managedFields" || key == "creationTimestamp" || is_local && key == "namespace";
            !known && !value.is_null()
        })
    });
    if stray {
        causes.push(invalid("metadata", &body["metadata"], "must be empty"));
    }
    if is_local {
        let asked = text(spec, "/resourceAttributes/namespace");
        if resource.is_some() && asked != review.namespace {
            causes.push(invalid(
                "spec.resourceAttributes.namespace",
                &json!(asked),
                "must match metadata.namespace",
            ));
        }
        if other.is_some() {
            let why = "disallowed on this kind of request";
            causes.push(invalid("spec.nonResourceAttributes", &spec["nonResourceAttributes"], why));
        }
    }
    causes
}

/// A selector is given as text or as requirements, and its operators with the values they need.
fn check_selector(path: &str, selector: &Value) -> Vec<Cause> {
    let raw = text(selector, "/rawSelector");
    let requirements = crate::attributes::items(selector, "/requirements");
    let field = |name: &str| FieldPath::new(&format!("{path}.{name}"));
    if !raw.is_empty() && !requirements.is_empty() {
        let why = "may not specified at the same time as requirements";
        return vec![Cause::invalid(&field("rawSelector"), &json!(raw), why)];
    }
    if raw.is_empty() && requirements.is_empty() {
        let why = format!("when {path} is specified, requirements or rawSelector is required");
        return vec![Cause::required(&field("requirements"), &why)];
    }
    let mut causes = Vec::new();
    for (position, requirement) in requirements.iter().enumerate() {
        let field = |name: &str| FieldPath::new(&format!("{path}.requirements[{position}].{name}"));
        if text(requirement, "/key").is_empty() {
            causes.push(Cause::required(&field("key"), "must be specified"));
        }
        let none = texts(requirement, "/values").is_empty();
        match text(requirement, "/operator") {
            "In" | "NotIn" if none => {
                causes.push(Cause::required(
                    &field("values"),
                    "must be specified when `operator` is 'In' or 'NotIn'",
                ));
            }
            "Exists" | "DoesNotExist" if !none => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                causes.push(Cause::forbidden(&field("values"), why));
            }
            _ => {}
        }
    }
    causes
}

/// What a field selector of a question says exactly; the rest of it only limits further, and nobody here grants by that.
fn field_requirements(selector: &Value) -> Vec<FieldRequirement> {
    let raw = text(selector, "/rawSelector");
    if !raw.is_empty() {
        let parsed = api_model::selector::FieldSelector::parse(raw);
        return parsed.map(|selector| selector.requirements().to_vec()).unwrap_or_default();
    }
    let requirements = crate::attributes::items(selector, "/requirements").iter();
    let exact = requirements.filter_map(|requirement| {
        let equal = match text(requirement, "/operator") {
            "In" => true,
            "NotIn" => false,
            _ => return None,
        };
        let values = texts(requirement, "/values");
        let [value] = values.as_slice() else { return None };
        Some(FieldRequirement { field: text(requirement, "/key").to_owned(), value: value.clone(), equal })
    });
    exact.collect()
}

fn attributes(user: UserInfo, spec: &Value) -> Attributes {
    let user = Arc::new(user);
    let at = |pointer: &str| text(spec, pointer).to_owned();
    if object(spec, "resourceAttributes").is_none() {
        return Attributes {
            user,
            verb: at("/nonResourceAttributes/verb"),
            path: at("/nonResourceAttributes/path"),
            ..Attributes::default()
        };
    }
    Attributes {
        user,
        verb: at("/resourceAttributes/verb"),
        group: at("/resourceAttributes/group"),
        version: at("/resourceAttributes/version"),
        resource: at("/resourceAttributes/resource"),
        subresource: at("/resourceAttributes/subresource"),
        namespace: at("/resourceAttributes/namespace"),
        name: at("/resourceAttributes/name"),
        path: String::new(),
        is_resource: true,
        fields: field_requirements(&spec["resourceAttributes"]["fieldSelector"]),
    }
}

fn decided(decision: Decision) -> Value {
    let (allowed, denied, reason) = match decision {
        Decision::Allow { reason } => (true, false, reason),
        Decision::Deny { reason } => (false, true, reason),
        Decision::NoOpinion { reason } => (false, false, reason),
    };
    let mut status = json!({"allowed": allowed});
    if denied {
        status["denied"] = json!(true);
    }
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status
}

fn access(review: &Review<'_>, mut body: Value, authorizer: &Authorizer) -> Result<Value, ApiError> {
    let causes = check(review, &body);
    if !causes.is_empty() {
        return Err(ApiError::invalid(GROUP, text(&body, "/kind"), "", &causes));
    }
    let spec = &body["spec"];
    let about = if review.plural == "selfsubjectaccessreviews" {
        review.user.clone()
    } else {
        let extra = object(spec, "extra").into_iter().flatten();
        UserInfo {
            name: text(spec, "/user").to_owned(),
            uid: text(spec, "/uid").to_owned(),
            groups: texts(spec, "/groups"),
            extra: extra.map(|(key, values)| (key.clone(), texts(values, ""))).collect(),
        }
    };
    let status = decided(authorizer.authorize(&attributes(about, spec)));
    if review.plural == "localsubjectaccessreviews" {
        if !body["metadata"].is_object() {
            body["metadata"] = json!({});
        }
        body["metadata"]["namespace"] = json!(review.namespace);
    }
    Ok(with_status(body, status))
}

fn rules(user: &UserInfo, body: Value, authorizer: &Authorizer) -> Result<Value, ApiError> {
    let namespace = text(&body, "/spec/namespace");
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let (mut resources, mut others) = (Vec::new(), Vec::new());
    let (found, unresolved) = authorizer.rbac().rules_for(user, namespace);
    for rule in found {
        let list = if rule.urls.is_empty() { &mut resources } else { &mut others };
        list.push(rule.to_value());
    }
    let mut errors: Vec<String> = Vec::new();
    if node_name(user).is_some() {
        errors.push("node authorizer does not support user rule resolution".to_owned());
    }
    errors.extend(unresolved.iter().map(super::rbac::Unresolved::told_by_authorizer));
    if authorizer.has_external() {
        errors.push("webhook authorizer does not support user rule resolution".to_owned());
    }
    let mut status =
        json!({"resourceRules": resources, "nonResourceRules": others, "incomplete": !errors.is_empty()});
    match errors.as_slice() {
        [] => {}
        [one] => status["evaluationError"] = json!(one),
        many => status["evaluationError"] = json!(format!("[{}]", many.join(", "))),
    }
    Ok(with_status(body, status))
}

async fn token(body: Value, authenticator: &Authenticator) -> Result<Value, ApiError> {
    let presented = text(&body, "/spec/token");
    if presented.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = texts(&body, "/spec/audiences");
    let status = match authenticator.token(presented, &audiences).await {
        Ok(Some(found)) => json!({
            "authenticated": true,
            "user": found.user.to_value(),
            "audiences": found.audiences,
        }),
        Ok(None) => json!({"user": {}}),
        Err(rejected) => json!({"user": {}, "error": rejected.to_string()}),
    };
    Ok(with_status(body, status))
}
