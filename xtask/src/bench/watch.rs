//! Fan-out: many watchers of one kind, a few writers, and how late each change arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Method;
use http_body_util::BodyExt;
use kit::http::Body;
use serde_json::json;

use super::figures::Load;
use super::kubeconfig::Target;
use super::load::{Api, Meter, drive};

const OPEN_LIMIT: Duration = Duration::from_secs(30);
const WRITERS: usize = 8;
/// The field of the objects that carries a write's number.
const MARK: &[u8] = br#""seq":""#;

/// Who watches what, and what is written.
pub struct Plan<'a> {
    /// The server.
    pub target: &'a Target,
    /// The collection.
    pub path: String,
    /// The objects that are written, in turn.
    pub names: Vec<String>,
    /// How many watchers.
    pub watchers: usize,
    /// How many writes.
    pub writes: usize,
    /// The longest it may take.
    pub limit: Duration,
}

/// When each write was sent, in nanoseconds after `begun`.
struct Sent {
    begun: Instant,
    at: Vec<AtomicU64>,
}

impl Sent {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Plan<'_> {
    /// Opens the watches, writes, and waits until every watcher has seen every write.
    pub async fn run(&self, writers: &[Api], pids: &[i32]) -> Result<Load> {
        let list = writers[0].json(&format!("{}?limit=1", self.path)).await?;
        let version =
            list["metadata"]["resourceVersion"].as_str().context("the list has no resourceVersion")?;
        let streams = self.open(version).await?;
        let at = (0..self.writes).map(|_| AtomicU64::new(0)).collect();
        let sent = Arc::new(Sent { begun: Instant::now(), at });
        let meter = Meter::start(pids)?;
        let mut watching = tokio::task::JoinSet::new();
        for stream in streams {
            let (sent, writes, limit) = (sent.clone(), self.writes, self.limit);
            watching.spawn(async move {
                let mut seen = Watched::default();
                let read = read_all(stream, &sent, writes, &mut seen);
                let _ = tokio::time::timeout(limit, read).await;
                seen
            });
        }
        let written = self.write(writers, &sent).await?;
        let mut latencies = Vec::with_capacity(self.writes * self.watchers);
        let mut bytes = 0;
        while let Some(seen) = watching.join_next().await {
            let seen = seen?;
            latencies.extend(seen.latencies);
            bytes += seen.bytes;
        }
        let missing = (self.writes * self.watchers).saturating_sub(latencies.len());
        let name = format!("watch events to {} watchers", self.watchers);
        let error = written.first_error.or((missing > 0).then(|| "events are missing".to_owned()));
        meter.stop(&name, latencies, missing, bytes, error)
    }

    async fn open(&self, version: &str) -> Result<Vec<Body>> {
        let seconds = (self.limit + OPEN_LIMIT).as_secs();
        let query = format!("?watch=true&resourceVersion={version}&timeoutSeconds={seconds}");
        let mut streams = Vec::with_capacity(self.watchers);
        for _ in 0..self.watchers {
            let api = self.target.connect()?;
            let path = format!("{}{query}", self.path);
            let opened = tokio::time::timeout(OPEN_LIMIT, api.begin(Method::GET, &path, None)).await;
            let response = opened.context("a watch does not begin")??;
            if !response.status().is_success() {
                bail!("a watch was refused: {}", response.status());
            }
            streams.push(response.into_body());
        }
        Ok(streams)
    }

    async fn write(&self, writers: &[Api], sent: &Arc<Sent>) -> Result<Load> {
        let writers = &writers[..writers.len().min(WRITERS)];
        let (path, names, sent) = (self.path.clone(), self.names.clone(), sent.clone());
        drive("watched writes", self.writes, writers, &[], self.limit, move |index, api| {
            let path = format!("{path}/{}", names[index % names.len()]);
            let body = json!({"data": {"seq": index.to_string()}}).to_string();
            sent.at[index].store(sent.now(), Ordering::Relaxed);
            async move { api.send(Method::PATCH, &path, Some(("application/merge-patch+json", body))).await }
        })
        .await
    }
}

/// What one watcher saw.
#[derive(Default)]
struct Watched {
    latencies: Vec<Duration>,
    bytes: usize,
}

async fn read_all(mut stream: Body, sent: &Sent, writes: usize, seen: &mut Watched) {
    let mut line = Vec::new();
    while seen.latencies.len() < writes {
        let Some(Ok(frame)) = stream.frame().await else { return };
        let Ok(data) = frame.into_data() else { continue };
        seen.bytes += data.len();
        line.extend_from_slice(&data);
        let mut begin = 0;
        while let Some(length) = line[begin..].iter().position(|byte| *byte == b'\n') {
            let at = number(&line[begin..begin + length]).and_then(|number| sent.at.get(number));
            if let Some(at) = at {
                let late = sent.now().saturating_sub(at.load(Ordering::Relaxed));
                seen.latencies.push(Duration::from_nanos(late));
            }
            begin += length + 1;
        }
        line.drain(..begin);
    }
}

/// The number of the write that an event tells of. Searched, not parsed: parsing would measure this program.
fn number(event: &[u8]) -> Option<usize> {
    let at = event.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = event[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&event[at..at + digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn the_number_of_a_write_is_found() {
        let event = br#"{"type":"MODIFIED","object":{"data":{"seq":"41"},"metadata":{"managedFields":[{"f:seq":{}}]}}}"#;
        assert_eq!(number(event), Some(41));
        assert_eq!(number(br#"{"data":{"seq":"none"}}"#), None);
        assert_eq!(number(br#"{"type":"BOOKMARK"}"#), None);
    }
}
