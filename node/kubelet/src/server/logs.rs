//! Container logs: CRI's log lines (`time stream P|F text`) turned back into what the container wrote.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::http::{Response, boxed};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;

use super::{Query, text};
use crate::labels;
use crate::runtime::{ContainerState, ContainerStatus};
use crate::shared::Shared;

/// While followed, a file is looked at so often for more.
const FOLLOW: Duration = Duration::from_millis(200);
const BLOCK_BYTES: usize = 64 << 10;

/// One line of a log file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written.
    pub time: &'a str,
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// Whether the container's own line ends here.
    pub whole: bool,
    /// What it wrote.
    pub text: &'a [u8],
}

/// Reads a line of CRI's format, without its newline.
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = std::str::from_utf8(parts.next()?).ok().filter(|one| matches!(*one, "stdout" | "stderr"))?;
    let tag = parts.next()?;
    let whole = tag.split(|byte| *byte == b':').next() == Some(b"F");
    Some(Line { time, stream, whole, text: parts.next().unwrap_or_default() })
}

/// What of a log is wanted.
#[derive(Debug, Default, Clone)]
pub struct Options {
    follow: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit_bytes: Option<usize>,
    stream: Option<String>,
}

impl Options {
    fn of(query: &Query, now: Timestamp) -> Result<Self, String> {
        let number = |key: &str| -> Result<Option<i64>, String> {
            match query.one(key).filter(|text| !text.is_empty()) {
                None => Ok(None),
                Some(text) => text.parse().map(Some).map_err(|_| format!("invalid {key}: {text:?}")),
            }
        };
        let since_time = match query.one("sinceTime").filter(|text| !text.is_empty()) {
            Some(text) => Some(text.parse().map_err(|_| format!("invalid sinceTime: {text:?}"))?),
            None => None,
        };
        let since = number("sinceSeconds")?.map(|seconds| now - SignedDuration::from_secs(seconds));
        let stream =
            query.one("stream").map(str::to_ascii_lowercase).filter(|name| !name.is_empty() && name != "all");
        let size = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
        Ok(Self {
            follow: query.flag(&["follow"]),
            timestamps: query.flag(&["timestamps"]),
            since: since_time.or(since),
            tail: size(number("tailLines")?),
            limit_bytes: size(number("limitBytes")?),
            stream,
        })
    }

