//! Answers become responses: common headers, polling headers.

use http::{HeaderName, HeaderValue, StatusCode, header};
use kit::http::Response;

use super::{Answer, Incoming};
use crate::{ArmError, ResourceId};

/// The response to a request that could not even be read.
pub(super) fn refused(error: &ArmError) -> Response {
    kit::http::json(error.status, &error.body())
}

/// The path of an operation's status, `kind` being `operations` or `operationresults`.
pub(super) fn operation_path(resource: &ResourceId, location: &str, kind: &str, id: &str) -> String {
    let subscription = resource.subscription().unwrap_or("");
    let namespace =
        if resource.namespace().is_empty() { "Microsoft.Resources" } else { resource.namespace() };
    let location = if location.is_empty() { "global" } else { location };
    format!("/subscriptions/{subscription}/providers/{namespace}/locations/{location}/{kind}/{id}")
}

/// The response to a request.
pub(super) fn response(incoming: &Incoming, outcome: Result<Answer, ArmError>) -> Response {
    let mut answer = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            let mut answer = Answer::new(error.status, error.body());
            if error.status == StatusCode::UNAUTHORIZED {
                answer = answer.header("www-authenticate", challenge(incoming, &error));
            }
            answer.header("x-ms-failure-cause", "gateway")
        }
    };
    if incoming.method == http::Method::HEAD {
        // HTTP/2 has no way to send what must not be there: a body would break the connection.
        answer.body = None;
    }
    let mut response = match &answer.body {
        Some(body) => kit::http::json(answer.status, body),
        None => kit::http::status(answer.status),
    };
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    for (name, value) in &answer.headers {
        set(name, value);
    }
    if answer.operation.is_some() || answer.retry {
        let (name, value) = pace(incoming);
        set(name, value);
    }
    if let (Some(operation), Some(_)) = (&answer.operation, &incoming.in_process) {
        set("x-lazurite-operation", operation);
    }
    set("x-ms-request-id", &incoming.request_id);
    set("x-ms-correlation-request-id", &incoming.correlation_id);
    set("x-ms-routing-request-id", &format!("LAZURITE:{}", incoming.request_id));
    if let Some(id) = incoming.header("x-ms-client-request-id") {
        set("x-ms-client-request-id", id);
    }
    let (left, wait) = incoming.left();
    if let Some((header, left)) = left {
        set(header, &left.to_string());
    }
    if let Some(seconds) = wait {
        set("retry-after", &seconds.to_string());
    }
    set("cache-control", "no-cache");
    set("pragma", "no-cache");
    set("expires", "-1");
    set("strict-transport-security", "max-age=31536000; includeSubDomains");
    set("x-content-type-options", "nosniff");
    if answer.body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    response
}

fn challenge(incoming: &Incoming, error: &ArmError) -> String {
    format!(
        "Bearer authorization_uri=\"{}/\", error=\"invalid_token\", error_description=\"{}\"",
        incoming.base_url,
        error.message.replace('"', "'")
    )
}

/// When to ask again. az and the Python SDKs honour milliseconds, the others whole seconds; whole seconds win when both
/// are there, so only one is sent. (Zero would mean half a minute to az.)
fn pace(incoming: &Incoming) -> (&'static str, &'static str) {
    let agent = incoming.header("user-agent").unwrap_or("").to_ascii_lowercase();
    if agent.contains("azurecli") || agent.contains("azsdk-python") {
        ("x-ms-retry-after-ms", "100")
    } else {
        ("retry-after", "1")
    }
}
