//! A webhook as it is configured, read once.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use crate::admission::expressions::{Conditions, Has, environment};
use crate::admission::matching::Matcher;
use crate::attributes::{items, text, texts};

const DEFAULT_SECONDS: u64 = 10;
const DEFAULT_PORT: u16 = 443;

/// Where a webhook is.
#[derive(Debug)]
pub(crate) enum Place {
    Url(String),
    Service { namespace: String, name: String, port: u16, path: String },
}

/// One entry of a configuration.
pub(super) struct Hook {
    /// `<configuration>/<webhook>`: tells hooks apart when they are asked again.
    pub id: String,
    pub configuration: String,
    pub name: String,
    pub matcher: Matcher,
    pub conditions: Conditions,
    /// A failure is not the request's.
    pub ignores_failure: bool,
    /// Can be asked about what will not be stored.
    pub dry_runs: bool,
    pub reinvoked: bool,
    /// `v1` or `v1beta1`.
    pub version: &'static str,
    pub line: Line,
}

/// The way to a webhook.
pub(crate) struct Line {
    pub place: Place,
    /// TLS towards it, or why there is none.
    pub tls: Result<Trust, String>,
    /// How long an answer may take.
    pub limit: Duration,
}

impl Line {
    /// By a `clientConfig`.
    pub fn of(config: &Value, limit: Duration) -> Self {
        Self { place: place(config), tls: trust(text(config, "/caBundle")), limit }
    }
}

/// Whom a webhook's caller trusts.
pub(crate) struct Trust {
    pub config: Arc<rustls::ClientConfig>,
    /// Keeps connections to a URL.
    pub client: kit::client::Client,
}

impl Hook {
    /// All webhooks of a configuration.
    pub fn all_of(configuration: &Value) -> Vec<Self> {
        let name = text(configuration, "/metadata/name");
        items(configuration, "/webhooks").iter().map(|webhook| Self::of(name, webhook)).collect()
    }

    fn of(configuration: &str, webhook: &Value) -> Self {
        let name = text(webhook, "/name");
        let seconds = webhook["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_SECONDS).clamp(1, 30);
        let versions = texts(webhook, "/admissionReviewVersions");
        let first = versions.iter().find(|version| matches!(version.as_str(), "v1" | "v1beta1"));
        Self {
            id: format!("{configuration}/{name}"),
            configuration: configuration.to_owned(),
            name: name.to_owned(),
            matcher: Matcher::of_webhook(webhook),
            conditions: conditions(items(webhook, "/matchConditions")),
            ignores_failure: text(webhook, "/failurePolicy") == "Ignore",
            dry_runs: matches!(text(webhook, "/sideEffects"), "None" | "NoneOnDryRun"),
            reinvoked: text(webhook, "/reinvocationPolicy") == "IfNeeded",
            version: if first.is_some_and(|version| version == "v1beta1") { "v1beta1" } else { "v1" },
            line: Line::of(&webhook["clientConfig"], Duration::from_secs(seconds)),
        }
    }
}

fn conditions(list: &[Value]) -> Conditions {
    if list.is_empty() {
        return Conditions::default();
    }
    Conditions::of(list, &environment(Has { authorizer: true, ..Has::default() }))
}

fn place(config: &Value) -> Place {
    let url = text(config, "/url");
    if !url.is_empty() {
        return Place::Url(url.to_owned());
    }
    let service = &config["service"];
    let path = text(service, "/path");
    Place::Service {
        namespace: text(service, "/namespace").to_owned(),
        name: text(service, "/name").to_owned(),
        port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(DEFAULT_PORT),
        path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
    }
}

fn trust(bundle: &str) -> Result<Trust, String> {
    let engine = base64::engine::general_purpose::STANDARD;
    let unreadable = || "unable to load root certificates: unable to parse bytes as PEM block".to_owned();
    let bundle = engine.decode(bundle).map_err(|_| unreadable())?;
    let bundle = String::from_utf8(bundle).map_err(|_| unreadable())?;
    let mut config = kit::tls::client(&bundle, None).map_err(|_| unreadable())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client =
        kit::client::Client::new(&bundle, None, kit::names::Names::new(), None).map_err(|_| unreadable())?;
    Ok(Trust { config: Arc::new(config), client })
}
