//! ARM's error object, with the codes and texts clients know.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An error as a client of ARM sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("({code}) {message}")]
pub struct ArmError {
    /// The HTTP status.
    #[serde(with = "status")]
    pub status: StatusCode,
    /// `ResourceNotFound`, …
    pub code: String,
    /// What a person reads.
    pub message: String,
    /// Which part of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Errors inside this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ArmError>,
    /// AKS's second code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subcode: Option<Box<str>>,
}

mod status {
    use http::StatusCode;
    use serde::{Deserialize, Deserializer, Serializer};
    pub fn serialize<S: Serializer>(status: &StatusCode, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u16(status.as_u16())
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<StatusCode, D::Error> {
        StatusCode::from_u16(u16::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

impl ArmError {
    /// An error with this status, code and message.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            target: None,
            details: Vec::new(),
            subcode: None,
        }
    }

    /// The same, naming the part of the request that is wrong.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// The same, with an error inside.
    pub fn detail(mut self, inner: ArmError) -> Self {
        self.details.push(inner);
        self
    }

    /// The same, with AKS's second code.
    pub fn subcode(mut self, subcode: impl Into<String>) -> Self {
        self.subcode = Some(subcode.into().into_boxed_str());
        self
    }

    /// The inner object: `{"code","message",…}`.
    pub fn inner(&self) -> Value {
        let mut object = json!({"code": self.code, "message": self.message});
        if let Some(target) = &self.target {
            object["target"] = json!(target);
        }
        if let Some(subcode) = &self.subcode {
            object["subcode"] = json!(subcode);
        }
        if !self.details.is_empty() {
            object["details"] = self.details.iter().map(ArmError::inner).collect();
        }
        object
    }

    /// The whole body: `{"error":{…}}`.
    pub fn body(&self) -> Value {
        json!({"error": self.inner()})
    }

    /// Reads an error body, nested or flat, that came with `status`.
    pub fn read(status: StatusCode, body: &Value) -> Self {
        let inner = body.get("error").filter(|e| e.is_object()).unwrap_or(body);
        let text = |name: &str| inner.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            status,
            code: text("code").unwrap_or_else(|| status.as_u16().to_string()),
            message: text("message").unwrap_or_default(),
            target: text("target"),
            subcode: text("subcode").map(String::into_boxed_str),
            details: inner
                .get("details")
                .and_then(Value::as_array)
                .map(|list| list.iter().map(|d| Self::read(status, d)).collect())
                .unwrap_or_default(),
        }
    }

    /// Whether this says that something is not there.
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// 400 with a code.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 409 with a code.
    pub fn conflict(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 400 `InvalidParameter` for a field of the body.
    pub fn invalid_parameter(target: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_request("InvalidParameter", message).target(target)
    }

    /// 500 for a fault of ours; the cause belongs into the log, not here.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "Encountered internal server error.",
        )
    }

    /// 501 for what is not built, naming it.
    pub fn not_implemented(what: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            format!("{what} is not implemented by this cloud."),
        )
    }

    /// 404 for a resource that is not there.
    pub fn resource_not_found(id: &crate::ResourceId) -> Self {
        let kind = id.resource_type();
        let name = id.full_name();
        let (long, group) = match id.group() {
            Some(group) => (interleaved(id), format!(" under resource group '{group}'")),
            None => (format!("{kind}/{name}"), String::new()),
        };
        Self::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!(
                "The Resource '{long}'{group} was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    /// 404 for the parent of a nested resource.
    pub fn parent_not_found(id: &crate::ResourceId) -> Self {
        let parent = id.parent().map(|p| interleaved(&p)).unwrap_or_default();
        Self::new(
            StatusCode::NOT_FOUND,
            "ParentResourceNotFound",
            format!(
                "Failed to perform 'write' on resource(s) of type '{}', because the parent resource '{parent}' could not be found.",
                id.types().iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>().join("/"),
            ),
        )
    }

    /// 404 for a group that is not there.
    pub fn group_not_found(group: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        )
    }

    /// 404 for a subscription that is not there.
    pub fn subscription_not_found(subscription: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "SubscriptionNotFound",
            format!("The subscription '{subscription}' could not be found."),
        )
    }

    /// 400 for a body that is not JSON or not of the right shape.
    pub fn invalid_content(why: impl std::fmt::Display) -> Self {
        Self::bad_request(
            "InvalidRequestContent",
            format!("The request content was invalid and could not be deserialized: '{why}'."),
        )
    }

    /// 412 for an ETag that does not hold.
    pub fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "The precondition given in one of the request headers evaluated to false.",
        )
    }

    /// 403 for a caller without the right.
    pub fn authorization_failed(caller: &crate::Caller, action: &str, scope: &crate::ResourceId) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "AuthorizationFailed",
            format!(
                "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
                caller.name, caller.object_id
            ),
        )
    }

    /// 403 for a caller who may do the deed but not use the other resource it needs.
    pub fn linked_authorization_failed(
        caller: &crate::Caller,
        action: &str,
        scope: &crate::ResourceId,
        linked_action: &str,
        linked: &[crate::ResourceId],
    ) -> Self {
        let linked = linked.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Self::new(
            StatusCode::FORBIDDEN,
            "LinkedAuthorizationFailed",
            format!(
                "The client '{}' with object id '{}' has permission to perform action '{action}' on scope '{scope}'; however, it does not have permission to perform action(s) '{linked_action}' on the linked scope(s) '{linked}' (respectively) or the linked scope(s) are invalid.",
                caller.name, caller.object_id
            ),
        )
    }
}

/// `Microsoft.X/a/nameA/b/nameB`, as not-found texts spell it.
fn interleaved(id: &crate::ResourceId) -> String {
    let mut text = id.namespace().to_owned();
    for (kind, name) in id.types() {
        text.push_str(&format!("/{kind}/{name}"));
    }
    text
}

impl From<crate::id::IdError> for ArmError {
    fn from(error: crate::id::IdError) -> Self {
        Self::bad_request(
            "LinkedInvalidPropertyId",
            format!(
                "Property id '{}' at path '' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{{subscriptionId}}' or '/providers/{{resourceProviderNamespace}}/'.",
                error.text
            ),
        )
    }
}

impl From<crate::StoreError> for ArmError {
    fn from(error: crate::StoreError) -> Self {
        tracing::error!(error = %kit::Chain(&error), "the resource store failed");
        Self::internal()
    }
}

impl From<crate::DirectoryError> for ArmError {
    fn from(error: crate::DirectoryError) -> Self {
        tracing::error!(error = %kit::Chain(&error), "the directory failed");
        Self::internal()
    }
}
