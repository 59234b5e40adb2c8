//! Whether extensions are there: asked when something about them changes, and every half minute.

use std::sync::Arc;
use std::time::Duration;

use kit::http::Response;
use serde_json::Value;

use super::remote::Remote;
use super::{Aggregator, Discovered, GROUP, PLURAL};
use crate::attributes::{Objects, UserInfo, items, text};

/// How long an extension may take to say that it is there.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// When all are asked again although nothing changed here.
const AGAIN: Duration = Duration::from_secs(30);
/// When one that did not answer is asked again, at first.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What is said of one: status, reason, message.
type Said = (&'static str, &'static str, String);

impl Aggregator {
    pub(super) async fn keep_available(self: Arc<Self>) {
        let mut progress = self.registry.hub.follow_progress();
        let mut seen = [0; 3];
        let mut retry = RETRY_FIRST;
        loop {
            let now = [(GROUP, PLURAL), ("", "services"), ("discovery.k8s.io", "endpointslices")]
                .map(|(group, plural)| Objects::version(&*self.registry, group, plural));
            let remotes = self.remotes();
            if remotes.is_empty() {
                seen = now;
                self.forget(&[]);
                if progress.changed().await.is_err() {
                    return;
                }
                continue;
            }
            if now != seen {
                seen = now;
                retry = RETRY_FIRST;
            }
            let all = self.ask_all(&remotes.values().cloned().collect::<Vec<_>>()).await;
            let keys: Vec<(String, String)> = remotes.keys().cloned().collect();
            self.forget(&keys);
            // The answers were written and with them `apiservices` changed: that is no reason to ask again.
            seen[0] = Objects::version(&*self.registry, GROUP, PLURAL);
            let wait = if all { AGAIN } else { retry };
            retry = if all { RETRY_FIRST } else { (retry * 2).min(AGAIN) };
            if !self.rest(&mut progress, seen, wait).await {
                return;
            }
        }
    }

    /// Waits until something changed or it is time; false when the server ends.
    async fn rest(
        &self,
        progress: &mut tokio::sync::watch::Receiver<u64>,
        seen: [u64; 3],
        wait: Duration,
    ) -> bool {
        let sleep = tokio::time::sleep(wait);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return true,
                changed = progress.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    let now = [(GROUP, PLURAL), ("", "services"), ("discovery.k8s.io", "endpointslices")]
                        .map(|(group, plural)| Objects::version(&*self.registry, group, plural));
                    if now != seen {
                        return true;
                    }
                }
            }
        }
    }

    /// Asks all; says whether all answered.
    async fn ask_all(&self, remotes: &[Arc<Remote>]) -> bool {
        let asked = remotes.iter().map(|remote| self.ask(remote));
        futures::future::join_all(asked).await.into_iter().all(|answered| answered)
    }

    async fn ask(&self, remote: &Remote) -> bool {
        let (status, reason, message) = match self.check(remote) {
            Some(said) => said,
            None => self.discover(remote).await,
        };
        let answered = status == "True";
        if !answered {
            self.went_stale(remote);
        }
        let name = text(&remote.service, "/metadata/name");
        if let Err(error) = self.say(name, (status, reason, &message)).await {
            tracing::warn!(name, %error, "the availability of an API service could not be written");
        }
        answered
    }

    /// What can be said without asking; none when it has to be asked.
    fn check(&self, remote: &Remote) -> Option<Said> {
        let Remote { namespace, name, port, .. } = remote;
        let no = |reason: &'static str, message: String| Some(("False", reason, message));
        let Some(service) = Objects::get(&*self.registry, "", "services", namespace, name) else {
            return no("ServiceNotFound", format!("service/{name} in \"{namespace}\" is not present"));
        };
        if !matches!(text(&service, "/spec/type"), "" | "ClusterIP") {
            return None;
        }
        let ports = items(&service, "/spec/ports");
        let Some(found) = ports.iter().find(|one| one["port"].as_u64() == Some(u64::from(*port))) else {
            return no(
                "ServicePortError",
                format!("service/{name} in \"{namespace}\" is not listening on port {port}"),
            );
        };
        let port_name = text(found, "/name");
        let slices = Objects::list(&*self.registry, "discovery.k8s.io", "endpointslices", Some(namespace));
        let own: Vec<&Arc<Value>> = slices
            .iter()
            .filter(|slice| text(slice, "/metadata/labels/kubernetes.io~1service-name") == name)
            .collect();
        if own.is_empty() {
            return no(
                "EndpointsNotFound",
                format!("cannot find endpointslices for service/{name} in \"{namespace}\""),
            );
        }
        let ready = |slice: &Value| {
            let is_ready =
                |one: &Value| one.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
            items(slice, "/endpoints").iter().any(is_ready)
                && items(slice, "/ports")
                    .iter()
                    .any(|port| text(port, "/name") == port_name && port["port"].is_u64())
        };
        if own.iter().any(|slice| ready(slice)) {
            return None;
        }
        no(
            "MissingEndpoints",
            format!(
                "endpointslices for service/{name} in \"{namespace}\" have no addresses with port name \"{port_name}\""
            ),
        )
    }

    async fn get(&self, remote: &Remote, path: &str, accept: &str) -> Result<Response, String> {
        let request = http::Request::get(path).header(http::header::ACCEPT, accept).body(kit::http::empty());
        self.sent(remote, request.map_err(|error| error.to_string())?).await
    }

    /// Asks as the aggregation layer itself.
    pub(super) async fn sent(
        &self,
        remote: &Remote,
        request: kit::http::Request,
    ) -> Result<Response, String> {
        let user = UserInfo::new("system:kube-aggregator", &["system:masters"]);
        let sent = remote.send(&self.kubelets, &*self.registry, &user, request);
        tokio::time::timeout(ANSWER_LIMIT, sent)
            .await
            .unwrap_or_else(|_| Err("context deadline exceeded".to_owned()))
    }

    pub(super) async fn read(&self, remote: &Remote, path: &str, accept: &str) -> Option<(String, Value)> {
        read_json(self.get(remote, path, accept).await.ok()?).await
    }

    /// Asks what it serves, which also shows that it is there.
    async fn discover(&self, remote: &Remote) -> Said {
        let (group, version) = (text(&remote.service, "/spec/group"), text(&remote.service, "/spec/version"));
        let path = format!("/apis/{group}/{version}");
        let address = Objects::get(&*self.registry, "", "services", &remote.namespace, &remote.name)
            .map(|service| text(&service, "/spec/clusterIP").to_owned());
        let url = format!("https://{}:{}{path}", address.unwrap_or_default(), remote.port);
        let failed = |why: String| {
            ("False", "FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"))
        };
        match self.get(remote, &path, "application/json").await {
            Err(why) => return failed(format!("Get \"{url}\": {why}")),
            Ok(response) if !(200..300).contains(&response.status().as_u16()) => {
                return failed(format!("bad status from {url}: {}", response.status().as_u16()));
            }
            Ok(response) => drop(response),
        }
        let accept = format!("{AGGREGATED},application/json");
        let found = match self.read(remote, "/apis", &accept).await {
            Some((media, list)) if media.contains("APIGroupDiscoveryList") => of_list(&list, group, version),
            _ => None,
        };
        let found = match found {
            Some(found) => Some(found),
            None => self
                .read(remote, &path, "application/json")
                .await
                .map(|(_, list)| of_resources(&list, group, version)),
        };
        if let Some(found) = found {
            self.found((group, version), found);
        }
        self.read_published(remote).await;
        ("True", "Passed", "all checks passed".to_owned())
    }

    fn found(&self, (group, version): (&str, &str), mut found: Value) {
        found["freshness"] = "Current".into();
        let key = (group.to_owned(), version.to_owned());
        let mut discovered = self.discovered.write();
        let same = discovered.get(&key).is_some_and(|known| known.current && known.version == found);
        if !same {
            discovered.insert(key, Discovered { version: found, current: true });
            self.changed();
        }
    }

    fn went_stale(&self, remote: &Remote) {
        let key = (
            text(&remote.service, "/spec/group").to_owned(),
            text(&remote.service, "/spec/version").to_owned(),
        );
        if let Some(known) = self.discovered.write().get_mut(&key).filter(|known| known.current) {
            known.current = false;
            known.version["freshness"] = "Stale".into();
            self.changed();
        }
    }

    /// Forgets what is served by nobody any more.
    fn forget(&self, but: &[(String, String)]) {
        let mut discovered = self.discovered.write();
        let before = discovered.len();
        discovered.retain(|key, _| but.contains(key));
        self.published.write().retain(|key, _| but.contains(key));
        if discovered.len() != before {
            self.changed();
        }
    }

    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    }
}

