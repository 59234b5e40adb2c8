//! A request to a vault, read once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arm::{Caller, Resource};
use http::{Method, StatusCode, header};
use kit::http::Request;
use serde_json::Value;

use super::{BODY_MAX_BYTES, DataPlane, Failure};
use crate::vaults::{Directory, Entry};

/// Versions of the data plane's API.
const API_VERSIONS: &[&str] = &[
    "2015-06-01",
    "2016-10-01",
    "7.0",
    "7.1",
    "7.2",
    "7.3",
    "7.4",
    "7.5",
    "7.6",
    "7.6-preview.1",
    "7.6-preview.2",
    "2025-06-01-preview",
    "2025-07-01",
];

/// The vault a request is for.
pub(super) struct Vault {
    pub(super) resource: Arc<Resource>,
    /// Lower case.
    pub(super) name: String,
    /// `https://kv.vault.azure.net`: what ids begin with.
    pub(super) url: String,
    pub(super) location: String,
}

impl Vault {
    fn of(resource: Arc<Resource>, suffix: &str) -> Self {
        let name = resource.name.to_ascii_lowercase();
        let url = format!("https://{name}.{suffix}");
        let location = resource.location.clone().unwrap_or_default();
        Self { resource, name, url, location }
    }

    fn flag(&self, name: &str) -> bool {
        arm::json::flag(&self.resource.properties, &format!("/{name}"))
    }

    /// Whether roles decide, and not access policies.
    pub(super) fn by_roles(&self) -> bool {
        self.flag("enableRbacAuthorization")
    }

    /// Whether nothing can be purged before its time.
    pub(super) fn protected(&self) -> bool {
        self.flag("enablePurgeProtection")
    }

    /// Whether keys of hardware modules may be asked for.
    pub(super) fn premium(&self) -> bool {
        arm::json::text(&self.resource.properties, "/sku/name") == Some("premium")
    }

    /// Days that deleted objects are kept.
    pub(super) fn retention_days(&self) -> i64 {
        arm::json::number(&self.resource.properties, "/softDeleteRetentionInDays").unwrap_or(90)
    }

    /// `Recoverable+Purgeable`, …
    pub(super) fn recovery_level(&self) -> &'static str {
        match (self.retention_days() < 90, self.protected()) {
            (false, false) => "Recoverable+Purgeable",
            (false, true) => "Recoverable",
            (true, false) => "CustomizedRecoverable+Purgeable",
            (true, true) => "CustomizedRecoverable",
        }
    }
}

/// A request by somebody who has shown a token.
pub(super) struct Asked {
    pub(super) vault: Vault,
    pub(super) caller: Caller,
    pub(super) method: Method,
    /// The path's segments, decoded; empty ones are left out.
    pub(super) words: Vec<String>,
    /// Names in lower case.
    pub(super) query: BTreeMap<String, String>,
    pub(super) api_version: String,
    /// The body, or null.
    pub(super) body: Value,
}

/// The first part of a host below the suffix, without port: the vault's name.
fn vault_name(host: &str, suffix: &str) -> Option<String> {
    let bare = |text: &str| text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let (host, suffix) = (bare(host), bare(suffix));
    let name = host.strip_suffix(&suffix)?.strip_suffix('.')?;
    (!name.is_empty() && !name.contains('.')).then(|| name.to_owned())
}

impl Asked {
    pub(super) async fn read(plane: &DataPlane, request: Request) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let host = parts
            .uri
            .authority()
            .map(|authority| authority.as_str())
            .or_else(|| parts.headers.get(header::HOST)?.to_str().ok())
            .unwrap_or_default();
        let missing =
            || Failure::new(StatusCode::NOT_FOUND, "VaultNotFound", format!("There is no vault '{host}'."));
        let name = vault_name(host, &plane.suffix).ok_or_else(missing)?;
        let found = Directory::of(&plane.resources, plane.clock.now()).find(&name)?;
        let Some(Entry::Active(resource)) = found else { return Err(missing()) };
        let vault = Vault::of(resource, &plane.suffix);
        let caller = plane.authenticate(&parts.headers).await?;
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
                .collect();
        let api_version = check_version(query.get("api-version"))?;
        let words = parts
            .uri
            .path()
            .split('/')
            .filter(|word| !word.is_empty())
            .map(|word| percent_encoding::percent_decode_str(word).decode_utf8_lossy().into_owned())
            .collect();
        let body = read_body(body).await?;
        Ok(Self { vault, caller, method: parts.method, words, query, api_version, body })
    }

    /// A text of the body.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// 405 for a path and method that mean nothing.
    pub(super) fn no_such_operation(&self) -> Failure {
        Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "BadParameter",
            format!("Method {} does not allow operation '/{}'", self.method, self.words.join("/")),
        )
    }
}

fn check_version(asked: Option<&String>) -> Result<String, Failure> {
    let Some(asked) = asked.filter(|version| !version.is_empty()) else {
        return Err(Failure::bad("api-version must be specified"));
    };
    if API_VERSIONS.iter().any(|known| known.eq_ignore_ascii_case(asked)) {
        return Ok(asked.clone());
    }
    Err(Failure::bad(format!(
        "The specified version ({asked}) is not recognized. Consider using the latest supported version (7.6)."
    )))
}

async fn read_body(body: kit::http::Body) -> Result<Value, Failure> {
    let bytes = kit::http::read(body, BODY_MAX_BYTES).await.map_err(|error| match error {
        kit::http::BodyError::TooLarge { .. } => Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestBodyTooLarge",
            format!("The request body is larger than {BODY_MAX_BYTES} bytes."),
        ),
        kit::http::BodyError::Broken(_) => Failure::bad("The request body could not be read."),
    })?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let body: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::bad(format!(
            "The request body is not valid JSON at line {}, column {}.",
            error.line(),
            error.column()
        ))
    })?;
    if body.is_object() {
        return Ok(body);
    }
    Err(Failure::bad("The request body must be a JSON object."))
}

/// Refuses a name that no object may have.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let good =
        (1..=127).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if good {
        return Ok(());
    }
    Err(Failure::bad(format!("The request URI contains an invalid name: {name}")))
}

#[cfg(test)]
mod tests {
    use super::vault_name;

    #[test]
    fn hosts() {
        for (host, suffix, expected) in [
            ("kv1.vault.azure.net", "vault.azure.net", Some("kv1")),
            ("KV1.Vault.azure.net:443", "vault.azure.net", Some("kv1")),
            ("kv1.vault.local:8443", "vault.local:8443", Some("kv1")),
            ("vault.azure.net", "vault.azure.net", None),
            ("a.b.vault.azure.net", "vault.azure.net", None),
            ("kv1vault.azure.net", "vault.azure.net", None),
            ("example.org", "vault.azure.net", None),
        ] {
            assert_eq!(vault_name(host, suffix).as_deref(), expected, "{host}");
        }
    }
}
