//! The name service of machines: 168.63.129.16:53. Answers what it was told and forwards nothing.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const TTL_S: u32 = 30;
const QUERY_MAX_BYTES: usize = 1232;
const TYPE_A: u16 = 1;
const TYPE_ANY: u16 = 255;
const NAME_ERROR: u8 = 3;
const FORMAT_ERROR: u8 = 1;
const NOT_IMPLEMENTED: u8 = 4;

/// Names and addresses of one virtual network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Zone {
    exact: HashMap<String, Vec<Ipv4Addr>>,
    below: HashMap<String, Vec<Ipv4Addr>>,
}

impl Zone {
    /// `*.suffix` stands for every name below the suffix.
    pub fn add(&mut self, name: &str, address: Ipv4Addr) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(suffix) => self.below.entry(suffix.to_owned()).or_default().push(address),
            None => self.exact.entry(name).or_default().push(address),
        }
    }

    /// An exact name wins over the longest suffix.
    pub fn lookup(&self, name: &str) -> Option<&[Ipv4Addr]> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(found) = self.exact.get(&name) {
            return Some(found);
        }
        let mut rest = name.as_str();
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(found) = self.below.get(suffix) {
                return Some(found);
            }
            rest = suffix;
        }
        None
    }

    /// The answer to a query; `None` when it is not worth one.
    pub fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        if query.len() < 12 || query[2] & 0x80 != 0 {
            return None;
        }
        let Some((name, kind, end)) = question(query) else {
            return Some(header(query, FORMAT_ERROR, 0, &[]));
        };
        let question = &query[12..end];
        if query[2] & 0x78 != 0 {
            return Some(header(query, NOT_IMPLEMENTED, 0, question));
        }
        let Some(addresses) = self.lookup(&name) else { return Some(header(query, NAME_ERROR, 0, question)) };
        let addresses = if matches!(kind, TYPE_A | TYPE_ANY) { addresses } else { &[] };
        let mut answer = header(query, 0, addresses.len() as u16, question);
        for address in addresses {
            // The name is a pointer to the question's.
            answer.extend([0xc0, 12, 0, 1, 0, 1]);
            answer.extend(TTL_S.to_be_bytes());
            answer.extend([0, 4]);
            answer.extend(address.octets());
        }
        Some(answer)
    }
}

fn header(query: &[u8], code: u8, answers: u16, question: &[u8]) -> Vec<u8> {
    let questions = u16::from(!question.is_empty());
    // Response, authoritative, recursion as asked and available.
    let mut answer = vec![query[0], query[1], 0x84 | (query[2] & 0x79), 0x80 | code];
    answer.extend(questions.to_be_bytes());
    answer.extend(answers.to_be_bytes());
    answer.extend([0, 0, 0, 0]);
    answer.extend(question);
    answer
}

/// Name, type and end of the first question.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = 12;
    let mut name = String::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => break,
            1..=63 => {
                let label = query.get(at..at + length)?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|b| char::from(*b)));
                at += length;
            }
            _ => return None,
        }
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    query.get(at + 3)?;
    Some((name, kind, at + 4))
}

/// Answers over UDP for ever.
pub(super) async fn serve_udp(socket: UdpSocket, zone: impl Fn() -> std::sync::Arc<Zone>) {
    let mut buffer = [0; QUERY_MAX_BYTES];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, peer)) => {
                if let Some(answer) = zone().answer(&buffer[..length]) {
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
            Err(error) => tracing::debug!(%error, "failed to receive a name query"),
        }
    }
}

/// Answers over TCP for ever.
pub(super) async fn serve_tcp(listener: TcpListener, zone: impl Fn() -> std::sync::Arc<Zone>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let zone = zone();
        connections.spawn(tokio::time::timeout(std::time::Duration::from_secs(10), one(stream, zone)));
        while connections.try_join_next().is_some() {}
    }
}

async fn one(mut stream: TcpStream, zone: std::sync::Arc<Zone>) -> std::io::Result<()> {
    loop {
        let length = usize::from(stream.read_u16().await?);
        let mut query = vec![0; length];
        stream.read_exact(&mut query).await?;
        let Some(answer) = zone.answer(&query) else { return Ok(()) };
        stream.write_u16(answer.len() as u16).await?;
        stream.write_all(&answer).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn known_names_answer_and_nothing_is_made_up() {
        let mut zone = Zone::default();
        zone.add("*.azurecr.io", Ipv4Addr::new(20, 0, 0, 10));
        zone.add("x.hcp.eastus.azmk8s.io", Ipv4Addr::new(20, 1, 0, 4));
        let answer = zone.answer(&query("Lazurite.azurecr.IO", TYPE_A)).unwrap();
        assert_eq!(&answer[answer.len() - 4..], &[20, 0, 0, 10]);
        assert_eq!(answer[3] & 15, 0);
        let ipv6 = zone.answer(&query("x.hcp.eastus.azmk8s.io", 28)).unwrap();
        assert_eq!((ipv6[3] & 15, ipv6[7]), (0, 0));
        let unknown = zone.answer(&query("example.org", TYPE_A)).unwrap();
        assert_eq!(unknown[3] & 15, NAME_ERROR);
        assert_eq!(zone.answer(&[0; 5]), None);
        for end in 0..20 {
            let _ = zone.answer(&query("example.org", TYPE_A)[..end]);
        }
    }
}
