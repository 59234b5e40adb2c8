//! ARM for the commands that stand in for az: requests as the command line's application, refusals in az's
//! words and exit codes.

use std::process::ExitCode;

use anyhow::{Context, Result};
use http::{Method, StatusCode};
use serde_json::Value;

use super::output::Common;
use super::remote::{Answer, Remote};
use super::wait;
use crate::place::Home;

/// What az sends for `Microsoft.ContainerService`.
pub(crate) const AKS_VERSION: &str = "2026-06-01";
/// What az sends for resource groups.
pub(crate) const GROUP_VERSION: &str = "2024-11-01";

/// az's exit code for what does not exist.
const NOT_FOUND: u8 = 3;

/// A refusal with its code, as ARM gives it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refused {
    /// The refusal in an error body: nested (`{"error": …}`) or flat, or at least the status.
    pub(crate) fn of(status: StatusCode, body: &Value) -> Self {
        let inner = if body["error"].is_object() { &body["error"] } else { body };
        let text = |name: &str| inner[name].as_str().map(str::to_owned);
        Self {
            status,
            code: text("code").unwrap_or_else(|| status.as_u16().to_string()),
            message: text("message").unwrap_or_else(|| format!("the service answered {status}")),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}) {}\nCode: {}\nMessage: {}", self.code, self.message, self.code, self.message)
    }
}

impl std::error::Error for Refused {}

/// Prints why a command failed, as az does, and says with which code to end.
pub(crate) fn ended(result: Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("ERROR: {error:#}");
    match error.downcast_ref::<Refused>() {
        Some(refused) if refused.status == StatusCode::NOT_FOUND => ExitCode::from(NOT_FOUND),
        _ => ExitCode::FAILURE,
    }
}

/// A signed-in conversation with ARM.
pub(crate) struct Arm {
    remote: Remote,
    token: String,
    subscription: String,
    quiet: bool,
}

impl Arm {
    /// Signs in.
    pub(crate) async fn open(common: &Common) -> Result<Self> {
        let credentials = Home::locate().credentials()?;
        let remote = Remote::running()?;
        let token = remote.token(&credentials).await?;
        let subscription = common.subscription.clone().unwrap_or(credentials.subscription_id);
        Ok(Self { remote, token, subscription, quiet: common.only_show_errors })
    }

    /// The subscription that is worked in.
    pub(crate) fn subscription(&self) -> &str {
        &self.subscription
    }

    /// `/subscriptions/…/resourceGroups/<group>`.
    pub(crate) fn group(&self, group: &str) -> String {
        format!("/subscriptions/{}/resourceGroups/{}", self.subscription, segment(group))
    }

    /// The path of a cluster.
    pub(crate) fn cluster(&self, group: &str, name: &str) -> String {
        format!("{}/{}", self.clusters(Some(group)), segment(name))
    }

    /// The path of all clusters of a group, or of the subscription.
    pub(crate) fn clusters(&self, group: Option<&str>) -> String {
        let scope =
            group.map_or_else(|| format!("/subscriptions/{}", self.subscription), |group| self.group(group));
        format!("{scope}/providers/Microsoft.ContainerService/managedClusters")
    }

    /// The path of a cluster's pool.
    pub(crate) fn pool(&self, group: &str, cluster: &str, pool: &str) -> String {
        format!("{}/agentPools/{}", self.cluster(group, cluster), segment(pool))
    }

    /// Sends one request; `path` has no query yet.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let containers = path.to_ascii_lowercase().contains("/providers/microsoft.containerservice/");
        let version = if containers { AKS_VERSION } else { GROUP_VERSION };
        self.exchange(method, &format!("{path}?api-version={version}"), body).await
    }

    /// Sends one request to a path with its query. An error status is a [`Refused`].
    pub(crate) async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let answer = self.probe(method, path, body).await?;
        if answer.status.is_client_error() || answer.status.is_server_error() {
            return Err(Refused::of(answer.status, &answer.body).into());
        }
        Ok(answer)
    }

    async fn probe(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.remote.exchange(method, path, &self.token, body).await
    }

    /// What is at a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.send(Method::GET, path, None).await?.body)
    }

    /// What is at a path, if anything is.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everything of a list, over all its pages.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut answer = self.send(Method::GET, path, None).await?.body;
        let mut all = Vec::new();
        loop {
            if let Value::Array(page) = answer["value"].take() {
                all.extend(page);
            }
            let Some(next) = answer["nextLink"].as_str() else { return Ok(all) };
            let next = own_path(next)?;
            answer = self.exchange(Method::GET, &next, None).await?.body;
        }
    }

    /// Writes a resource, waits for the end unless told not to, and returns what it became.
    pub(crate) async fn put(&self, path: &str, body: &Value, no_wait: bool) -> Result<Option<Value>> {
        let answer = self.send(Method::PUT, path, Some(body)).await?;
        if no_wait {
            return Ok(None);
        }
        if wait::finish(self, &answer).await? {
            return Ok(Some(self.get(path).await?));
        }
        Ok(Some(answer.body))
    }

    /// Deletes a resource or calls an action on it, and waits for the end unless told not to.
    pub(crate) async fn act(&self, method: Method, path: &str, no_wait: bool) -> Result<()> {
        let answer = self.send(method, path, None).await?;
        if !no_wait {
            wait::finish(self, &answer).await?;
        }
        Ok(())
    }

    /// Whether only errors may be printed to standard error.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }
}

/// Whether a request failed because there is nothing of that name.
pub(crate) fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == StatusCode::NOT_FOUND)
}

/// The path and query of a URL the service gave. Only these are used: the token goes to no other host.
pub(crate) fn own_path(given: &str) -> Result<String> {
    let uri: http::Uri = given.parse().with_context(|| format!("`{given}` is not a URL"))?;
    Ok(uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned())
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_read_nested_and_flat() {
        let nested =
            Refused::of(StatusCode::CONFLICT, &json!({"error": {"code": "Busy", "message": "Later."}}));
        assert_eq!(nested.to_string(), "(Busy) Later.\nCode: Busy\nMessage: Later.");
        let flat =
            Refused::of(StatusCode::BAD_REQUEST, &json!({"code": "Bad", "message": "No.", "subcode": ""}));
        assert_eq!((flat.code.as_str(), flat.message.as_str()), ("Bad", "No."));
        assert_eq!(Refused::of(StatusCode::BAD_GATEWAY, &Value::Null).code, "502");
    }

    #[test]
    fn the_token_stays_with_the_service() {
        let path = own_path("https://elsewhere.example:1/subscriptions/s?api-version=1").unwrap();
        assert_eq!(path, "/subscriptions/s?api-version=1");
    }

    #[test]
    fn a_name_is_one_segment() {
        assert_eq!(segment("rg-dev_1.(x)"), "rg-dev_1.%28x%29");
        assert_eq!(segment("a b/c?d"), "a%20b%2Fc%3Fd");
    }
}
