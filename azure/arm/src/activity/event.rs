//! One event of the activity log, and what it says of who did it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{ArmError, Caller, CallerKind, ResourceId};

/// Who did what to what, as far as a request says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// `Microsoft.Network/virtualNetworks/write`.
    pub action: String,
    /// On what.
    pub resource: ResourceId,
    /// Who: application id or user name.
    pub caller: String,
    /// Their object id.
    pub caller_id: String,
    /// What their token said of them.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// Ties events together.
    pub correlation_id: String,
    /// The client's own id of its request.
    #[serde(default)]
    pub client_request_id: Option<String>,
    /// Where it came from.
    #[serde(default)]
    pub client_ip: Option<String>,
    /// `PUT`, …
    #[serde(default)]
    pub method: String,
}

/// Names that the log uses for claims of a token.
const CLAIMS: [(&str, &str); 20] = [
    ("aud", "aud"),
    ("iss", "iss"),
    ("iat", "iat"),
    ("nbf", "nbf"),
    ("exp", "exp"),
    ("ver", "ver"),
    ("appid", "appid"),
    ("azp", "azp"),
    ("appidacr", "appidacr"),
    ("ipaddr", "ipaddr"),
    ("name", "name"),
    ("uti", "uti"),
    ("idtyp", "idtyp"),
    ("xms_mirid", "xms_mirid"),
    ("amr", "http://schemas.microsoft.com/claims/authnmethodsreferences"),
    ("idp", "http://schemas.microsoft.com/identity/claims/identityprovider"),
    ("tid", "http://schemas.microsoft.com/identity/claims/tenantid"),
    ("scp", "http://schemas.microsoft.com/identity/claims/scope"),
    ("sub", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"),
    ("upn", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"),
];

fn plain(value: &Value) -> Value {
    match value {
        Value::String(_) => value.clone(),
        Value::Array(list) => {
            Value::from(list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
        }
        other => Value::from(other.to_string()),
    }
}

impl Cause {
    /// What a caller does.
    pub(crate) fn new(action: &str, resource: &ResourceId, caller: &Caller, correlation_id: &str) -> Self {
        let mut claims: Map<String, Value> = CLAIMS
            .iter()
            .filter_map(|(claim, name)| Some(((*name).to_owned(), plain(caller.claims.get(claim)?))))
            .collect();
        let object = "http://schemas.microsoft.com/identity/claims/objectidentifier";
        claims.insert(object.to_owned(), json!(caller.object_id));
        if caller.kind == CallerKind::Service {
            claims.insert("appid".to_owned(), json!(caller.object_id));
        }
        Self {
            action: action.to_owned(),
            resource: resource.clone(),
            caller: caller.name.clone(),
            caller_id: caller.object_id.clone(),
            claims,
            correlation_id: correlation_id.to_owned(),
            client_request_id: None,
            client_ip: None,
            method: String::new(),
        }
    }
}

/// One event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Orders events; unique.
    pub key: String,
    /// RFC 3339.
    pub at: String,
    /// `Microsoft.Network/virtualNetworks/write`.
    pub action: String,
    /// `Started`, `Accepted`, `Succeeded`, `Failed`; `Active` and `Resolved` for health.
    pub status: String,
    /// The HTTP status, or 0.
    pub http_status: u16,
    /// On what.
    pub resource: ResourceId,
    /// Who: application id or user name.
    pub caller: String,
    /// Their object id.
    pub caller_id: String,
    /// Ties events together.
    pub correlation_id: String,
    /// The error's code and message, if it failed.
    pub error: Option<String>,
    /// `Administrative` or `ResourceHealth`.
    pub category: String,
    /// The operation that this belongs to, if it went on.
    #[serde(default)]
    pub operation_id: Option<String>,
    /// The error's body.
    #[serde(default)]
    pub error_body: Option<Value>,
    /// The rest of what is known of the request.
    #[serde(default)]
    pub cause: Option<Box<Cause>>,
    /// What only this category has.
    #[serde(default)]
    pub properties: Option<Value>,
}

/// Between year 1 and 1970, in ticks of 100 ns.
const TICKS_1970: i128 = 621_355_968_000_000_000;

impl Event {
    fn empty(at: jiff::Timestamp, resource: &ResourceId, status: &str, category: &str) -> Self {
        Self {
            key: format!("{:020}-{}", at.as_nanosecond().max(0), uuid::Uuid::new_v4().simple()),
            at: at.to_string(),
            action: String::new(),
            status: status.to_owned(),
            http_status: 0,
            resource: resource.clone(),
            caller: String::new(),
            caller_id: String::new(),
            correlation_id: uuid::Uuid::new_v4().to_string(),
            error: None,
            category: category.to_owned(),
            operation_id: None,
            error_body: None,
            cause: None,
            properties: None,
        }
    }

    /// What became of a request, or of the operation it started.
    pub(crate) fn of(
        at: jiff::Timestamp,
        cause: &Cause,
        status: &str,
        http_status: u16,
        error: Option<&ArmError>,
    ) -> Self {
        let mut event = Self::empty(at, &cause.resource, status, "Administrative");
        event.action.clone_from(&cause.action);
        event.http_status = http_status;
        event.caller.clone_from(&cause.caller);
        event.caller_id.clone_from(&cause.caller_id);
        event.correlation_id.clone_from(&cause.correlation_id);
        event.error = error.map(ToString::to_string);
        event.error_body = error.map(ArmError::body);
        event.cause = Some(Box::new(cause.clone()));
        event
    }

    /// A resource began to work differently.
    pub(crate) fn health(
        at: jiff::Timestamp,
        resource: &ResourceId,
        from: &str,
        to: &str,
        why: &str,
    ) -> Self {
        let status = if to == "Available" { "Resolved" } else { "Active" };
        let mut event = Self::empty(at, resource, status, "ResourceHealth");
        "Microsoft.Resourcehealth/healthevent/Activated/action".clone_into(&mut event.action);
        if status == "Resolved" {
            "Microsoft.Resourcehealth/healthevent/Resolved/action".clone_into(&mut event.action);
        }
        event.properties = Some(json!({
            "title": why, "details": why, "currentHealthStatus": to, "previousHealthStatus": from,
            "type": "Downtime", "cause": "PlatformInitiated",
        }));
        event
    }

    /// `Error`, `Warning` or `Informational`.
    pub fn level(&self) -> &'static str {
        match self.status.as_str() {
            "Failed" => "Error",
            "Active" => "Warning",
            _ => "Informational",
        }
    }

    fn sub_status(&self) -> Value {
        match http::StatusCode::from_u16(self.http_status) {
            Ok(status) if self.status != "Started" => {
                let words = status.canonical_reason().unwrap_or("").replace(' ', "");
                let long = format!(
                    "{} (HTTP Status Code: {})",
                    status.canonical_reason().unwrap_or(""),
                    self.http_status
                );
                json!({"value": words, "localizedValue": long})
            }
            _ => json!({"value": "", "localizedValue": ""}),
        }
    }

    fn details(&self) -> Value {
        if let Some(properties) = &self.properties {
            return properties.clone();
        }
        let mut details = json!({
            "eventCategory": self.category, "entity": self.resource, "message": self.action,
            "hierarchy": self.resource.subscription().unwrap_or(""),
        });
        let sub_status = self.sub_status();
        if sub_status["value"] != "" {
            details["statusCode"] = sub_status["value"].clone();
        }
        if let Some(body) = &self.error_body {
            details["statusMessage"] = json!(body.to_string());
        } else if let Some(error) = &self.error {
            details["statusMessage"] = json!(error);
        }
        details
    }

    /// As the log's list shows it.
    pub fn to_json(&self) -> Value {
        let both = |text: &str| json!({"value": text, "localizedValue": text});
        let ends = !matches!(self.status.as_str(), "Started" | "Accepted");
        let name = if ends { ("EndRequest", "End request") } else { ("BeginRequest", "Begin request") };
        let ticks = self.at.parse::<jiff::Timestamp>().map_or(0, |at| at.as_nanosecond() / 100 + TICKS_1970);
        let id = self.key.rsplit('-').next().unwrap_or("");
        let cause = self.cause.as_deref();
        let subscription = self.resource.subscription().unwrap_or("");
        let mut shown = json!({
            "id": format!("{}/events/{id}/ticks/{ticks}", self.resource),
            "eventDataId": id, "correlationId": self.correlation_id,
            "operationId": self.operation_id.as_ref().unwrap_or(&self.correlation_id),
            "eventTimestamp": self.at, "submissionTimestamp": self.at, "level": self.level(),
            "operationName": both(&self.action), "status": both(&self.status), "subStatus": self.sub_status(),
            "category": both(&self.category), "eventName": {"value": name.0, "localizedValue": name.1},
            "resourceId": self.resource, "resourceGroupName": self.resource.group().unwrap_or(""),
            "resourceProviderName": both(self.resource.namespace()),
            "resourceType": both(&self.resource.resource_type()),
            "subscriptionId": subscription, "caller": self.caller, "channels": "Operation",
            "claims": cause.map(|c| c.claims.clone()).unwrap_or_default(),
            "authorization": {"action": self.action, "scope": self.resource},
            "description": "", "properties": self.details(), "relatedEvents": [],
        });
        if let Some(tenant) =
            cause.and_then(|c| c.claims.get("http://schemas.microsoft.com/identity/claims/tenantid"))
        {
            shown["tenantId"] = tenant.clone();
        }
        if let Some(cause) = cause.filter(|c| !c.method.is_empty()) {
            shown["httpRequest"] = json!({
                "clientRequestId": cause.client_request_id, "clientIpAddress": cause.client_ip, "method": cause.method,
            });
        }
        shown
    }
}
