//! Many clients doing one thing, and what it cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http::{Method, header};
use http_body_util::BodyExt;

use super::figures::Load;
use super::process;

const REQUEST_LIMIT: Duration = Duration::from_secs(60);
const ERROR_MAX_BYTES: usize = 400;

/// A connection to an API server.
#[derive(Clone)]
pub struct Api {
    client: kit::client::Client,
    server: String,
    authorization: Option<String>,
    accept: &'static str,
}

impl Api {
    /// Over a client; requests go to `server`, with a bearer token if there is one.
    pub fn new(client: kit::client::Client, server: &str, token: Option<&str>) -> Self {
        Self {
            client,
            server: server.to_owned(),
            authorization: token.map(|token| format!("Bearer {token}")),
            accept: "application/json",
        }
    }

    /// The same connection, asking for another type.
    pub fn accepting(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// Sends a request with a body of some type; returns the answer once its head is there.
    pub async fn begin(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, String)>,
    ) -> Result<kit::http::Response> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header(header::ACCEPT, self.accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = match body {
            Some((content_type, bytes)) => {
                request.header(header::CONTENT_TYPE, content_type).body(kit::http::full(bytes))?
            }
            None => request.body(kit::http::empty())?,
        };
        Ok(self.client.send(request).await?)
    }

    /// Sends a request and reads the answer to its end without keeping it; returns its length. An error answer
    /// is an error.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, String)>,
    ) -> Result<usize> {
        let whole = async {
            let response = self.begin(method, path, body).await?;
            let status = response.status();
            let mut answer = response.into_body();
            let mut length = 0;
            let mut start = Vec::new();
            while let Some(frame) = answer.frame().await {
                let Ok(data) = frame.map_err(|error| anyhow::anyhow!(error))?.into_data() else { continue };
                length += data.len();
                if !status.is_success() && start.len() < ERROR_MAX_BYTES {
                    start.extend_from_slice(&data[..data.len().min(ERROR_MAX_BYTES)]);
                }
            }
            if !status.is_success() {
                bail!("{status}: {}", String::from_utf8_lossy(&start));
            }
            Ok(length)
        };
        match tokio::time::timeout(REQUEST_LIMIT, whole).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("no answer within {} s", REQUEST_LIMIT.as_secs()),
        }
    }

    /// Reads a JSON answer.
    pub async fn json(&self, path: &str) -> Result<serde_json::Value> {
        let response = self.begin(Method::GET, path, None).await?;
        let status = response.status();
        let bytes = kit::http::read(response.into_body(), 256 << 20).await?;
        if !status.is_success() {
            bail!("GET {path}: {status}");
        }
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// The processor time of server and client from here on.
pub struct Meter {
    servers: Vec<i32>,
    begun: Instant,
    server: Duration,
    client: Duration,
}

impl Meter {
    /// Starts measuring.
    pub fn start(servers: &[i32]) -> Result<Self> {
        Ok(Self {
            servers: servers.to_vec(),
            server: process::cpu(servers)?,
            client: process::cpu(&[process::own()])?,
            begun: Instant::now(),
        })
    }

    /// Ends measuring: `latencies` are the successes', `bytes` their answers'.
    #[expect(clippy::cast_precision_loss, reason = "figures to look at")]
    pub fn stop(
        self,
        operation: &str,
        mut latencies: Vec<Duration>,
        failed: usize,
        bytes: usize,
        first_error: Option<String>,
    ) -> Result<Load> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let client = process::cpu(&[process::own()])?.saturating_sub(self.client);
        let server = process::cpu(&self.servers)?.saturating_sub(self.server);
        latencies.sort_unstable();
        let done = latencies.len();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / done.max(1) as f64;
        let known = !self.servers.is_empty();
        Ok(Load {
            operation: operation.to_owned(),
            done,
            failed,
            per_second: done as f64 / seconds,
            p50_ms: percentile(&latencies, 50),
            p99_ms: percentile(&latencies, 99),
            megabytes_per_second: bytes as f64 / 1e6 / seconds,
            server_cpu_micros: known.then(|| each(server)),
            client_cpu_micros: each(client),
            server_rss_mib: known
                .then(|| process::rss_bytes(&self.servers).map(process::mebibytes))
                .transpose()?,
            first_error,
        })
    }
}

/// What one worker saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    failed: usize,
    bytes: usize,
    first_error: Option<String>,
}

/// Does `deed` for 0, 1, … `count`, one at a time on each client, until all are done or `limit` is over.
pub async fn drive<F, Fut>(
    operation: &str,
    count: usize,
    clients: &[Api],
    servers: &[i32],
    limit: Duration,
    deed: F,
) -> Result<Load>
where
    F: Fn(usize, Api) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<usize>> + Send + 'static,
{
    let deed = Arc::new(deed);
    let next = Arc::new(AtomicUsize::new(0));
    let meter = Meter::start(servers)?;
    let end = Instant::now() + limit;
    let mut workers = tokio::task::JoinSet::new();
    for client in clients {
        let (client, deed, next) = (client.clone(), deed.clone(), next.clone());
        workers.spawn(async move {
            let mut seen = Seen::default();
            while Instant::now() < end {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                let begun = Instant::now();
                match deed(index, client.clone()).await {
                    Ok(bytes) => {
                        seen.latencies.push(begun.elapsed());
                        seen.bytes += bytes;
                    }
                    Err(error) => {
                        seen.failed += 1;
                        seen.first_error.get_or_insert_with(|| format!("{error:#}"));
                    }
                }
            }
            seen
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = workers.join_next().await {
        let seen = seen?;
        all.latencies.extend(seen.latencies);
        all.failed += seen.failed;
        all.bytes += seen.bytes;
        all.first_error = all.first_error.or(seen.first_error);
    }
    meter.stop(operation, all.latencies, all.failed, all.bytes, all.first_error)
}

/// A percentile of sorted latencies in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(super::percentile(&sorted, 50), 100.0);
        assert_eq!(super::percentile(&sorted, 99), 198.0);
        assert_eq!(super::percentile(&sorted[..1], 99), 1.0);
        assert_eq!(super::percentile(&[], 99), 0.0);
    }
}
