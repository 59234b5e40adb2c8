//! What the two halves of the API server say to each other: who asks for what, what is stored, and errors.
//!
//! The registry half makes [`Attributes`] of a request and implements [`Objects`]; authorisers, admission and token
//! checks read both. An [`ApiError`] is answered as `metav1.Status`, with upstream's texts.

mod notes;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use api_model::selector::FieldRequirement;
use serde_json::{Value, json};

pub use notes::Notes;

use crate::handlers::options::{DeleteOptions, WriteOptions};

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// User name, for example `system:node:n1`.
    pub name: String,
    /// Unique id, where the authenticator knows one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Whatever else the authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user with groups; `system:authenticated` is not added.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|have| have == group)
    }

    /// `authentication.k8s.io` `UserInfo`.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"username": self.name});
        if !self.uid.is_empty() {
            value["uid"] = json!(self.uid);
        }
        if !self.groups.is_empty() {
            value["groups"] = json!(self.groups);
        }
        if !self.extra.is_empty() {
            value["extra"] = json!(self.extra);
        }
        value
    }
}

/// What is asked for, as far as authorisation cares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Who asks.
    pub user: Arc<UserInfo>,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, …; for other paths the HTTP method
    /// in lower case.
    pub verb: String,
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural name of the resource.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Object name, or empty.
    pub name: String,
    /// The path of the URL.
    pub path: String,
    /// Whether the path is one of a resource.
    pub is_resource: bool,
    /// What the fields of the objects concerned must be, when the request says so.
    pub fields: Vec<FieldRequirement>,
}

/// What an authoriser says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes; nobody else is asked.
    Allow {
        /// Why.
        reason: String,
    },
    /// No; nobody else is asked.
    Deny {
        /// Why.
        reason: String,
    },
    /// The next authoriser is asked; after the last it means no.
    NoOpinion {
        /// Why, for the message.
        reason: String,
    },
}

impl Decision {
    /// Whether it is a yes.
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// Read access to stored objects, for authorisers, admission and token checks; served from the registry's caches.
pub trait Objects: Send + Sync {
    /// One object; `namespace` is empty for cluster-wide resources.
    fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// All objects of a namespace, or of all.
    fn list(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Arc<Value>>;
    /// A number that changes when any such object changes, so that readers may keep what they derived.
    fn version(&self, group: &str, plural: &str) -> u64;
    /// Reads [`version`](Self::version) quickly, for who asks at every request. None when there is no quicker way.
    fn version_reader(&self, _group: &str, _plural: &str) -> Option<VersionReader> {
        None
    }
    /// Follows all objects: what is there, then what changes. None when changes cannot be followed; then [`version`](Self::version) tells.
    fn follow(&self, _group: &str, _plural: &str) -> Option<Box<dyn Follow>> {
        None
    }
}

/// Reads a version.
pub type VersionReader = Box<dyn Fn() -> u64 + Send + Sync>;

/// Changes of objects, taken when the follower has time.
pub trait Follow: Send {
    /// The next change that has happened.
    fn next(&mut self) -> Followed;
}

/// What a follower sees.
pub enum Followed {
    /// An object came, changed or went.
    Changed {
        /// As it is; when it went, as it was.
        object: Arc<Value>,
        /// Whether it is there.
        exists: bool,
    },
    /// Nothing more for now.
    Nothing,
    /// Changes are lost: follow anew.
    Lost,
}

/// What admission is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// A removal.
    Delete,
    /// A connection to a subresource such as `exec`.
    Connect,
}

impl Operation {
    /// As webhooks spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A request on its way through admission.
pub struct AdmissionRequest<'a> {
    /// What is done.
    pub operation: Operation,
    /// To which resource.
    pub resource: &'a api_model::Resource,
    /// Subresource, or empty.
    pub subresource: &'a str,
    /// Namespace, or empty.
    pub namespace: &'a str,
    /// Name; empty when the server is to make one.
    pub name: &'a str,
    /// By whom.
    pub user: &'a UserInfo,
    /// The object to be stored; plugins may change it. None for deletions. For a connection the options.
    pub object: Option<&'a mut Value>,
    /// The object as it is stored.
    pub old: Option<&'a Value>,
    /// How it is to be done.
    pub options: Options<'a>,
    /// Where warnings and audit annotations go.
    pub notes: &'a Notes,
}

impl AdmissionRequest<'_> {
    /// Whether nothing will be stored.
    pub fn dry_run(&self) -> bool {
        self.options.dry_run()
    }

