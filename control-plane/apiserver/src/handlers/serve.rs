//! What every request goes through before it is handled, in upstream's order: counted, authenticated, audited, impersonated, given a seat,
//! authorised. And what its answer gets on the way out.
//!
//! A request that makes the server panic is answered 500; the others go on.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kit::http::{Body, BoxError, Connection, Request, Response};
use parking_lot::Mutex;

use super::options::Query;
use super::path::RequestInfo;
use super::{Api, Asked, attributes, body, path, plain, render, special};
use crate::attributes::{ApiError, Decision, UserInfo};
use crate::audit::{self, Level, Outcome, Record, Stage, Users};
use crate::authn::impersonate;
use crate::authz::refused;
use crate::flow::work::{Work, seats};
use crate::flow::{Admission, Digest, RETRY_AFTER_S, Schema};

/// How long a request may take, watches and streams not counted; as upstream.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// Bodies of answers larger than this are not recorded.
const RECORDED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// A request on its way in.
struct Coming {
    head: http::request::Parts,
    body: Body,
    query: Query,
    info: RequestInfo,
    id: HeaderValue,
}

impl Coming {
    fn is_long(&self) -> bool {
        self.info.verb == "watch" || special::is_stream(&self.info)
    }
}

fn digest<'a>(info: &'a RequestInfo, user: &'a UserInfo) -> Digest<'a> {
    Digest {
        user,
        verb: info.verb,
        is_resource: info.is_resource,
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        path: &info.path,
    }
}

impl Api {
    /// Answers a request.
    pub(super) async fn answer(&self, request: Request) -> Response {
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let query = Query::parse(head.uri.query());
        let Some(decoded) = path::decoded(head.uri.path()) else {
            let (code, text) = (http::StatusCode::BAD_REQUEST, "400 Bad Request");
            return kit::http::bytes_response(code, "text/plain; charset=utf-8", text);
        };
        let info = path::parse(&head.method, &decoded, query.flag("watch"));
        let running = self.metrics.begin(&info, &self.registry);
        let id = audit::id(&head.headers);
        let coming = Coming { head, body, query, info, id: id.clone() };
        let work = AssertUnwindSafe(self.identified(coming)).catch_unwind();
        let mut response = work.await.unwrap_or_else(|_| panicked());
        response.headers_mut().insert(audit::AUDIT_ID, id);
        running.answered(response.status().as_u16(), begun.elapsed());
        response
    }

    async fn identified(&self, mut coming: Coming) -> Response {
        let (user, warning) = match self.who(&mut coming.head).await {
            Ok(known) => known,
            Err((error, tried)) => {
                self.record_stranger(&coming, &error, tried);
                return render::failed(&error, &[]);
            }
        };
        if coming.info.path == crate::tunnel::PATH {
            // The tunnels judge by themselves: only nodes may, each for itself.
            return plain::tunnel(self, Request::from_parts(coming.head, coming.body), &user);
        }
        let other = impersonate(&mut coming.head.headers, &user, &self.authorizer);
        let impersonated = other.as_ref().ok().and_then(|other| other.clone()).map(Arc::new);
        let acting = impersonated.clone().unwrap_or_else(|| user.clone());
        let record = self.record(&coming, Users { user, impersonated });
        let work = async {
            match other {
                Ok(_) => self.seated(coming, acting, warning).await,
                Err(error) => (render::failed(&error, &[]), None),
            }
        };
        let Some(record) = record else { return finished(work.await) };
        record.reach(Stage::RequestReceived, None);
        match AssertUnwindSafe(audit::within(Some(record.clone()), work)).catch_unwind().await {
            Ok(answered) => recorded(&record, finished(answered)).await,
            Err(_) => {
                let response = panicked();
                record.reach(
                    Stage::Panic,
                    Some(&Outcome { code: response.status().as_u16(), ..Outcome::default() }),
                );
                response
            }
        }
    }

    /// Who asks: known already when the request comes from inside, else by what it shows; and what he is to be told about that.
    /// On failure also what was tried.
    async fn who(
        &self,
        head: &mut http::request::Parts,
    ) -> Result<(Arc<UserInfo>, Option<String>), (ApiError, String)> {
        if let Some(inside) = head.extensions.remove::<crate::loopback::Inside>() {
            return Ok((inside.0, None));
        }
        let connection = head.extensions.get::<Connection>();
        let tried = tried(&head.headers, connection);
        match self.authenticator.authenticate(&mut head.headers, connection, head.uri.path()).await {
            Ok(known) => Ok((Arc::new(known.user), known.warning)),
            Err(error) => Err((error, tried)),
        }
    }

