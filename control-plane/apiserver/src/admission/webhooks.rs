//! Admission webhooks: called through the tunnels (services) or directly (URLs), trusted by their CA bundle only.

use std::sync::Arc;
use std::time::Duration;

use api_model::selector::LabelSelector;
use base64::Engine as _;
use kit::http::{Request, Response};
use serde_json::{Map, Value, json};

use crate::attributes::{AdmissionRequest, ApiError, Objects, items, text};
use crate::streaming::endpoint;
use crate::tunnel::Kubelets;

const GROUP: &str = "admissionregistration.k8s.io";
const ANSWER_MAX_BYTES: usize = 3 * 1024 * 1024;
const DEFAULT_SECONDS: u64 = 10;

/// Calls webhooks.
pub(super) struct Webhooks {
    objects: Arc<dyn Objects>,
    kubelets: Arc<Kubelets>,
}

/// Whether one of these rules (`operations`, `apiGroups`, `apiVersions`, `resources`, `scope`) is about the request.
pub(super) fn rules_match(rules: &[Value], request: &AdmissionRequest<'_>) -> bool {
    let has = |rule: &Value, field: &str, wanted: &str| {
        items(rule, field).iter().filter_map(Value::as_str).any(|one| one == "*" || one == wanted)
    };
    let resource = &request.resource.plural;
    rules.iter().any(|rule| {
        let scope = match text(rule, "/scope") {
            "Cluster" => request.namespace.is_empty(),
            "Namespaced" => !request.namespace.is_empty(),
            _ => true,
        };
        let names = items(rule, "/resourceNames");
        let resources = items(rule, "/resources").iter().filter_map(Value::as_str).any(|one| {
            match (one.split_once('/'), request.subresource) {
                (None, "") => one == "*" || one == resource,
                (None, _) => false,
                (Some((of, sub)), wanted) => {
                    (of == "*" || of == resource) && (sub == "*" || sub == wanted && !wanted.is_empty())
                }
            }
        });
        scope
            && resources
            && (names.is_empty() || names.iter().any(|name| name == request.name))
            && has(rule, "/operations", request.operation.as_str())
            && has(rule, "/apiGroups", &request.resource.group)
            && has(rule, "/apiVersions", &request.resource.version)
    })
}

/// Whether `namespaceSelector` and `objectSelector` select the request.
pub(super) fn selected(
    of: &Value,
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
    labels: fn(&Value) -> Option<&Map<String, Value>>,
) -> bool {
    let selector = |field: &str| match of.get(field) {
        None | Some(Value::Null) => LabelSelector::everything(),
        found => LabelSelector::from_object(found).unwrap_or_else(|_| LabelSelector::everything()),
    };
    let by_namespace = selector("namespaceSelector");
    let in_namespace = || {
        if request.resource.group.is_empty() && request.resource.plural == "namespaces" {
            let namespace = request.object.as_deref().or(request.old);
            return namespace.is_none_or(|one| by_namespace.matches(labels(one)));
        }
        if request.namespace.is_empty() {
            return true;
        }
        let namespace = objects.get("", "namespaces", "", request.namespace);
        by_namespace.matches(namespace.as_deref().and_then(labels))
    };
    let by_object = selector("objectSelector");
    let of_object = || {
        by_object.is_everything()
            || [request.object.as_deref(), request.old]
                .into_iter()
                .flatten()
                .any(|one| by_object.matches(labels(one)))
    };
    (by_namespace.is_everything() || in_namespace()) && of_object()
}

impl Webhooks {
    pub fn new(objects: Arc<dyn Objects>, kubelets: Arc<Kubelets>) -> Self {
        Self { objects, kubelets }
    }

    /// The webhooks of a kind that are to be asked, in order of their configurations' names.
    fn matching(&self, plural: &str, request: &AdmissionRequest<'_>) -> Vec<(String, Value)> {
        // Nobody may lock everybody out of the configurations themselves.
        if request.resource.group == GROUP {
            return Vec::new();
        }
        let mut configurations = self.objects.list(GROUP, plural, None);
        configurations.sort_by(|left, right| text(left, "/metadata/name").cmp(text(right, "/metadata/name")));
        let mut found = Vec::new();
        for configuration in &configurations {
            for webhook in items(configuration, "/webhooks") {
                if rules_match(items(webhook, "/rules"), request)
                    && selected(webhook, request, &*self.objects, super::labels)
                {
                    found.push((text(configuration, "/metadata/name").to_owned(), webhook.clone()));
                }
            }
        }
        found
    }

