//! Asks one HTTP question from inside a pod: what tests and curious people call where there is no curl.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{HeaderValue, header};

const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What to ask.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The URL. Names are resolved as `/etc/resolv.conf` says.
    pub url: String,
    /// A file with a bearer token to send.
    #[arg(long)]
    pub bearer_file: Option<PathBuf>,
    /// A file with the authority to trust for https.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// How long to wait, in seconds.
    #[arg(long, default_value_t = 5)]
    pub timeout_s: u64,
}

/// Asks and prints the body. An answer of 400 and above is an error after it is printed.
pub async fn run(options: Options) -> Result<()> {
    let ca = match &options.ca_file {
        Some(path) => kit::files::read_string(path)?,
        None => String::new(),
    };
    let client = kit::client::Client::new(&ca, None, kit::names::Names::new(), None)?;
    let mut request = http::Request::get(&options.url)
        .body(kit::http::empty())
        .with_context(|| format!("`{}` is not a URL", options.url))?;
    if let Some(path) = &options.bearer_file {
        let token = kit::files::read_string(path)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .context("the token is not a header value")?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let limit = Duration::from_secs(options.timeout_s);
    let response = tokio::time::timeout(limit, client.send(request))
        .await
        .with_context(|| format!("no answer within {} s", options.timeout_s))??;
    let status = response.status();
    let body = kit::http::read(response.into_body(), BODY_MAX_BYTES).await?;
    println!("{}", String::from_utf8_lossy(&body));
    if status.is_client_error() || status.is_server_error() {
        bail!("the answer is {status}");
    }
    Ok(())
}