    /// What a line becomes; `None`: not wanted.
    fn show(&self, line: &[u8]) -> Option<Vec<u8>> {
        let parsed = parse(line)?;
        if self.stream.as_ref().is_some_and(|wanted| wanted != parsed.stream) {
            return None;
        }
        if let Some(since) = self.since
            && parsed.time.parse::<Timestamp>().is_ok_and(|time| time < since)
        {
            return None;
        }
        let mut out = Vec::with_capacity(parsed.text.len() + 40);
        if self.timestamps {
            out.extend_from_slice(parsed.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(parsed.text);
        if parsed.whole {
            out.push(b'\n');
        }
        Some(out)
    }
}

/// Where the last `lines` lines of a file begin.
fn tail_offset(path: &Path, lines: usize) -> std::io::Result<u64> {
    let mut file = std::fs::File::open(path)?;
    let mut at = file.metadata()?.len();
    if lines == 0 {
        return Ok(at);
    }
    let (mut left, mut block) = (lines + 1, vec![0u8; BLOCK_BYTES]);
    while at > 0 {
        let size = at.min(BLOCK_BYTES as u64);
        at -= size;
        file.seek(SeekFrom::Start(at))?;
        let part = &mut block[..usize::try_from(size).unwrap_or(BLOCK_BYTES)];
        file.read_exact(part)?;
        for (index, byte) in part.iter().enumerate().rev() {
            if *byte == b'\n' {
                left -= 1;
                if left == 0 {
                    return Ok(at + index as u64 + 1);
                }
            }
        }
    }
    Ok(0)
}

/// The text of the last `lines` lines of a log, for a container's last words.
pub fn tail_text(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let offset = tail_offset(path, lines)?;
        let mut file = std::fs::File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(content)
    };
    let content = read().unwrap_or_default();
    let options = Options::default();
    let shown = content.split(|byte| *byte == b'\n').filter_map(|line| options.show(line));
    String::from_utf8_lossy(&shown.flatten().collect::<Vec<u8>>()).into_owned()
}

/// Answers `/containerLogs/…`.
pub async fn serve(
    shared: &Arc<Shared>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
) -> Response {
    let options = match Options::of(query, shared.config.clock.now()) {
        Ok(options) => options,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let found = match find(shared, namespace, pod, container, query.flag(&["previous"])).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    if shared.config.runtime.is_simulated() {
        return text(StatusCode::NOT_IMPLEMENTED, crate::runtime::simulated::EXPLANATION);
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, kit::http::BoxError>>(16);
    let path = PathBuf::from(&found.log_path);
    let reader = Reader { shared: shared.clone(), id: found.id, path, options, sent: 0, sender };
    shared.tasks.spawn("log", async move { reader.run().await });
    let frames = futures::StreamExt::map(tokio_stream::wrappers::ReceiverStream::new(receiver), |part| {
        part.map(http_body::Frame::data)
    });
    let mut response = http::Response::new(boxed(http_body_util::StreamBody::new(frames)));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

async fn find(
    shared: &Shared,
    namespace: &str,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<ContainerStatus, Response> {
    let Some(found) = shared.find(namespace, pod) else {
        return Err(text(StatusCode::NOT_FOUND, format!("pod \"{pod}\" does not exist")));
    };
    let spec = crate::pod::spec::Spec::new(found.clone());
    if spec.find(container).is_none() {
        let message = format!("container {container:?} not found in pod {pod:?}");
        return Err(text(StatusCode::NOT_FOUND, message));
    }
    let runtime = &*shared.config.runtime;
    let failed =
        |error: crate::runtime::RuntimeError| text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let mut listed = runtime.list_containers(Some(spec.uid())).await.map_err(failed)?;
    listed.retain(|one| one.labels.get(labels::CONTAINER_NAME).is_some_and(|name| name == container));
    listed.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    let mut begun = listed.iter().filter(|one| one.state() != ContainerState::ContainerCreated);
    let chosen = match previous {
        true => begun.find(|one| one.state() != ContainerState::ContainerRunning),
        false => begun.next(),
    };
    match chosen {
        Some(one) => runtime.container_status(&one.id).await.map_err(failed),
        None if previous => {
            let message = format!("previous terminated container {container:?} in pod {pod:?} not found");
            Err(text(StatusCode::BAD_REQUEST, message))
        }
        None => {
            let why = waiting_reason(&found, container);
            let message = format!("container {container:?} in pod {pod:?} is waiting to start: {why}");
            Err(text(StatusCode::BAD_REQUEST, message))
        }
    }
}

fn waiting_reason(pod: &k8s_openapi::api::core::v1::Pod, container: &str) -> String {
    let status = pod.status.as_ref();
    let lists = status
        .iter()
        .flat_map(|status| status.container_statuses.iter().chain(&status.init_container_statuses).flatten());
    let own = lists.filter(|one| one.name == container).find_map(|one| one.state.as_ref()?.waiting.as_ref());
    match own {
        Some(waiting)
            if waiting.message.is_some() && waiting.reason.as_deref() != Some("ContainerCreating") =>
        {
            waiting.message.clone().unwrap_or_default()
        }
        Some(waiting) => waiting.reason.clone().unwrap_or_else(|| "ContainerCreating".into()),
        None => "ContainerCreating".into(),
    }
}

struct Reader {
    shared: Arc<Shared>,
    id: String,
    path: PathBuf,
    options: Options,
    sent: usize,
    sender: mpsc::Sender<Result<Bytes, kit::http::BoxError>>,
}

impl Reader {
    async fn run(mut self) {
        if let Err(error) = self.read().await {
            tracing::debug!(path = %self.path.display(), %error, "failed to read a log");
            let _ = self.sender.send(Ok(Bytes::from(format!("failed to read the log: {error}\n")))).await;
        }
    }

    async fn read(&mut self) -> std::io::Result<()> {
        let mut file = tokio::fs::File::open(&self.path).await?;
        if let Some(lines) = self.options.tail {
            let path = self.path.clone();
            let offset = tokio::task::spawn_blocking(move || tail_offset(&path, lines)).await??;
            file.seek(SeekFrom::Start(offset)).await?;
        }
        let (mut rest, mut block) = (Vec::new(), vec![0u8; BLOCK_BYTES]);
        loop {
            let read = file.read(&mut block).await?;
            if read > 0 {
                rest.extend_from_slice(&block[..read]);
                if !self.send_lines(&mut rest).await {
                    return Ok(());
                }
                continue;
            }
            if !self.options.follow || self.sender.is_closed() {
                return Ok(());
            }
            // The order matters: what is written before the end was seen is still read after it.
            let over = !self.is_running().await;
            if let Some(next) = self.rotated(&file).await {
                file = next;
                continue;
            }
            if over {
                let read = file.read_to_end(&mut rest).await?;
                if read > 0 {
                    self.send_lines(&mut rest).await;
                }
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(FOLLOW) => {}
                () = self.sender.closed() => return Ok(()),
            }
        }
    }

    /// Sends the whole lines in `rest`; answers whether more is wanted.
    async fn send_lines(&mut self, rest: &mut Vec<u8>) -> bool {
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { return true };
        let lines: Vec<u8> = rest.drain(..=end).collect();
        let mut out = Vec::new();
        for line in lines[..end].split(|byte| *byte == b'\n') {
            out.extend(self.options.show(line).unwrap_or_default());
        }
        let room = self.options.limit_bytes.map_or(usize::MAX, |limit| limit - self.sent.min(limit));
        let last = out.len() >= room;
        out.truncate(room);
        self.sent += out.len();
        if !out.is_empty() && self.sender.send(Ok(Bytes::from(out))).await.is_err() {
            return false;
        }
        !last
    }

    async fn is_running(&self) -> bool {
        let status = self.shared.config.runtime.container_status(&self.id).await;
        status.is_ok_and(|status| status.state() == ContainerState::ContainerRunning)
    }

    /// The file that has taken this one's place.
    async fn rotated(&self, file: &tokio::fs::File) -> Option<tokio::fs::File> {
        let (old, new) = (file.metadata().await.ok()?, tokio::fs::metadata(&self.path).await.ok()?);
        if (old.dev(), old.ino()) == (new.dev(), new.ino()) {
            return None;
        }
        tokio::fs::File::open(&self.path).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-23T04:00:00.000000001Z stdout F one\n\
        2026-11-23T04:00:01.000000001Z stderr F two\n\
        2026-11-23T04:00:02.000000001Z stdout P thr\n\
        2026-11-23T04:00:02.000000002Z stdout F ee\n\
        rubbish\n\
        2026-11-23T04:00:03.000000001Z stdout F \n";

    fn shown(options: &Options) -> String {
        let parts = LOG.as_bytes().split(|byte| *byte == b'\n').filter_map(|line| options.show(line));
        String::from_utf8(parts.flatten().collect()).unwrap()
    }

    #[test]
    fn lines_become_what_the_container_wrote() {
        assert_eq!(shown(&Options::default()), "one\ntwo\nthree\n\n");
        let stderr = Options { stream: Some("stderr".into()), timestamps: true, ..Options::default() };
        assert_eq!(shown(&stderr), "2026-11-23T04:00:01.000000001Z two\n");
        let since = Options { since: Some("2026-11-23T04:00:02Z".parse().unwrap()), ..Options::default() };
        assert_eq!(shown(&since), "three\n\n");
        let line = parse(b"2026-11-23T04:00:00Z stdout F a b  c").unwrap();
        assert_eq!((line.stream, line.whole, line.text), ("stdout", true, b"a b  c".as_slice()));
    }

    #[test]
    fn the_tail_begins_at_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        assert_eq!(tail_text(&path, 1), "\n");
        assert_eq!(tail_text(&path, 3), "ee\n\n");
        assert_eq!(tail_text(&path, 100), "one\ntwo\nthree\n\n");
        assert_eq!(tail_text(&path, 0), "");
        assert_eq!(tail_text(&directory.path().join("none"), 5), "");
        let long = "x".repeat(BLOCK_BYTES) + "\n2026-11-23T04:00:00Z stdout F end\n";
        std::fs::write(&path, long).unwrap();
        assert_eq!(tail_text(&path, 1), "end\n");
    }
}
