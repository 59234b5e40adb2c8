//! An HTTP proxy that leads every `CONNECT` to one address.

use std::net::SocketAddr;

use anyhow::Result;
use kit::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HEAD_MAX_BYTES: usize = 8 * 1024;

/// Starts it on a free port.
pub(crate) async fn start(behind: SocketAddr, tasks: &Tasks) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let own = tasks.clone();
    tasks.spawn("proxy", async move {
        while let Ok((client, _)) = listener.accept().await {
            own.spawn("proxied connection", async move {
                if let Err(error) = serve(client, behind).await {
                    tracing::debug!(%error, "a proxied connection ended");
                }
            });
        }
    });
    Ok(address)
}

async fn serve(mut client: TcpStream, behind: SocketAddr) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX_BYTES {
        head.push(client.read_u8().await?);
    }
    if !head.starts_with(b"CONNECT ") {
        return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n").await;
    }
    let mut server = TcpStream::connect(behind).await?;
    client.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