/// The media type and the JSON of an answer that is one.
pub(super) async fn read_json(response: Response) -> Option<(String, Value)> {
    if !response.status().is_success() {
        return None;
    }
    let media = response.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.unwrap_or_default().to_owned();
    let read = kit::http::read(response.into_body(), ANSWER_MAX_BYTES);
    let bytes = tokio::time::timeout(ANSWER_LIMIT, read).await.ok()?.ok()?;
    Some((media, serde_json::from_slice(&bytes).ok()?))
}

fn of_list(list: &Value, group: &str, version: &str) -> Option<Value> {
    let group = items(list, "/items").iter().find(|one| text(one, "/metadata/name") == group)?;
    items(group, "/versions").iter().find(|one| text(one, "/version") == version).cloned()
}

/// An `APIResourceList` as an `APIVersionDiscovery`.
fn of_resources(list: &Value, group: &str, version: &str) -> Value {
    let all = items(list, "/resources");
    let kind_of = |one: &Value| {
        let stated = |pointer: &str, otherwise: &str| match text(one, pointer) {
            "" => otherwise.to_owned(),
            stated => stated.to_owned(),
        };
        serde_json::json!({"group": stated("/group", group), "version": stated("/version", version), "kind": text(one, "/kind")})
    };
    let resource = |one: &Value| {
        let name = text(one, "/name");
        let mut made = serde_json::json!({
            "resource": name,
            "responseKind": kind_of(one),
            "scope": if one["namespaced"].as_bool() == Some(true) { "Namespaced" } else { "Cluster" },
            "singularResource": text(one, "/singularName"),
            "verbs": one["verbs"],
        });
        for field in ["shortNames", "categories"] {
            if one[field].is_array() {
                made[field] = one[field].clone();
            }
        }
        let below = all
            .iter()
            .filter_map(|sub| Some((text(sub, "/name").strip_prefix(name)?.strip_prefix('/')?, sub)));
        let below: Vec<Value> = below
            .map(|(subresource, sub)| serde_json::json!({"subresource": subresource, "responseKind": kind_of(sub), "verbs": sub["verbs"]}))
            .collect();
        if !below.is_empty() {
            made["subresources"] = below.into();
        }
        made
    };
    let resources: Vec<Value> =
        all.iter().filter(|one| !text(one, "/name").contains('/')).map(resource).collect();
    serde_json::json!({"version": version, "resources": resources})
}
