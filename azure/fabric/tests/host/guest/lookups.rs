//! Questions of every kind to name servers, and a name server that has one answer.

use std::io::{Error, Result};
use std::net::{Ipv4Addr, UdpSocket};
use std::str::FromStr;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// `KIND NAME [SERVER]`, without a server the one that the machine was told: the code and the answers.
pub fn lookup(rest: &str) -> Result<String> {
    let mut words = rest.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let kind = RecordType::from_str(word()).map_err(Error::other)?;
    let name = Name::from_str(&format!("{}.", word())).map_err(Error::other)?;
    let told = std::fs::read_to_string("/etc/resolv.conf")?;
    let told = told.lines().find_map(|line| line.strip_prefix("nameserver ")).unwrap_or_default();
    let server = Some(word()).filter(|server| !server.is_empty()).unwrap_or(told);
    let mut question = Message::query();
    question.add_query(Query::query(name, kind));
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(super::LIMIT))?;
    socket.connect(format!("{server}:53"))?;
    socket.send(&question.to_vec().map_err(Error::other)?)?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer)?;
    let reply = Message::from_vec(&answer[..length]).map_err(Error::other)?;
    let answers: Vec<String> =
        reply.answers.iter().map(|r| format!("{} {}", r.record_type(), r.data)).collect();
    Ok(format!("{:?} {}", reply.metadata.response_code, answers.join("; ")))
}

/// Answers every question on port 53 with this address.
pub fn answer(address: &str) -> Result<String> {
    let address: Ipv4Addr = address.parse().map_err(Error::other)?;
    let socket = UdpSocket::bind("0.0.0.0:53")?;
    std::thread::spawn(move || {
        let mut asked = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut asked) {
            let Ok(question) = Message::from_vec(&asked[..length]) else { continue };
            let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
            for query in &question.queries {
                reply.answers.push(Record::from_rdata(query.name().clone(), 1, RData::A(A(address))));
            }
            if let Ok(bytes) = reply.to_vec() {
                let _ = socket.send_to(&bytes, peer);
            }
        }
    });
    Ok("ok".into())
}
