//! The token endpoint.

mod client;
mod user;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use kit::http::Response;
use serde_json::Value;

use crate::entra::{Entra, EntraError};
use crate::errors::Refused;
use crate::service::Incoming;

/// The fields of a token request.
pub(crate) struct Form {
    fields: BTreeMap<String, String>,
    pub base: String,
    /// Whether this is the older endpoint, which names a `resource` and answers numbers as text.
    pub v1: bool,
}

impl Form {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    pub fn need(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or_else(|| Refused::missing(name))
    }

    /// The scope; the older endpoint's `resource` is one too.
    pub fn scope(&self) -> Option<String> {
        self.get("scope").map(str::to_owned).or_else(|| self.get("resource").map(|r| format!("{r}/.default")))
    }
}

impl From<EntraError> for Refused {
    fn from(error: EntraError) -> Self {
        tracing::error!(error = %kit::Chain(&error), "a token request failed");
        Refused::server()
    }
}

impl Entra {
    pub(crate) async fn token(&self, incoming: &Incoming) -> Response {
        let mut fields = incoming.form();
        if let Some((id, secret)) = basic(incoming) {
            fields.entry("client_id".to_owned()).or_insert(id);
            fields.entry("client_secret".to_owned()).or_insert(secret);
        }
        let v1 = incoming.segments.get(2).is_none_or(|s| !s.eq_ignore_ascii_case("v2.0"));
        let form = Form { fields, base: incoming.base.clone(), v1 };
        let outcome = match form.need("grant_type") {
            Err(refused) => Err(refused),
            Ok("client_credentials") => self.client_credentials(&form).await,
            Ok("password") => self.password(&form).await,
            Ok("refresh_token") => self.refresh(&form).await,
            Ok("authorization_code") => self.authorization_code(&form).await,
            Ok("urn:ietf:params:oauth:grant-type:device_code" | "device_code") => {
                self.device_token(&form).await
            }
            Ok(other) => Err(Refused::new(
                "unsupported_grant_type",
                70_003,
                format!("The app requested an unsupported grant type '{other}'."),
            )),
        };
        match outcome {
            Ok(mut body) => {
                if form.v1 {
                    older(&mut body, self.now().as_second());
                }
                kit::http::json(StatusCode::OK, &body)
            }
            Err(refused) => refused.response(self.now(), &incoming.base),
        }
    }
}

/// The older endpoint's form of an answer.
fn older(body: &mut Value, now: i64) {
    if let Some(seconds) = body.get("expires_in").and_then(Value::as_i64) {
        body["expires_on"] = Value::from((now + seconds).to_string());
        body["not_before"] = Value::from((now - 5).to_string());
        body["expires_in"] = Value::from(seconds.to_string());
        body["ext_expires_in"] = Value::from(seconds.to_string());
    }
}

fn basic(incoming: &Incoming) -> Option<(String, String)> {
    let value = incoming.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let bytes = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |t: &str| percent_encoding::percent_decode_str(t).decode_utf8_lossy().into_owned();
    Some((decode(id), decode(secret)))
}