    /// Group, version and kind of the object: of a subresource, what is sent to it.
    pub fn kind(&self) -> (&str, &str, &str) {
        kind_of(self.resource, self.subresource)
    }
}

/// Group, version and kind of what a resource or its subresource takes.
pub(crate) fn kind_of<'r>(
    resource: &'r api_model::Resource,
    subresource: &str,
) -> (&'r str, &'r str, &'r str) {
    match resource.subresource(subresource) {
        Some(sub) if !sub.kind.is_empty() => (&sub.group, &sub.version, &sub.kind),
        _ => (&resource.group, &resource.version, &resource.kind),
    }
}

/// The options of what is asked for, as admission sees them.
#[derive(Debug, Clone, Copy)]
pub enum Options<'a> {
    /// Of a creation or a change.
    Write(&'a WriteOptions),
    /// Of a removal.
    Delete(&'a DeleteOptions),
    /// None but whether nothing is stored.
    DryRun(bool),
}

impl<'a> From<&'a WriteOptions> for Options<'a> {
    fn from(options: &'a WriteOptions) -> Self {
        Self::Write(options)
    }
}

impl<'a> From<&'a DeleteOptions> for Options<'a> {
    fn from(options: &'a DeleteOptions) -> Self {
        Self::Delete(options)
    }
}

impl From<bool> for Options<'_> {
    fn from(dry_run: bool) -> Self {
        Self::DryRun(dry_run)
    }
}

impl Options<'_> {
    /// Whether nothing will be stored.
    pub fn dry_run(&self) -> bool {
        match self {
            Self::Write(options) => options.dry_run,
            Self::Delete(options) => options.dry_run,
            Self::DryRun(dry_run) => *dry_run,
        }
    }

    /// `meta.k8s.io/v1` `CreateOptions`, `UpdateOptions` or `DeleteOptions`; null for connections.
    pub fn to_value(&self, operation: Operation) -> Value {
        let kind = match operation {
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete => "DeleteOptions",
            Operation::Connect => return Value::Null,
        };
        let mut value = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        match self {
            Self::Write(options) => options.write_to(&mut value),
            Self::Delete(options) => options.write_to(&mut value),
            Self::DryRun(_) => {}
        }
        if self.dry_run() {
            value["dryRun"] = json!(["All"]);
        }
        value
    }
}

/// A failed request, answered as `metav1.Status`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// HTTP status.
    pub code: u16,
    /// Machine-readable reason, for example `NotFound`; a webhook may give one of its own.
    pub reason: Cow<'static, str>,
    /// Text for people.
    pub message: String,
    /// `metav1.StatusDetails`.
    pub details: Option<Value>,
    /// `metadata.continue`: with it a list that is too old can be ended all the same.
    pub continue_token: Option<String>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// `pods` or `deployments.apps`.
pub fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

fn details(group: &str, kind: &str, name: &str) -> Option<Value> {
    let mut details = serde_json::Map::new();
    for (field, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(field.to_owned(), json!(value));
        }
    }
    Some(Value::Object(details))
}

