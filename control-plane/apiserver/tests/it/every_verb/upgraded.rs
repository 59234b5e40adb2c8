//! The verbs that need an upgraded connection: exec, attach and port-forward, by GET as by POST.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::far_spdy::{Event, Events, serve};
use crate::front::Front;

type Connection = Events<TlsStream<TcpStream>>;

/// A connection that speaks SPDY after this request, or the answer that refused it.
async fn connected(front: &Front, method: &str, path: &str, protocol: &str) -> Result<Connection, String> {
    let mut stream = front.connect("http/1.1").await;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: cluster.test\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.map_err(|error| format!("{error} after {head:?}"))?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let is_spoken = head.contains(&format!("x-stream-protocol-version: {}", protocol.to_ascii_lowercase()));
    if head.starts_with("http/1.1 101") && is_spoken { Ok(serve(stream)) } else { Err(head) }
}

/// What is received on each of these streams until all of them have something.
async fn received(connection: &mut Connection, ids: &[u32]) -> Result<Vec<String>, String> {
    let mut texts = vec![String::new(); ids.len()];
    let all = async {
        while texts.iter().any(String::is_empty) {
            match connection.next().await {
                Some(Event::Data { id, bytes }) => {
                    if let Some(at) = ids.iter().position(|one| *one == id) {
                        texts[at].push_str(&String::from_utf8_lossy(&bytes));
                    }
                }
                Some(_) => {}
                None => return Err("the connection ended"),
            }
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.map_err(|_| "nothing came")??;
    Ok(texts)
}

/// A command that writes to both outputs and ends well; `path` names the pod's `exec` or `attach` with its query.
pub async fn runs(front: &Front, method: &str, path: &str) -> Result<(), String> {
    let mut connection = connected(front, method, path, "v4.channel.k8s.io").await?;
    let streams = [(1, "error"), (3, "stdout"), (5, "stderr")];
    for (id, kind) in streams {
        connection.writer.open(id, &[("streamtype", kind)]).await;
    }
    let texts = received(&mut connection, &streams.map(|(id, _)| id)).await?;
    let [status, out, err] = texts.as_slice() else { return Err("three streams".to_owned()) };
    let went_well = status.contains("\"status\":\"Success\"") && out == "out\n" && err == "err\n";
    if went_well { Ok(()) } else { Err(format!("{texts:?}")) }
}

/// What is sent to a port comes back.
pub async fn forwards(front: &Front, method: &str, path: &str) -> Result<(), String> {
    let mut connection = connected(front, method, path, "portforward.k8s.io").await?;
    for (id, kind) in [(1, "error"), (3, "data")] {
        connection.writer.open(id, &[("streamtype", kind), ("port", "80"), ("requestid", "0")]).await;
    }
    connection.writer.send(3, b"ping", false).await;
    let texts = received(&mut connection, &[3]).await?;
    if texts == ["ping"] { Ok(()) } else { Err(format!("{texts:?}")) }
}
