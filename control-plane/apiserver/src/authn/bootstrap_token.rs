//! Bootstrap tokens: `<id>.<secret>`, kept in Secrets of `kube-system`, with which machines ask for their first certificate.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use kit::Clock;
use serde_json::Value;

use super::{Authenticated, TokenAuthenticator, TokenRejected, decoded, same, secret_type};
use crate::attributes::{Objects, UserInfo, text};

const GROUP: &str = "system:bootstrappers";
/// Of an extra group what may follow `system:bootstrappers:`.
const GROUP_REST_BYTES_MAX: usize = 256;

/// Knows bootstrap tokens.
pub struct BootstrapTokens {
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
}

/// Id and secret of a token of this form.
fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let fine = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (fine(id, 6) && fine(secret, 16)).then_some((id, secret))
}

/// Whether a group may be given to who shows a bootstrap token.
fn is_bootstrap_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    rest.len() <= GROUP_REST_BYTES_MAX
        && rest.bytes().all(|byte| plain(byte) || byte == b':' || byte == b'-')
        && rest.bytes().next_back().is_some_and(plain)
}

/// All groups of a token; none when it names one that it must not.
fn groups(secret: &Value) -> Option<Vec<String>> {
    let mut groups = vec![GROUP.to_owned()];
    let extra = String::from_utf8(decoded(secret, "auth-extra-groups")).ok()?;
    for group in extra.split(',').map(str::trim).filter(|group| !group.is_empty()) {
        if !is_bootstrap_group(group) {
            return None;
        }
        if !groups.iter().any(|have| have == group) {
            groups.push(group.to_owned());
        }
    }
    Some(groups)
}

impl BootstrapTokens {
    /// Over the cluster's Secrets.
    pub fn new(objects: Arc<dyn Objects>, clock: Arc<dyn Clock>) -> Self {
        Self { objects, clock }
    }

    /// None for whatever is wrong: a guesser learns nothing.
    fn user(&self, token: &str) -> Option<UserInfo> {
        let (id, secret) = parse(token)?;
        let stored = self.objects.get("", "secrets", "kube-system", &format!("bootstrap-token-{id}"))?;
        let field = |name| String::from_utf8(decoded(&stored, name)).unwrap_or_default();
        let alive = text(&stored, "/metadata/deletionTimestamp").is_empty();
        let expiration = field("expiration");
        let expired = !expiration.is_empty()
            && expiration.parse::<Timestamp>().map_or(true, |at| at <= self.clock.now());
        let fits = alive
            && !expired
            && secret_type(&stored) == "bootstrap.kubernetes.io/token"
            && same(&decoded(&stored, "token-secret"), secret.as_bytes())
            && field("token-id") == id
            && field("usage-bootstrap-authentication") == "true";
        let groups = groups(&stored).filter(|_| fits)?;
        Some(UserInfo { name: format!("system:bootstrap:{id}"), groups, ..UserInfo::default() })
    }
}

#[async_trait]
impl TokenAuthenticator for BootstrapTokens {
    async fn authenticate(&self, token: &str, _: &[String]) -> Result<Option<Authenticated>, TokenRejected> {
        Ok(self.user(token).map(|user| Authenticated { user, audiences: Vec::new(), warning: None }))
    }
}