    fn record(&self, coming: &Coming, users: Users) -> Option<Arc<Record>> {
        let auditor = self.auditor.as_ref()?;
        let user = users.user.clone();
        let Coming { head, info, .. } = coming;
        let agent = head.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let request = audit::Request {
            id: coming.id.to_str().unwrap_or_default().to_owned(),
            received: self.registry.clock.now(),
            uri: head.uri.path_and_query().map_or_else(|| info.path.clone(), |uri| uri.as_str().to_owned()),
            users,
            source_ips: source_ips(head),
            user_agent: agent.unwrap_or_default().to_owned(),
            api_version: info.version.clone(),
        };
        let record = auditor.begin(request, &digest(info, &user))?;
        let model = self.registry.model.clone();
        record.set_decoder(Box::new(move |media, bytes| match body::value(&model, media, bytes) {
            Ok(value) => Some(value),
            // Patches have media types of their own.
            Err(_) => serde_json::from_slice(bytes).or_else(|_| serde_yaml_ng::from_slice(bytes)).ok(),
        }));
        Some(record)
    }

    /// Who could not prove who he is, is recorded as nobody.
    fn record_stranger(&self, coming: &Coming, error: &ApiError, tried: String) {
        let Some(record) = self.record(coming, Users::default()) else { return };
        let mut status = error.status();
        status["message"] = serde_json::json!(tried);
        record.reach(Stage::RequestReceived, None);
        record.reach(
            Stage::ResponseStarted,
            Some(&Outcome { code: error.code, status: Some(status), object: None }),
        );
    }

    /// Waits for a seat; gives the schema the request fell under.
    async fn seated(
        &self,
        coming: Coming,
        user: Arc<UserInfo>,
        warning: Option<String>,
    ) -> (Response, Option<Arc<Schema>>) {
        if special::is_stream(&coming.info) {
            return (self.authorized(coming, user, warning).await, None);
        }
        let work = || seats(self.work(&coming.info, &coming.query));
        let Some(Admission { schema, result }) = self.flow.admit(&digest(&coming.info, &user), work).await
        else {
            return (self.authorized(coming, user, warning).await, None);
        };
        match result {
            // A watch keeps its seat until its first events are ready.
            Ok(permit) => {
                let response = self.authorized(coming, user, warning).await;
                drop(permit);
                (response, Some(schema))
            }
            Err(_) => (too_many_requests(), Some(schema)),
        }
    }

    fn work(&self, info: &RequestInfo, query: &Query) -> Work {
        if !info.is_resource {
            return Work::Small;
        }
        let lists = info.verb == "list" || info.verb == "watch" && query.flag("sendInitialEvents");
        let writes = matches!(info.verb, "create" | "update" | "patch" | "delete");
        if !lists && !writes {
            return Work::Small;
        }
        let Some(served) = self.registry.kinds.get(&info.group, &info.version, &info.resource) else {
            return Work::Small;
        };
        let cache = self.registry.hub.cache(&served.storage);
        if writes {
            return Work::Write { watchers: cache.subscribers() };
        }
        let by_name =
            query.get("fieldSelector").is_some_and(|selector| selector.starts_with("metadata.name="));
        if by_name {
            return Work::Small;
        }
        let limit =
            query.number("limit").ok().flatten().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
        let selective = query.has("labelSelector") || query.has("fieldSelector");
        Work::List { objects: cache.len(), limit, selective }
    }

    async fn authorized(&self, coming: Coming, user: Arc<UserInfo>, warning: Option<String>) -> Response {
        let attributes = attributes(&coming.info, &coming.query, &user);
        let (allowed, reason) = match self.authorizer.authorize(&attributes) {
            Decision::Allow { reason } => (true, reason),
            Decision::Deny { reason } | Decision::NoOpinion { reason } => (false, reason),
        };
        audit::annotate("authorization.k8s.io/decision", || {
            if allowed { "allow" } else { "forbid" }.to_owned()
        });
        audit::annotate("authorization.k8s.io/reason", || reason.clone());
        if !allowed {
            return render::failed(&refused(&attributes, &reason), &[]);
        }
        let long = coming.is_long();
        let limit = match limit(&coming.query) {
            Ok(limit) => limit,
            Err(error) => return render::failed(&error, &[]),
        };
        let Coming { head, body, query, info, .. } = coming;
        let warnings = warning.into_iter().collect();
        let asked =
            Asked { info, query, head, body: Mutex::new(body), user, warnings, notes: Arc::default() };
        if long {
            return self.route(asked).await;
        }
        match tokio::time::timeout(limit, self.route(asked)).await {
            Ok(response) => response,
            Err(_) => {
                let error = ApiError::timeout("request did not complete within the allotted timeout");
                render::failed(&error, &[])
            }
        }
    }
}

