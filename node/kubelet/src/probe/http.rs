//! A GET as probes and hooks make it: no redirects, no check of the server's certificate.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// So much of an answer is shown.
const BODY_MAX_BYTES: usize = 10 << 10;

/// Sends the request to `host:port`; answers status and the beginning of the body.
pub async fn get(
    action: &HTTPGetAction,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<(http::StatusCode, String), String> {
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let https = action.scheme.as_deref() == Some("HTTPS");
    let shown = format!("{}://{host}:{port}{path}", if https { "https" } else { "http" });
    let work = async {
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|error| format!("dial tcp {host}:{port}: {error}"))?;
        if https {
            let stream = secure(stream, host).await?;
            exchange(stream, action, host, port, &path).await
        } else {
            exchange(stream, action, host, port, &path).await
        }
    };
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(message)) => Err(format!("Get \"{shown}\": {message}")),
        Err(_) => Err(format!(
            "Get \"{shown}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

async fn secure(stream: TcpStream, host: &str) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    // A probed server proves nothing by its certificate: who answers at the pod's address is the pod.
    let config = kit::anybody::client(None).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| error.to_string())
}

async fn exchange<S>(
    stream: S,
    action: &HTTPGetAction,
    host: &str,
    port: u16,
    path: &str,
) -> Result<(http::StatusCode, String), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let mut request = http::Request::get(path);
    let mut has = (false, false, false);
    for header in action.http_headers.iter().flatten() {
        let name = header.name.to_ascii_lowercase();
        has = (has.0 || name == "host", has.1 || name == "user-agent", has.2 || name == "accept");
        request = request.header(name, &header.value);
    }
    if !has.0 {
        request = request.header("host", format!("{host}:{port}"));
    }
    if !has.1 {
        request = request.header("user-agent", "kube-probe/1.35");
    }
    if !has.2 {
        request = request.header("accept", "*/*");
    }
    let request = request
        .header("connection", "close")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .map_err(|error| error.to_string())?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let mut body = response.into_body();
        let mut seen = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                seen.extend_from_slice(data);
            }
            if seen.len() >= BODY_MAX_BYTES {
                break;
            }
        }
        seen.truncate(BODY_MAX_BYTES);
        Ok((status, String::from_utf8_lossy(&seen).into_owned()))
    };
    tokio::pin!(talk, connection);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        ended = &mut connection => match ended {
            // The connection may end before the answer's last frame was taken out.
            Ok(()) => talk.await,
            Err(error) => Err(failed(error)),
        }
    }
}
