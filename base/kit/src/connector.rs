//! TLS over TCP for hyper clients, with a server name of the caller's choice.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::http::BoxError;
use crate::names::Names;
use crate::tls::TlsError;

/// Connects to `https` and `http` URIs.
#[derive(Clone)]
pub struct TlsConnector {
    http: HttpConnector<Names>,
    http2: tokio_rustls::TlsConnector,
    http1: tokio_rustls::TlsConnector,
    server_name: Option<ServerName<'static>>,
    only_http1: bool,
}

impl TlsConnector {
    pub(crate) fn new(
        http: HttpConnector<Names>,
        config: rustls::ClientConfig,
        server_name: Option<&str>,
    ) -> Result<Self, TlsError> {
        let mut http2 = config.clone();
        http2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut http1 = config;
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server_name = server_name
            .map(|name| ServerName::try_from(name.to_owned()))
            .transpose()
            .map_err(|_| TlsError::Tls(rustls::Error::General("invalid server name".into())))?;
        Ok(Self {
            http,
            http2: tokio_rustls::TlsConnector::from(Arc::new(http2)),
            http1: tokio_rustls::TlsConnector::from(Arc::new(http1)),
            server_name,
            only_http1: false,
        })
    }

    /// The same connector offering only HTTP/1.1: upgrades need it.
    pub fn only_http1(mut self) -> Self {
        self.only_http1 = true;
        self
    }
}

impl tower::Service<Uri> for TlsConnector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let secure = uri.scheme_str() == Some("https");
        let tls = if self.only_http1 { self.http1.clone() } else { self.http2.clone() };
        let server_name = self.server_name.clone();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let connecting = self.http.call(uri);
        Box::pin(async move {
            let tcp = connecting.await?;
            if !secure {
                return Ok(Stream::Plain(tcp));
            }
            let name = match server_name {
                Some(name) => name,
                None => ServerName::try_from(host)?,
            };
            let stream = tls.connect(name, tcp.into_inner()).await?;
            Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
        })
    }
}

/// A connection, secured or not.
pub enum Stream {
    /// Bare TCP.
    Plain(TokioIo<TcpStream>),
    /// TLS over TCP.
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Stream::Plain(_) => Connected::new(),
            Stream::Tls(stream) => {
                let (_, session) = stream.inner().get_ref();
                if session.alpn_protocol() == Some(b"h2") {
                    Connected::new().negotiated_h2()
                } else {
                    Connected::new()
                }
            }
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
