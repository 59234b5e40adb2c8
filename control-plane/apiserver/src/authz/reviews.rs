//! The review APIs: questions to the authenticators and authorisers, as objects that are created and never stored.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Authorizer, MASTERS};
use crate::attributes::{ApiError, Attributes, Decision, UserInfo, items, text, texts};
use crate::authn::Authenticator;

/// Answers a review. `plural` is one of `selfsubjectaccessreviews`, `subjectaccessreviews`, `localsubjectaccessreviews`,
/// `selfsubjectrulesreviews`, `selfsubjectreviews`, `tokenreviews`; `user` is who asks.
pub async fn create(
    plural: &str,
    namespace: &str,
    user: &UserInfo,
    body: Value,
    authorizer: &Authorizer,
    authenticator: &Authenticator,
) -> Result<Value, ApiError> {
    match plural {
        "selfsubjectaccessreviews" => self_access(user, body, authorizer),
        "subjectaccessreviews" => access(None, body, authorizer),
        "localsubjectaccessreviews" => access(Some(namespace), body, authorizer),
        "selfsubjectrulesreviews" => rules(user, body, authorizer),
        "selfsubjectreviews" => Ok(with_status(body, json!({"userInfo": user.to_value()}))),
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

fn attributes(user: UserInfo, spec: &Value) -> Result<Attributes, ApiError> {
    let user = Arc::new(user);
    let at = |pointer: &str| text(spec, pointer).to_owned();
    match (spec.get("resourceAttributes"), spec.get("nonResourceAttributes")) {
        (Some(Value::Object(_)), None | Some(Value::Null)) => {
            let namespace = at("/resourceAttributes/namespace");
            Ok(Attributes {
                user,
                verb: at("/resourceAttributes/verb"),
                group: at("/resourceAttributes/group"),
                version: at("/resourceAttributes/version"),
                resource: at("/resourceAttributes/resource"),
                subresource: at("/resourceAttributes/subresource"),
                namespace,
                name: at("/resourceAttributes/name"),
                path: String::new(),
                is_resource: true,
            })
        }
        (None | Some(Value::Null), Some(Value::Object(_))) => Ok(Attributes {
            user,
            verb: at("/nonResourceAttributes/verb"),
            path: at("/nonResourceAttributes/path"),
            ..Attributes::default()
        }),
        _ => Err(ApiError::bad_request(
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
    }
}

fn decision(decision: Decision) -> Value {
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

fn self_access(user: &UserInfo, body: Value, authorizer: &Authorizer) -> Result<Value, ApiError> {
    let asked = attributes(user.clone(), &body["spec"])?;
    let status = decision(authorizer.authorize(&asked));
    Ok(with_status(body, status))
}

fn access(namespace: Option<&str>, body: Value, authorizer: &Authorizer) -> Result<Value, ApiError> {
    let spec = &body["spec"];
    let about = UserInfo {
        name: text(spec, "/user").to_owned(),
        uid: text(spec, "/uid").to_owned(),
        groups: texts(spec, "/groups"),
        ..UserInfo::default()
    };
    if about.name.is_empty() && about.groups.is_empty() {
        return Err(ApiError::bad_request("at least one of user or group must be specified"));
    }
    let asked = attributes(about, spec)?;
    if let Some(namespace) = namespace
        && (asked.namespace != namespace || !asked.is_resource)
    {
        return Err(ApiError::bad_request(format!(
            "spec.resourceAttributes.namespace must match namespace: {namespace}"
        )));
    }
    let status = decision(authorizer.authorize(&asked));
    Ok(with_status(body, status))
}

fn rules(user: &UserInfo, body: Value, authorizer: &Authorizer) -> Result<Value, ApiError> {
    let namespace = text(&body, "/spec/namespace");
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let all = json!(["*"]);
    let (mut resources, mut others) = (Vec::new(), Vec::new());
    if user.is_in(MASTERS) {
        resources.push(json!({"verbs": all, "apiGroups": all, "resources": all}));
        others.push(json!({"verbs": all, "nonResourceURLs": all}));
    }
    for rule in authorizer.rbac().rules_for(user, namespace) {
        let list = if rule.urls.is_empty() { &mut resources } else { &mut others };
        list.push(rule.to_value());
    }
    let status = json!({"resourceRules": resources, "nonResourceRules": others, "incomplete": false});
    Ok(with_status(body, status))
}

async fn token(body: Value, authenticator: &Authenticator) -> Result<Value, ApiError> {
    let presented = text(&body, "/spec/token");
    if presented.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    if items(&body, "/spec/audiences").len() > 32 {
        return Err(ApiError::bad_request("too many audiences"));
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
