//! A proxy for programs that cannot be told where this cloud is: `HTTPS_PROXY=http://127.0.0.1:8445`.
//!
//! It leads `CONNECT management.azure.com:443` and the cloud's other hosts to the front door, and clusters' names to their
//! API servers, byte for byte: TLS ends where it always does, so a client must trust this installation's authority.
//! It leads nowhere else: it is no way to the internet, and any other host is refused at once.

use std::net::SocketAddr;
use std::time::Duration;

use kit::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::router::{Part, part};

const HEAD_MAX_BYTES: usize = 8 * 1024;
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Where the tunnels end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) front: SocketAddr,
    pub(super) api: SocketAddr,
}

/// What a client asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The front door.
    Front,
    /// An API server.
    Api,
    /// A host that is not of this cloud.
    Elsewhere(String),
    /// Something else than a tunnel.
    NoTunnel,
}

/// Reads the first line of a request's head.
fn asked(head: &str) -> Asked {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (Some("CONNECT"), Some(target)) = (words.next(), words.next()) else { return Asked::NoTunnel };
    let Some((host, "443")) = target.rsplit_once(':') else { return Asked::Elsewhere(target.to_owned()) };
    let host = host.to_ascii_lowercase();
    if host.ends_with(".azmk8s.io") {
        return Asked::Api;
    }
    // Names that are not this machine's own: what `localhost` means is the client's business.
    let known = host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
    match part(&host, "/") {
        Part::Nobody => Asked::Elsewhere(target.to_owned()),
        _ if known => Asked::Front,
        _ => Asked::Elsewhere(target.to_owned()),
    }
}

/// The head of a request, up to its empty line; what follows is the client's own.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: a client may send its first TLS record right behind, and that is not for us.
        head.push(stream.read_u8().await.ok()?);
        if head.len() > HEAD_MAX_BYTES {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

fn refusal(status: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

async fn serve(mut stream: TcpStream, ends: Ends) -> std::io::Result<()> {
    let Ok(Some(head)) = tokio::time::timeout(HEAD_LIMIT, head(&mut stream)).await else { return Ok(()) };
    let end = match asked(&head) {
        Asked::Front => ends.front,
        Asked::Api => ends.api,
        Asked::Elsewhere(host) => {
            let text = format!(
                "`{}` is no host of this cloud, and this proxy leads to no other\n",
                host.escape_default()
            );
            return stream.write_all(refusal("502 Bad Gateway", &text).as_bytes()).await;
        }
        Asked::NoTunnel => {
            let text = "this proxy makes tunnels only (CONNECT host:443)\n";
            return stream.write_all(refusal("405 Method Not Allowed", text).as_bytes()).await;
        }
    };
    let mut target = TcpStream::connect(end).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut stream, &mut target).await.map(|_| ())
}

/// Serves the proxy until the group is told to stop.
pub(super) fn start(listener: TcpListener, ends: Ends, tasks: &Tasks) {
    let group = tasks.clone();
    tasks.spawn("proxy", async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    group.spawn("proxy connection", async move {
                        if let Err(error) = serve(stream, ends).await {
                            tracing::debug!(%peer, %error, "a tunnel ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the proxy cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
}

/// Listens where it was told to. Untold, behind the API servers' port if that is free, else on any.
pub(super) async fn listen(wanted: Option<SocketAddr>, api: SocketAddr) -> anyhow::Result<TcpListener> {
    if let Some(address) = wanted {
        return super::bind(address).await;
    }
    if let Some(port) = api.port().checked_add(1)
        && let Ok(listener) = TcpListener::bind((api.ip(), port)).await
    {
        return Ok(listener);
    }
    super::bind(SocketAddr::new(api.ip(), 0)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_clouds_hosts_are_reached() {
        for (line, expected) in [
            ("CONNECT management.azure.com:443 HTTP/1.1", Asked::Front),
            ("CONNECT LOGIN.microsoftonline.com:443 HTTP/1.1", Asked::Front),
            ("CONNECT one.azurecr.io:443 HTTP/1.1", Asked::Front),
            ("CONNECT a-b.hcp.eastus.azmk8s.io:443 HTTP/1.1", Asked::Api),
            ("CONNECT example.org:443 HTTP/1.1", Asked::Elsewhere("example.org:443".into())),
            ("CONNECT management.azure.com:22 HTTP/1.1", Asked::Elsewhere("management.azure.com:22".into())),
            ("CONNECT localhost:443 HTTP/1.1", Asked::Elsewhere("localhost:443".into())),
            ("CONNECT 127.0.0.1:443 HTTP/1.1", Asked::Elsewhere("127.0.0.1:443".into())),
            ("GET http://management.azure.com/ HTTP/1.1", Asked::NoTunnel),
            ("", Asked::NoTunnel),
        ] {
            assert_eq!(asked(&format!("{line}\r\n\r\n")), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn a_tunnel_carries_bytes_both_ways_and_other_hosts_are_refused() {
        let end = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = end.local_addr().unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = proxy.local_addr().unwrap();
        let tasks = Tasks::new();
        start(proxy, Ends { front, api: front }, &tasks);
        let ask = async |line: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // The first bytes of TLS may come in the same piece.
            stream.write_all(format!("{line}\r\nhost: x\r\n\r\nhello").as_bytes()).await.unwrap();
            stream
        };
        let mut stream = ask("CONNECT graph.microsoft.com:443 HTTP/1.1").await;
        let (mut server, _) = end.accept().await.unwrap();
        let mut got = [0; 5];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
        server.write_all(b"there").await.unwrap();
        drop(server);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "HTTP/1.1 200 Connection established\r\n\r\nthere");
        let mut text = Vec::new();
        let _ = ask("CONNECT example.org:443 HTTP/1.1").await.read_to_end(&mut text).await;
        assert!(
            String::from_utf8_lossy(&text).starts_with("HTTP/1.1 502 "),
            "{}",
            String::from_utf8_lossy(&text)
        );
    }
}
