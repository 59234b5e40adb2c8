//! This cloud's names for programs of the host that can be told whom to ask: `nslookup -port=8446 <fqdn> 127.0.0.1`.
//!
//! It answers with what the host reaches: the listener of the API servers for clusters' names, the front door's for the
//! others. (Machines ask 168.63.129.16 in their own network and are told public addresses, which lead nowhere from here.)
//! Guarantees: any other name does not exist; nobody else is asked, and nothing of the system's resolution is touched.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use fabric::names::Names;
use fabric::{NetworkId, Wanted, dns};
use kit::Tasks;
use providers::network::platform;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use super::proxy::Ends;

/// Both transports, on one port.
pub(super) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    pub(super) fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

async fn bind(address: SocketAddr) -> std::io::Result<Sockets> {
    let tcp = TcpListener::bind(address).await?;
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok(Sockets { udp, tcp })
}

/// Times that a free port is asked for: one that is free for TCP may be taken for UDP.
const TRIES: usize = 16;

/// Listens behind the proxy's port if that is free, else on any.
pub(super) async fn listen(proxy: SocketAddr) -> anyhow::Result<Sockets> {
    if let Some(port) = proxy.port().checked_add(1)
        && let Ok(sockets) = bind(SocketAddr::new(proxy.ip(), port)).await
    {
        return Ok(sockets);
    }
    let any = SocketAddr::new(proxy.ip(), 0);
    for _ in 1..TRIES {
        if let Ok(sockets) = bind(any).await {
            return Ok(sockets);
        }
    }
    Ok(bind(any).await?)
}

/// Where this host reaches a listener.
fn reached(listener: SocketAddr) -> Option<Ipv4Addr> {
    match listener.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Some(Ipv4Addr::LOCALHOST),
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn names(ends: Ends, clusters: &[(String, Ipv4Addr)]) -> Names {
    let front = reached(ends.front).into_iter();
    let own = front.flat_map(|at| platform::names().map(move |(name, _)| (name.to_owned(), at)));
    let api = reached(ends.api);
    let clusters = clusters.iter().filter_map(|(name, _)| Some((name.clone(), api?)));
    let wanted = Wanted { names: own.chain(clusters).collect(), ..Wanted::default() };
    Names::of(&wanted, &NetworkId::of("host"))
}

/// Answers until the group is told to stop. `clusters` are the API servers' names.
pub(super) fn start(
    sockets: Sockets,
    ends: Ends,
    clusters: watch::Receiver<Vec<(String, Ipv4Addr)>>,
    tasks: &Tasks,
) {
    let known = move || {
        let clusters = clusters.clone();
        move || Arc::new(names(ends, &clusters.borrow()))
    };
    tasks.spawn("host's names over UDP", dns::serve_udp(sockets.udp, known()));
    tasks.spawn("host's names over TCP", dns::serve_tcp(sockets.tcp, known()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A question for an address, as a resolver writes it.
    fn question(name: &str) -> Vec<u8> {
        let mut bytes = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, 0, 1, 0, 1]);
        bytes
    }

    /// Code and first address of an answer.
    fn read(answer: &[u8]) -> (u8, Option<[u8; 4]>) {
        let has = answer[7] > 0;
        (answer[3] & 15, has.then(|| answer[answer.len() - 4..].try_into().unwrap()))
    }

    #[tokio::test]
    async fn clusters_are_where_the_host_reaches_them_and_other_names_are_nowhere() {
        let sockets = listen("127.0.0.1:65535".parse().unwrap()).await.unwrap();
        let (address, tasks) = (sockets.address().unwrap(), Tasks::new());
        let clusters =
            watch::Sender::new(vec![("a.hcp.eastus.azmk8s.io".to_owned(), Ipv4Addr::new(20, 1, 0, 4))]);
        let ends = Ends { front: "0.0.0.0:8443".parse().unwrap(), api: "127.0.0.7:8444".parse().unwrap() };
        start(sockets, ends, clusters.subscribe(), &tasks);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(address).await.unwrap();
        let ask = async |name: &str| {
            client.send(&question(name)).await.unwrap();
            let mut answer = [0; 512];
            let length = client.recv(&mut answer).await.unwrap();
            read(&answer[..length])
        };
        assert_eq!(ask("a.hcp.eastus.azmk8s.io").await, (0, Some([127, 0, 0, 7])));
        assert_eq!(ask("management.azure.com").await, (0, Some([127, 0, 0, 1])));
        assert_eq!(ask("one.vault.azure.net").await, (0, Some([127, 0, 0, 1])));
        assert_eq!(ask("b.hcp.eastus.azmk8s.io").await, (3, None));
        assert_eq!(ask("example.org").await, (3, None));
        clusters.send_replace(vec![("b.hcp.eastus.azmk8s.io".to_owned(), Ipv4Addr::new(20, 1, 0, 5))]);
        assert_eq!(ask("b.hcp.eastus.azmk8s.io").await, (0, Some([127, 0, 0, 7])));
        assert_eq!(ask("a.hcp.eastus.azmk8s.io").await, (3, None));

        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let query = question("b.hcp.eastus.azmk8s.io");
        stream.write_u16(u16::try_from(query.len()).unwrap()).await.unwrap();
        stream.write_all(&query).await.unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(read(&answer), (0, Some([127, 0, 0, 7])));
        tasks.drain(Duration::from_secs(5)).await;
    }
}
