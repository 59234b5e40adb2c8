//! `POST /$batch`: up to twenty requests in one, each answered as if it had come alone.
//!
//! They are done in the order given; one that depends on another that failed is not done. All of them have the batch's caller.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Fault, Incoming};
use crate::entra::Entra;

/// Graph's own limit.
const REQUESTS_MAX: usize = 20;

/// One of the batch's requests.
struct Step {
    id: String,
    depends_on: Vec<String>,
    incoming: Incoming,
}

impl Entra {
    /// Answers a batch.
    pub(super) async fn graph_batch(&self, outer: &Incoming) -> Result<Value, Fault> {
        if outer.method != Method::POST {
            return Err(Fault::bad("A batch is sent with POST."));
        }
        let steps = steps(outer)?;
        let (mut responses, mut failed) = (Vec::new(), BTreeSet::new());
        for step in steps {
            let (status, body) = if step.depends_on.iter().any(|id| failed.contains(id)) {
                (StatusCode::FAILED_DEPENDENCY, Some(failed_dependency()))
            } else {
                self.graph_answer(&step.incoming).await
            };
            if !status.is_success() {
                failed.insert(step.id.clone());
            }
            let mut response = json!({"id": step.id, "status": status.as_u16(), "headers": {}});
            if let Some(body) = body {
                response["headers"]["Content-Type"] = json!("application/json");
                response["body"] = body;
            }
            responses.push(response);
        }
        Ok(json!({"responses": responses}))
    }
}

fn failed_dependency() -> Value {
    json!({"error": {"code": "FailedDependency", "message": "A request that this one depends on failed."}})
}

fn steps(outer: &Incoming) -> Result<Vec<Step>, Fault> {
    let body: Value =
        serde_json::from_slice(&outer.body).map_err(|_| Fault::bad("Invalid batch payload format."))?;
    let requests = body["requests"].as_array().ok_or_else(|| Fault::bad("Invalid batch payload format."))?;
    if requests.len() > REQUESTS_MAX {
        return Err(Fault::bad(format!(
            "Number of batch request steps exceeds the maximum value of {REQUESTS_MAX}."
        )));
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for request in requests {
        let step = step(outer, request)?;
        if let Some(unknown) = step.depends_on.iter().find(|id| !seen.contains(*id)) {
            return Err(Fault::bad(format!(
                "Request '{}' depends on '{unknown}', which is not before it.",
                step.id
            )));
        }
        if !seen.insert(step.id.clone()) {
            return Err(Fault::bad(format!("Request id '{}' is there twice in the batch.", step.id)));
        }
        found.push(step);
    }
    Ok(found)
}

fn step(outer: &Incoming, request: &Value) -> Result<Step, Fault> {
    let text = |name: &str| request[name].as_str().filter(|text| !text.is_empty());
    let need =
        |name: &str| text(name).ok_or_else(|| Fault::bad(format!("A request of the batch has no '{name}'.")));
    let (id, method, url) = (need("id")?, need("method")?, need("url")?);
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
        .map_err(|_| Fault::bad(format!("'{method}' is no method.")))?;
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    let mut segments = vec![outer.segments.first().cloned().unwrap_or_default()];
    segments.extend(path.split('/').filter(|part| !part.is_empty()).map(decoded));
    if segments.get(1).is_some_and(|first| first.eq_ignore_ascii_case("$batch")) {
        return Err(Fault::bad("A batch holds no other batch."));
    }
    let mut headers = outer.headers.clone();
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let name = http::HeaderName::try_from(name.as_str());
        let value = value.as_str().map(http::HeaderValue::try_from);
        // Who asks is who sent the batch.
        if let (Ok(name), Some(Ok(value))) = (name, value)
            && name != http::header::AUTHORIZATION
        {
            headers.insert(name, value);
        }
    }
    let body = match &request["body"] {
        Value::Null => bytes::Bytes::new(),
        body => body.to_string().into(),
    };
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let depends_on = request["dependsOn"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok(Step {
        id: id.to_owned(),
        depends_on: depends_on.map(str::to_owned).collect(),
        incoming: Incoming { method, segments, query, headers, base: outer.base.clone(), body },
    })
}
