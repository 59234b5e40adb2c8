//! A question's bytes to an answer's bytes, from the zone alone.

use std::net::Ipv4Addr;
use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, PTR, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::zone::{Found, Zone};

/// How long clients may keep an answer, seconds (as AKS's Corefile has it).
const TTL_S: u32 = 30;

/// What becomes of a question.
pub(crate) enum Outcome {
    /// Answer this.
    Answer(Message),
    /// The name is not the cluster's; ask further.
    Forward,
    /// The name stands for one outside the cluster: ask further for it and add what is found.
    Chase(Message, Name, RecordType),
}

/// Answers a question from the zone.
pub(crate) fn answer(question: &Message, zone: &Zone, domain: &Name) -> Outcome {
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    if question.metadata.op_code != OpCode::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return Outcome::Answer(reply);
    }
    let Some(query) = question.queries.first().cloned() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return Outcome::Answer(reply);
    };
    let name = query.name().clone();
    let kind = query.query_type();
    reply.add_query(query);
    if let Some(address) = reverse_address(&name) {
        return match zone.name_of(address) {
            None => Outcome::Forward,
            Some(found) => {
                reply.metadata.authoritative = true;
                if let Some(target) = below(found, domain) {
                    reply.add_answer(Record::from_rdata(name, TTL_S, RData::PTR(PTR(target))));
                }
                Outcome::Answer(reply)
            }
        };
    }
    if !domain.zone_of(&name) {
        return Outcome::Forward;
    }
    reply.metadata.authoritative = true;
    let lower = name.to_lowercase().to_ascii();
    let suffix = format!(".{}", domain.to_ascii());
    let prefix = lower.strip_suffix(&suffix).unwrap_or_default();
    let labels: Vec<&str> = prefix.split('.').filter(|label| !label.is_empty()).collect();
    fill(reply, &name, kind, zone.find(&labels, kind == RecordType::SRV), domain)
}

fn fill(mut reply: Message, name: &Name, kind: RecordType, found: Found, domain: &Name) -> Outcome {
    match found {
        Found::Missing => reply.metadata.response_code = ResponseCode::NXDomain,
        Found::Nothing => {}
        Found::Addresses(addresses) if kind == RecordType::A || kind == RecordType::ANY => {
            for address in addresses {
                reply.add_answer(Record::from_rdata(name.clone(), TTL_S, RData::A(A(address))));
            }
        }
        Found::Addresses(_) => {}
        Found::Targets(targets) => {
            for (port, target, address) in targets {
                let Some(target) = below(&target, domain) else { continue };
                let srv = SRV::new(0, 100, port, target.clone());
                reply.add_answer(Record::from_rdata(name.clone(), TTL_S, RData::SRV(srv)));
                reply.add_additional(Record::from_rdata(target, TTL_S, RData::A(A(address))));
            }
        }
        Found::Alias(target) => {
            let Ok(target) = Name::from_str(&format!("{}.", target.trim_end_matches('.'))) else {
                reply.metadata.response_code = ResponseCode::ServFail;
                return Outcome::Answer(reply);
            };
            reply.add_answer(Record::from_rdata(name.clone(), TTL_S, RData::CNAME(CNAME(target.clone()))));
            if kind != RecordType::CNAME {
                return Outcome::Chase(reply, target, kind);
            }
        }
    }
    Outcome::Answer(reply)
}

fn below(name: &str, domain: &Name) -> Option<Name> {
    Name::from_str(&format!("{name}.{}", domain.to_ascii())).ok()
}

/// The address a name below `in-addr.arpa.` asks for.
fn reverse_address(name: &Name) -> Option<Ipv4Addr> {
    let text = name.to_lowercase().to_ascii();
    let mut octets: Vec<u8> = text
        .strip_suffix(".in-addr.arpa.")?
        .split('.')
        .map(|label| label.parse().ok())
        .collect::<Option<_>>()?;
    octets.reverse();
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}
