use std::sync::Arc;
use std::time::Duration;

use kit::http::{BoxService, ServiceFn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Serves [`Tunnels::accept`] as if this user had asked, and opens a tunnel to it over real HTTP.
async fn upgrade(tunnels: &Arc<Tunnels>, user: UserInfo, tasks: &Tasks) -> Result<(), StatusCode> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = {
        let tunnels = tunnels.clone();
        ServiceFn(move |request: Request| {
            let response = tunnels.accept(request, &user);
            async move { response }
        })
    };
    let service: BoxService = Arc::new(service);
    kit::serve::plain(listener, service, tasks);
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, kit::http::Body>(TokioIo::new(stream)).await.unwrap();
    tasks.spawn("client", async move { drop(connection.with_upgrades().await) });
    let request = http::Request::get(PATH)
        .header("host", "api")
        .header("connection", "Upgrade")
        .header("upgrade", PROTOCOL)
        .body(kit::http::empty())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(response.status());
    }
    let upgraded = hyper::upgrade::on(response).await.unwrap();
    tasks.spawn("carry", async move {
        let dial =
            |target: Target| async move { TcpStream::connect((target.host.as_str(), target.port)).await };
        drop(kit::tunnel::carry(TokioIo::new(upgraded), dial).await);
    });
    let mut changed = tunnels.changed();
    changed.wait_for(|_| !tunnels.nodes().is_empty()).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_node_opens_its_tunnel_and_is_dialled_through_it() {
    let tasks = Tasks::new();
    let tunnels = Tunnels::new(&tasks);
    assert!(matches!(tunnels.dial("n1", "127.0.0.1", 1).await, Err(DialError::NoTunnel(_))));
    assert!(matches!(tunnels.dial_any("n1", "127.0.0.1", 1).await, Err(DialError::NoNode)));
    let stranger = UserInfo::new("jane", &["system:nodes"]);
    assert_eq!(upgrade(&tunnels, stranger, &tasks).await, Err(StatusCode::FORBIDDEN));
    let far = tasks.child();
    upgrade(&tunnels, UserInfo::new("system:node:n1", &["system:nodes"]), &far).await.unwrap();
    assert_eq!(tunnels.nodes(), ["n1"]);

    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = echo.local_addr().unwrap().port();
    tasks.spawn("echo", async move {
        let (mut stream, _) = echo.accept().await.unwrap();
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });
    let mut stream = tunnels.dial_any("elsewhere", "127.0.0.1", port).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello");
    assert!(matches!(tunnels.dial("n1", "127.0.0.1", 1).await, Err(DialError::Beyond { .. })));

    let mut changed = tunnels.changed();
    drop(stream);
    far.stop();
    let gone =
        tokio::time::timeout(Duration::from_secs(10), changed.wait_for(|_| tunnels.nodes().is_empty()));
    gone.await.expect("the tunnel ends with its connection").unwrap();
    tasks.drain(Duration::from_secs(5)).await;
}
