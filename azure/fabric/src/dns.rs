//! A name service over UDP and TCP: that of machines at 168.63.129.16:53, and whoever else has [`Names`] to answer with.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::names::Names;

const QUERY_MAX_BYTES: usize = 1232;
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// Answers over UDP for ever.
pub async fn serve_udp(socket: UdpSocket, names: impl Fn() -> Arc<Names>) {
    let mut buffer = [0; QUERY_MAX_BYTES];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, peer)) => {
                let question = buffer.get(..length).unwrap_or_default();
                if let Some(answer) = names().answer_bytes(question, true) {
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
            Err(error) => tracing::debug!(%error, "failed to receive a name query"),
        }
    }
}

/// Answers over TCP for ever.
pub async fn serve_tcp(listener: TcpListener, names: impl Fn() -> Arc<Names>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(tokio::time::timeout(CONNECTION_LIMIT, one(stream, names())));
        while connections.try_join_next().is_some() {}
    }
}

async fn one(mut stream: TcpStream, names: Arc<Names>) -> std::io::Result<()> {
    loop {
        let length = usize::from(stream.read_u16().await?);
        let mut query = vec![0; length];
        stream.read_exact(&mut query).await?;
        let Some(answer) = names.answer_bytes(&query, false) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
        stream.write_u16(length).await?;
        stream.write_all(&answer).await?;
    }
}