impl ApiError {
    /// An error without details.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), message: message.into(), details: None, continue_token: None }
    }

    fn about(code: u16, reason: &'static str, message: String, details: Option<Value>) -> Self {
        Self { code, reason: Cow::Borrowed(reason), message, details, continue_token: None }
    }

    /// 404: the object is not there.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, resource));
        Self::about(404, "NotFound", message, details(group, resource, name))
    }

    /// 409: none of the names that were tried for an object without one is free.
    pub fn no_free_name(group: &str, resource: &str, name: &str) -> Self {
        let message = format!(
            "{} \"{name}\" already exists, the server was not able to generate a unique name for the object",
            qualified(group, resource)
        );
        let mut details = details(group, resource, name);
        if let Some(details) = details.as_mut() {
            details["retryAfterSeconds"] = json!(1);
        }
        Self::about(409, "AlreadyExists", message, details)
    }

    /// 404: no such path or resource.
    pub fn no_such_path() -> Self {
        let mut error = Self::new(404, "NotFound", "the server could not find the requested resource");
        error.details = Some(json!({}));
        error
    }

    /// 409: the name is taken.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, resource));
        Self::about(409, "AlreadyExists", message, details(group, resource, name))
    }

    /// 409: it cannot be done to the object as it is now.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(group, resource));
        Self::about(409, "Conflict", message, details(group, resource, name))
    }

    /// 409: the resource version is not the newest.
    pub fn modified(group: &str, resource: &str, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, resource, name, why)
    }

    /// 403.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = match (resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} \"{name}\" is forbidden: {why}"),
        };
        Self::about(403, "Forbidden", message, details(group, resource, name))
    }

    /// 422: the object breaks rules, each with its field.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[api_model::Cause]) -> Self {
        let what = qualified(group, kind);
        let texts: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let mut message = format!("{what} \"{name}\" is invalid");
        match texts.as_slice() {
            [] => {}
            [one] => message = format!("{message}: {one}"),
            many => message = format!("{message}: [{}]", many.join(", ")),
        }
        let mut details = details(group, kind, name);
        if let Some(details) = details.as_mut().filter(|_| !causes.is_empty()) {
            details["causes"] = causes
                .iter()
                .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
                .collect();
        }
        Self::about(422, "Invalid", message, details)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let mut error = Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        error.details = Some(json!({}));
        error
    }

    /// 406: none of the media types the client accepts can be given.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::new(406, "NotAcceptable", message)
    }

    /// 410: a resource version that is forgotten.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 413.
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 429.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let details = Some(json!({"retryAfterSeconds": retry_after_seconds}));
        Self::about(429, "TooManyRequests", message.into(), details)
    }

    /// 500: our fault; `why` is for the caller, so nothing internal belongs in it.
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let mut error = Self::new(500, "InternalError", format!("Internal error occurred: {why}"));
        error.details = Some(json!({"causes": [{"message": why.to_string()}]}));
        error
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 504.
    pub fn timeout(message: impl std::fmt::Display) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {message}"))
    }

    /// The `metav1.Status`.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = json!(token);
        }
        status
    }

    /// The HTTP answer.
    pub fn response(&self) -> kit::http::Response {
        let code = http::StatusCode::from_u16(self.code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = kit::http::json(code, &self.status());
        let retry = self.details.as_ref().and_then(|details| details["retryAfterSeconds"].as_u64());
        if let Some(seconds) = retry {
            response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What stands at a place of a value.
pub(crate) trait Part {
    /// As [`Value::pointer`], which makes two texts of every step.
    fn part(&self, pointer: &str) -> Option<&Value>;
}

impl Part for Value {
    fn part(&self, pointer: &str) -> Option<&Value> {
        if pointer.contains('~') {
            return self.pointer(pointer);
        }
        pointer.split('/').skip(1).try_fold(self, |at, step| match at {
            Value::Object(map) => map.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// The text at a JSON pointer, or the empty text.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.part(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The array at a JSON pointer, or nothing.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.part(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts in the array at a JSON pointer.
pub(crate) fn texts(value: &Value, pointer: &str) -> Vec<String> {
    items(value, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
pub(crate) mod fake;
