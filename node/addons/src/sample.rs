//! A web page that says which pod answered: the workload of the quickstart, from Lazurite's own image.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use kit::Tasks;
use kit::http::{Request, ServiceFn};

/// How the page is served.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where to listen.
    #[arg(long, default_value = "0.0.0.0:80")]
    pub listen: SocketAddr,
}

/// Serves until the group is told to stop.
pub async fn run(options: Options, tasks: &Tasks) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("failed to listen on {}", options.listen))?;
    eprintln!("listening on {}", listener.local_addr()?);
    let pod = std::env::var("HOSTNAME").unwrap_or_else(|_| "nobody".to_owned());
    let service = ServiceFn(move |request: Request| {
        println!("{} {}", request.method(), request.uri().path());
        let page = format!("Hello from {pod}\n");
        async move { kit::http::bytes_response(http::StatusCode::OK, "text/plain; charset=utf-8", page) }
    });
    kit::serve::plain(listener, Arc::new(service), tasks);
    tasks.stopped().await;
    Ok(())
}
