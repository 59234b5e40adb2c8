//! The end of long-running operations: polled as the service asks for, shown on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderMap, Method, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::arm::{Arm, Refused, own_path};
use super::remote::Answer;

/// When the service does not say when to ask again.
const PAUSE: Duration = Duration::from_secs(1);
/// Polls in a row that may get no answer: the service may be restarting, and takes operations up again.
const UNANSWERED_MAX: u32 = 5;

/// Waits for the end of what an answer began; `false` when nothing went on. The first poll is sent at once.
///
/// `Azure-AsyncOperation` counts before `Location`, as for every ARM client.
pub(crate) async fn finish(arm: &Arm, begun: &Answer) -> Result<bool> {
    let shown = Shown::new(arm.quiet());
    if let Some(url) = header(&begun.headers, "azure-asyncoperation") {
        follow_status(arm, &own_path(url)?, &shown).await?;
        return Ok(true);
    }
    match header(&begun.headers, "location") {
        Some(url) if begun.status == StatusCode::ACCEPTED => {
            follow_location(arm, own_path(url)?).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

async fn follow_status(arm: &Arm, path: &str, shown: &Shown) -> Result<()> {
    loop {
        let answer = poll(arm, path).await?;
        match answer.body["status"].as_str().context("the operation has no status")? {
            "Succeeded" => return Ok(()),
            "Failed" | "Canceled" => return Err(Refused::of(StatusCode::CONFLICT, &answer.body).into()),
            _ => shown.update(&answer.body),
        }
        tokio::time::sleep(pause(&answer.headers)).await;
    }
}

async fn follow_location(arm: &Arm, mut path: String) -> Result<()> {
    loop {
        let answer = poll(arm, &path).await?;
        if answer.status != StatusCode::ACCEPTED {
            return Ok(());
        }
        if let Some(url) = header(&answer.headers, "location") {
            path = own_path(url)?;
        }
        tokio::time::sleep(pause(&answer.headers)).await;
    }
}

async fn poll(arm: &Arm, path: &str) -> Result<Answer> {
    let mut unanswered = 0;
    loop {
        match arm.exchange(Method::GET, path, None).await {
            Err(error)
                if error.downcast_ref::<kit::client::ClientError>().is_some()
                    && unanswered < UNANSWERED_MAX =>
            {
                unanswered += 1;
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// When to ask again: whole seconds count before milliseconds. Zero is no answer.
fn pause(headers: &HeaderMap) -> Duration {
    let number = |name| header(headers, name)?.trim().parse::<u64>().ok().filter(|number| *number > 0);
    number("retry-after")
        .map(Duration::from_secs)
        .or_else(|| number("x-ms-retry-after-ms").map(Duration::from_millis))
        .unwrap_or(PAUSE)
}

/// A line that turns while one waits, if standard error is a terminal.
struct Shown(Option<ProgressBar>);

impl Shown {
    fn new(quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template(" {spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message("Running ..");
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(Some(bar))
    }

    fn update(&self, operation: &Value) {
        let Some(bar) = &self.0 else { return };
        let step = ["/properties/step", "/properties/currentStep", "/properties/message"]
            .iter()
            .find_map(|pointer| operation.pointer(pointer)?.as_str());
        let mut message = step.unwrap_or("Running ..").to_owned();
        if let Some(percent) = operation["percentComplete"].as_f64() {
            message.push_str(&format!(" {percent:.0} %"));
        }
        bar.set_message(message);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn seconds_count_before_milliseconds_and_zero_is_no_answer() {
        let mut headers = HeaderMap::new();
        assert_eq!(pause(&headers), PAUSE);
        headers.insert("x-ms-retry-after-ms", HeaderValue::from_static("100"));
        assert_eq!(pause(&headers), Duration::from_millis(100));
        headers.insert("retry-after", HeaderValue::from_static("0"));
        assert_eq!(pause(&headers), Duration::from_millis(100));
        headers.insert("retry-after", HeaderValue::from_static("7"));
        assert_eq!(pause(&headers), Duration::from_secs(7));
    }
}