    pub async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), ApiError> {
        for (_, webhook) in self.matching("mutatingwebhookconfigurations", request) {
            // An earlier webhook may have changed what this one selects by.
            if !selected(&webhook, request, &*self.objects, super::labels) {
                continue;
            }
            let Some(response) = self.ask(&webhook, request).await? else { continue };
            let patch = text(&response, "/patch");
            if patch.is_empty() {
                continue;
            }
            let name = text(&webhook, "/name");
            let decoded = base64::engine::general_purpose::STANDARD.decode(patch).ok();
            let patch: Option<Value> = decoded.and_then(|patch| serde_json::from_slice(&patch).ok());
            let patched = match (patch, request.object.as_deref()) {
                (Some(patch), Some(object)) => api_model::merge::json_patch(object, &patch).ok(),
                _ => None,
            };
            match (patched, request.object.as_deref_mut()) {
                (Some(patched), Some(object)) => *object = patched,
                _ => {
                    return Err(ApiError::internal(format!(
                        "admission webhook \"{name}\" answered with a patch that does not apply"
                    )));
                }
            }
        }
        Ok(())
    }

    pub async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), ApiError> {
        for (_, webhook) in self.matching("validatingwebhookconfigurations", request) {
            self.ask(&webhook, request).await?;
        }
        Ok(())
    }

    /// What a webhook answers when it allows; none when it is to be ignored.
    async fn ask(&self, webhook: &Value, request: &AdmissionRequest<'_>) -> Result<Option<Value>, ApiError> {
        let name = text(webhook, "/name");
        let ignores = text(webhook, "/failurePolicy") == "Ignore";
        let failed = |why: String| {
            if ignores {
                tracing::warn!(webhook = name, why, "an admission webhook failed and is ignored");
                return Ok(None);
            }
            Err(ApiError::internal(format!("failed calling webhook \"{name}\": {why}")))
        };
        if !items(webhook, "/matchConditions").is_empty() {
            return failed(
                "its matchConditions are in CEL, which this server does not evaluate yet".to_owned(),
            );
        }
        if request.dry_run && !matches!(text(webhook, "/sideEffects"), "None" | "NoneOnDryRun") {
            return Err(ApiError::bad_request(format!(
                "admission webhook \"{name}\" does not support dry run"
            )));
        }
        let uid = uuid::Uuid::new_v4().to_string();
        let seconds = webhook["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_SECONDS).clamp(1, 30);
        let body = review(request, &uid).to_string();
        let answer =
            match tokio::time::timeout(Duration::from_secs(seconds), self.call(webhook, seconds, body)).await
            {
                Ok(Ok(answer)) => answer,
                Ok(Err(why)) => return failed(why),
                Err(_) => return failed("context deadline exceeded".to_owned()),
            };
        let response = &answer["response"];
        if text(response, "/uid") != uid {
            return failed(format!("expected response.uid=\"{uid}\", got \"{}\"", text(response, "/uid")));
        }
        if response["allowed"].as_bool() == Some(true) {
            return Ok(Some(response.clone()));
        }
        Err(denied(name, response))
    }

    async fn call(&self, webhook: &Value, seconds: u64, body: String) -> Result<Value, String> {
        let bundle = text(webhook, "/clientConfig/caBundle");
        let bundle =
            base64::engine::general_purpose::STANDARD.decode(bundle).map_err(|error| error.to_string())?;
        let bundle = String::from_utf8(bundle).map_err(|error| error.to_string())?;
        let post = |uri: &str| -> Result<Request, String> {
            http::Request::post(uri)
                .header(http::header::CONTENT_TYPE, "application/json")
                .header(http::header::ACCEPT, "application/json")
                .body(kit::http::full(body.clone()))
                .map_err(|error| error.to_string())
        };
        let url = text(webhook, "/clientConfig/url");
        let response = if url.is_empty() {
            let service = &webhook["clientConfig"]["service"];
            let path = match text(service, "/path") {
                "" => "/",
                path => path,
            };
            self.to_service(service, &bundle, post(&format!("{path}?timeout={seconds}s"))?).await?
        } else {
            let client = kit::client::Client::new(&bundle, None, kit::names::Names::new(), None)
                .map_err(|error| kit::Chain(&error).to_string())?;
            client.send(post(url)?).await.map_err(|error| kit::Chain(&error).to_string())?
        };
        let status = response.status();
        let bytes = kit::http::read(response.into_body(), ANSWER_MAX_BYTES)
            .await
            .map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("unexpected response code {}", status.as_u16()));
        }
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }

    async fn to_service(&self, service: &Value, bundle: &str, request: Request) -> Result<Response, String> {
        let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
        let port = service["port"].as_u64().unwrap_or(443);
        let place =
            endpoint(&*self.objects, namespace, name, &port.to_string()).map_err(|error| error.message)?;
        let config = kit::tls::client(bundle, None).map_err(|error| kit::Chain(&error).to_string())?;
        let server = format!("{name}.{namespace}.svc");
        self.kubelets
            .send_tls(&place.node, (&place.host, place.port), (Arc::new(config), &server), request)
            .await
            .map_err(|error| format!("Post \"https://{server}:{port}\": {}", kit::Chain(&error)))
    }
}

fn review(request: &AdmissionRequest<'_>, uid: &str) -> Value {
    let resource = request.resource;
    let object = request.object.as_deref();
    let name = if request.name.is_empty() {
        object.map(|object| text(object, "/metadata/name")).unwrap_or_default()
    } else {
        request.name
    };
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let place = json!({"group": resource.group, "version": resource.version, "resource": resource.plural});
    let mut asked = json!({
        "uid": uid,
        "kind": kind,
        "resource": place,
        "requestKind": kind,
        "requestResource": place,
        "name": name,
        "operation": request.operation.as_str(),
        "userInfo": request.user.to_value(),
        "object": object,
        "oldObject": request.old,
        "dryRun": request.dry_run,
        "options": null,
    });
    if !request.namespace.is_empty() {
        asked["namespace"] = json!(request.namespace);
    }
    if !request.subresource.is_empty() {
        asked["subResource"] = json!(request.subresource);
        asked["requestSubResource"] = json!(request.subresource);
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked})
}

/// A webhook's refusal, in its own words where it has any.
fn denied(name: &str, response: &Value) -> ApiError {
    let code =
        response.pointer("/status/code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (400..600).contains(code)).unwrap_or(400);
    let said = [text(response, "/status/message"), text(response, "/status/reason")];
    let why = match said.into_iter().find(|said| !said.is_empty()) {
        Some(said) => format!("admission webhook \"{name}\" denied the request: {said}"),
        None => format!("admission webhook \"{name}\" denied the request without explanation"),
    };
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        _ => "BadRequest",
    };
    ApiError::new(code, reason, why)
}
