//! Questions that are not the cluster's: asked of the node's resolvers, answers kept for their time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

const TRY_LIMIT: Duration = Duration::from_secs(2);
const ENTRIES_MAX: usize = 10_000;
const KEPT_MAX: Duration = Duration::from_secs(30);
const DATAGRAM_MAX_BYTES: usize = 4096;

/// The resolvers to ask, and what they said lately.
pub(crate) struct Forwarder {
    servers: Vec<SocketAddr>,
    kept: Mutex<HashMap<Query, (Instant, Message)>>,
}

impl Forwarder {
    /// Reads the resolvers from `resolv.conf`'s text.
    pub(crate) fn new(resolv_conf: &str) -> Self {
        let servers = resolv_conf
            .lines()
            .filter_map(|line| line.trim().strip_prefix("nameserver"))
            .filter_map(|address| address.trim().parse::<IpAddr>().ok())
            .map(|address| SocketAddr::new(address, 53))
            .collect();
        Self { servers, kept: Mutex::default() }
    }

    /// The answer to one question, with the asker's id.
    pub(crate) async fn ask(&self, question: &Message) -> Message {
        let id = question.metadata.id;
        let Some(query) = question.queries.first() else {
            return Message::error_msg(id, question.metadata.op_code, ResponseCode::FormErr);
        };
        if let Some(mut known) = self.known(query) {
            known.metadata.id = id;
            return known;
        }
        for server in &self.servers {
            match timeout(TRY_LIMIT, exchange(*server, question)).await {
                Ok(Ok(answer)) => {
                    self.keep(query, &answer);
                    return answer;
                }
                Ok(Err(error)) => tracing::debug!(%server, %error, "a resolver failed"),
                Err(_) => tracing::debug!(%server, "a resolver did not answer"),
            }
        }
        let mut failed = Message::error_msg(id, question.metadata.op_code, ResponseCode::ServFail);
        failed.add_query(query.clone());
        failed
    }

    fn known(&self, query: &Query) -> Option<Message> {
        let mut kept = self.kept.lock();
        match kept.get(query) {
            Some((until, message)) if *until > Instant::now() => Some(message.clone()),
            Some(_) => {
                kept.remove(query);
                None
            }
            None => None,
        }
    }

    fn keep(&self, query: &Query, answer: &Message) {
        let shortest = answer.answers.iter().map(|record| record.ttl).min().unwrap_or(5);
        let time = Duration::from_secs(shortest.into()).min(KEPT_MAX);
        let mut kept = self.kept.lock();
        if kept.len() >= ENTRIES_MAX {
            let now = Instant::now();
            kept.retain(|_, (until, _)| *until > now);
        }
        if kept.len() < ENTRIES_MAX && !time.is_zero() {
            kept.insert(query.clone(), (Instant::now() + time, answer.clone()));
        }
    }
}

async fn exchange(server: SocketAddr, question: &Message) -> std::io::Result<Message> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(server).await?;
    let bytes = question.to_vec().map_err(std::io::Error::other)?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answer.metadata.id == question.metadata.id => return Ok(answer),
            _ => continue,
        }
    }
}