/// Marks the answer with what the request fell under.
fn finished((mut response, schema): (Response, Option<Arc<Schema>>)) -> Response {
    if let Some(schema) = schema {
        Admission::mark(&schema, response.headers_mut());
    }
    response
}

/// Records how a request ended; when its answer is a stream, when that ends.
async fn recorded(record: &Arc<Record>, response: Response) -> Response {
    let mut outcome = Outcome { code: response.status().as_u16(), ..Outcome::default() };
    outcome.status = response.extensions().get::<ApiError>().map(ApiError::status);
    let streams = http_body::Body::size_hint(response.body()).exact().is_none();
    if streams {
        record.reach(Stage::ResponseStarted, Some(&outcome));
        let (head, body) = response.into_parts();
        let watched = Watched { body, end: Some((record.clone(), outcome)) };
        return Response::from_parts(head, kit::http::boxed(watched));
    }
    if record.level() < Level::RequestResponse || outcome.status.is_some() {
        record.reach(Stage::ResponseComplete, Some(&outcome));
        return response;
    }
    let (head, body) = response.into_parts();
    let Ok(bytes) = kit::http::read(body, usize::MAX).await else { return panicked() };
    let media = body::content_type(&head.headers);
    if !head.headers.contains_key(header::CONTENT_ENCODING) && bytes.len() <= RECORDED_BYTES_MAX {
        outcome.object = record.decoded(&media, &bytes);
    }
    record.reach(Stage::ResponseComplete, Some(&outcome));
    Response::from_parts(head, kit::http::full(bytes))
}

/// A stream whose end is recorded, however it comes.
struct Watched {
    body: Body,
    end: Option<(Arc<Record>, Outcome)>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((record, outcome)) = self.end.take() {
            record.reach(Stage::ResponseComplete, Some(&outcome));
        }
    }
}

/// How long the client gives the request: as it says, at most what any request gets.
fn limit(query: &Query) -> Result<Duration, ApiError> {
    let Some(text) = query.get("timeout") else { return Ok(REQUEST_LIMIT) };
    match go_duration(text) {
        Some(given) if given.is_zero() => Ok(REQUEST_LIMIT),
        Some(given) => Ok(given.min(REQUEST_LIMIT)),
        None => Err(ApiError::bad_request(format!(
            "invalid timeout specified in the request URL: time: invalid duration {text:?}"
        ))),
    }
}

/// Reads `1m30s` as Go does.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut sum_s) = (text, 0.0_f64);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum_s += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(sum_s).ok() }
}

/// As upstream tells how somebody tried to prove who he is.
fn tried(headers: &HeaderMap, connection: Option<&Connection>) -> String {
    let mut methods = Vec::new();
    if let Some(scheme) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        methods.push(
            if scheme.len() >= 6 && scheme.is_char_boundary(6) && scheme[..6].eq_ignore_ascii_case("bearer") {
                "bearer"
            } else {
                "basic"
            },
        );
    }
    if connection.is_some_and(|connection| !connection.client_certificates.is_empty()) {
        methods.push("x509");
    }
    if methods.is_empty() {
        return "Authentication failed, no credentials provided".to_owned();
    }
    format!("Authentication failed, attempted: {}", methods.join(", "))
}

fn source_ips(head: &http::request::Parts) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        let known: Option<std::net::IpAddr> = text.trim().parse().ok();
        if let Some(address) =
            known.map(|address| address.to_string()).filter(|address| !found.contains(address))
        {
            found.push(address);
        }
    };
    for name in ["x-forwarded-for", "x-real-ip"] {
        let values = head.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).for_each(&mut add);
    }
    match head.extensions.get::<Connection>() {
        Some(connection) => add(&connection.peer.ip().to_string()),
        // Components in the process.
        None => add("127.0.0.1"),
    }
    found
}

fn told(status: StatusCode, text: &'static str) -> Response {
    let mut response = kit::http::bytes_response(status, "text/plain; charset=utf-8", text);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// As upstream's filter says it: plain text, which clients of Kubernetes know to retry.
fn too_many_requests() -> Response {
    let mut response = told(StatusCode::TOO_MANY_REQUESTS, "Too many requests, please try again later.\n");
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
    response
}

fn panicked() -> Response {
    told(
        StatusCode::INTERNAL_SERVER_ERROR,
        "This request caused apiserver to panic. Look in the logs for details.\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let table = [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            ("200ms", Some(200)),
            ("0", Some(0)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1x", None),
        ];
        for (text, milliseconds) in table {
            assert_eq!(go_duration(text).map(|duration| duration.as_millis()), milliseconds, "{text}");
        }
    }
}
