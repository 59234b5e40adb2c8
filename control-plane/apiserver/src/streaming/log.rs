//! `GET …/pods/<name>/log`.

use http::{HeaderValue, Method, StatusCode, header};
use kit::http::{Request, Response};

use super::target::{Query, container, kubelet_path, node};
use super::{Connect, Streaming, refusal, unreachable};
use crate::attributes::{ApiError, text};

impl Streaming {
    pub(super) async fn log(&self, connect: Connect<'_>, request: Request) -> Result<Response, ApiError> {
        if request.method() != Method::GET {
            return Err(ApiError::method_not_allowed());
        }
        let query = Query::parse(request.uri().query());
        let asked = options(&query, connect.name)?;
        let pod = self.pod(connect.namespace, connect.name)?;
        let container = container(&pod, query.get("container"))?;
        if text(&pod, "/spec/nodeName").is_empty() {
            // Not scheduled yet: upstream answers with nothing.
            return Ok(plain(StatusCode::OK));
        }
        let node = node(&pod)?;
        let path = kubelet_path("containerLogs", &[connect.namespace, connect.name, &container], &asked);
        let onward =
            http::Request::builder().uri(path).body(kit::http::empty()).map_err(ApiError::internal)?;
        let answer = self.kubelets.send(node, onward).await.map_err(|error| unreachable(node, &error))?;
        if answer.status().is_success() {
            let mut response = plain(StatusCode::OK);
            *response.body_mut() = answer.into_body();
            return Ok(response);
        }
        Err(refusal(answer).await)
    }
}

fn plain(status: StatusCode) -> Response {
    let mut response = kit::http::status(status);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// The options for the kubelet, checked as upstream checks `PodLogOptions`.
fn options(query: &Query, pod: &str) -> Result<Vec<(&'static str, String)>, ApiError> {
    let mut wanted = Vec::new();
    for flag in ["follow", "previous", "timestamps"] {
        if query.flag(flag) {
            wanted.push((flag, "true".to_owned()));
        }
    }
    let mut causes = Vec::new();
    let mut refuse = |field: &str, value: &str, why: &str| {
        causes.push(api_model::Cause {
            field: field.to_owned(),
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {value}: {why}"),
        });
    };
    for (name, least, why) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ] {
        let Some(value) = query.get(name).filter(|value| !value.is_empty()) else { continue };
        match value.parse::<i64>() {
            Ok(number) if number >= least => wanted.push((name, number.to_string())),
            Ok(_) => refuse(name, value, why),
            Err(_) => {
                return Err(ApiError::bad_request(format!(
                    "strconv.ParseInt: parsing \"{value}\": invalid syntax"
                )));
            }
        }
    }
    if let Some(since) = query.get("sinceTime").filter(|value| !value.is_empty()) {
        if query.get("sinceSeconds").is_some() {
            let forbidden = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            refuse("sinceTime", &format!("\"{since}\""), forbidden);
        }
        match since.parse::<jiff::Timestamp>() {
            Ok(_) => wanted.push(("sinceTime", since.to_owned())),
            Err(_) => refuse("sinceTime", &format!("\"{since}\""), "must be a time in RFC 3339"),
        }
    }
    if let Some(stream) = query.get("stream").filter(|value| !value.is_empty() && *value != "All") {
        match stream {
            "Stdout" | "Stderr" => wanted.push(("stream", stream.to_owned())),
            _ => refuse(
                "stream",
                &format!("\"{stream}\""),
                "supported values: \"All\", \"Stderr\", \"Stdout\"",
            ),
        }
    }
    if causes.is_empty() { Ok(wanted) } else { Err(ApiError::invalid("", "PodLogOptions", pod, &causes)) }
}
