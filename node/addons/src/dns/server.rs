//! The server: sockets, the watched zone, readiness.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::Name;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kit::Tasks;
use kit::http::{Request, ServiceFn};
use kube::api::Api;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::RwLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;

use super::answer::{Outcome, answer};
use super::forward::Forwarder;
use super::zone::Zone;

const UDP_PLAIN_MAX_BYTES: usize = 512;
const DATAGRAM_MAX_BYTES: usize = 4096;
const TCP_IDLE: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_millis(10);

/// How the server runs.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The cluster's domain.
    #[arg(long, default_value = "cluster.local")]
    pub domain: String,
    /// Where questions are answered, UDP and TCP.
    #[arg(long, default_value = "0.0.0.0:53")]
    pub listen: SocketAddr,
    /// Where `/health` and `/ready` are answered.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub health: SocketAddr,
}

struct Server {
    domain: Name,
    zone: RwLock<Option<Arc<Zone>>>,
    forwarder: Forwarder,
}

/// Serves until the group is told to stop.
pub async fn run(options: Options, client: kube::Client, tasks: &Tasks) -> Result<()> {
    let domain = Name::from_str(&format!("{}.", options.domain.trim_matches('.')))
        .with_context(|| format!("`{}` is not a domain", options.domain))?;
    let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let server =
        Arc::new(Server { domain, zone: RwLock::new(None), forwarder: Forwarder::new(&resolv_conf) });
    let udp = UdpSocket::bind(options.listen).await.context("failed to listen for datagrams")?;
    let tcp = TcpListener::bind(options.listen).await.context("failed to listen for connections")?;
    let health = TcpListener::bind(options.health).await.context("failed to listen for health checks")?;

    keep_zone(client, server.clone(), tasks);
    serve_health(health, server.clone(), tasks);
    serve_udp(Arc::new(udp), server.clone(), tasks);
    serve_tcp(tcp, server, tasks);
    tasks.stopped().await;
    Ok(())
}

fn keep_zone(client: kube::Client, server: Arc<Server>, tasks: &Tasks) {
    let changed = Arc::new(Notify::new());
    let services = watch::<Service>(Api::all(client.clone()), &changed, tasks);
    let slices = watch::<EndpointSlice>(Api::all(client), &changed, tasks);
    tasks.spawn("dns zone", async move {
        let _ = (services.wait_until_ready().await, slices.wait_until_ready().await);
        loop {
            let (service_objects, slice_objects) = (services.state(), slices.state());
            let zone =
                Zone::new(service_objects.iter().map(Arc::as_ref), slice_objects.iter().map(Arc::as_ref));
            *server.zone.write() = Some(Arc::new(zone));
            changed.notified().await;
            tokio::time::sleep(SETTLE).await;
        }
    });
}

fn watch<K>(api: Api<K>, changed: &Arc<Notify>, tasks: &Tasks) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    K: for<'de> serde::Deserialize<'de>,
{
    let (store, writer) = reflector::store();
    let changed = changed.clone();
    let stream = reflector::reflector(writer, watcher(api, watcher::Config::default()).default_backoff());
    tasks.spawn("dns watch", async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(_) => changed.notify_one(),
                Err(error) => {
                    tracing::warn!(error = %kit::Chain(&error), "a watch broke; it is opened again")
                }
            }
        }
    });
    store
}

fn serve_health(listener: TcpListener, server: Arc<Server>, tasks: &Tasks) {
    let service = ServiceFn(move |request: Request| {
        let ready = server.zone.read().is_some();
        async move {
            kit::http::status(match request.uri().path() {
                "/health" => http::StatusCode::OK,
                "/ready" if ready => http::StatusCode::OK,
                "/ready" => http::StatusCode::SERVICE_UNAVAILABLE,
                _ => http::StatusCode::NOT_FOUND,
            })
        }
    });
    kit::serve::plain(listener, Arc::new(service), tasks);
}

fn serve_udp(socket: Arc<UdpSocket>, server: Arc<Server>, tasks: &Tasks) {
    let group = tasks.clone();
    tasks.spawn("dns udp", async move {
        let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
        loop {
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let (server, socket) = (server.clone(), socket.clone());
            group.spawn("dns question", async move {
                let limit = question
                    .edns
                    .as_ref()
                    .map_or(UDP_PLAIN_MAX_BYTES, |edns| usize::from(edns.max_payload()))
                    .clamp(UDP_PLAIN_MAX_BYTES, DATAGRAM_MAX_BYTES);
                let reply = server.answer(&question).await;
                let bytes = match reply.to_vec() {
                    Ok(bytes) if bytes.len() <= limit => Ok(bytes),
                    // Too long for a datagram: the client asks again over TCP.
                    Ok(_) => reply.truncate().to_vec(),
                    Err(error) => Err(error),
                };
                if let Ok(bytes) = bytes {
                    let _ = socket.send_to(&bytes, peer).await;
                }
            });
        }
    });
}

fn serve_tcp(listener: TcpListener, server: Arc<Server>, tasks: &Tasks) {
    let group = tasks.clone();
    tasks.spawn("dns tcp", async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let server = server.clone();
            group.spawn("dns connection", async move {
                if let Err(error) = tcp_questions(stream, &server).await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
    });
}

async fn tcp_questions(mut stream: TcpStream, server: &Server) -> Result<()> {
    loop {
        let length = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await??;
        let mut bytes = vec![0; usize::from(length)];
        tokio::time::timeout(TCP_IDLE, stream.read_exact(&mut bytes)).await??;
        let reply = server.answer(&Message::from_vec(&bytes)?).await.to_vec()?;
        stream.write_u16(u16::try_from(reply.len())?).await?;
        stream.write_all(&reply).await?;
    }
}

impl Server {
    async fn answer(&self, question: &Message) -> Message {
        let Some(zone) = self.zone.read().clone() else {
            return self.forwarder.ask(question).await;
        };
        match answer(question, &zone, &self.domain) {
            Outcome::Answer(reply) => reply,
            Outcome::Forward => self.forwarder.ask(question).await,
            Outcome::Chase(mut reply, target, kind) => {
                let mut further = question.clone();
                further.queries.clear();
                further.add_query(Query::query(target, kind));
                let found = self.forwarder.ask(&further).await;
                reply.add_answers(found.answers);
                reply
            }
        }
    }
}
