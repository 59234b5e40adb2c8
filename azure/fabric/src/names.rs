//! What a machine is answered when it asks 168.63.129.16 for a name. Pure: a wish and a network, question to answer.
//!
//! Guarantees: a private zone answers in the networks it is linked to and nowhere else; the longest zone wins; an
//! alias stays in the zones the asker may see. Does not: ask anybody else, so a name it was not told does not exist.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::ids::NetworkId;
use crate::wanted::{NameData, NameRecord, Wanted};

/// How long an answer may be kept that no zone says it for, seconds.
const TTL_S: u32 = 30;
/// Aliases followed in one answer.
const ALIASES_MAX: usize = 8;
/// Datagrams without EDNS carry no more (RFC 1035).
const DATAGRAM_MIN_BYTES: usize = 512;
/// And with it no more than this.
const DATAGRAM_MAX_BYTES: usize = 1232;

/// Names that are public or the network's own.
#[derive(Debug, Clone, Default)]
struct Public {
    exact: HashMap<String, Vec<Ipv4Addr>>,
    below: HashMap<String, Vec<Ipv4Addr>>,
    aliases: HashMap<String, String>,
}

impl Public {
    /// `*.suffix` stands for every name below the suffix.
    fn add(&mut self, name: &str, address: Ipv4Addr) {
        let name = plain(name);
        match name.strip_prefix("*.") {
            Some(suffix) => self.below.entry(suffix.to_owned()).or_default().push(address),
            None => self.exact.entry(name).or_default().push(address),
        }
    }

    /// An exact name wins over the longest suffix.
    fn lookup(&self, name: &str) -> Option<&[Ipv4Addr]> {
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let mut rest = name;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(found) = self.below.get(suffix) {
                return Some(found);
            }
            rest = suffix;
        }
        None
    }
}

/// A private zone as one network sees it.
#[derive(Debug, Clone)]
struct View {
    name: String,
    records: HashMap<String, Vec<NameRecord>>,
    /// Every name that exists because something stands at it or below it.
    nodes: HashSet<String>,
    falls_back: bool,
}

impl View {
    /// The records of a full name, with `*` for names that do not exist. `None`: there is no such name.
    fn find(&self, name: &str) -> Option<&[NameRecord]> {
        if let Some(found) = self.records.get(name) {
            return Some(found);
        }
        if self.nodes.contains(name) {
            return Some(&[]);
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if parent.len() < self.name.len() {
                break;
            }
            if self.nodes.contains(parent) {
                return self.records.get(&format!("*.{parent}")).map(Vec::as_slice);
            }
            rest = parent;
        }
        None
    }

    fn authority(&self) -> Option<Record> {
        let soa = self.records.get(&self.name)?.iter().find(|r| matches!(r.data, NameData::Soa { .. }))?;
        to_record(&full(&self.name)?, soa)
    }
}

/// The names that one network's machines resolve.
#[derive(Debug, Clone, Default)]
pub struct Names {
    public: Public,
    /// The longest name first.
    zones: Vec<View>,
}

enum Answer {
    Records(Vec<Record>),
    /// The name is there, but not with what was asked; who says so.
    Nothing(Option<Record>),
    Missing(Option<Record>),
}

impl Names {
    /// What a wish lets a network's machines resolve.
    pub fn of(wanted: &Wanted, network: &NetworkId) -> Self {
        let mut names = Self::default();
        wanted.names.iter().for_each(|(name, address)| names.public.add(name, *address));
        for (from, to) in &wanted.aliases {
            names.public.aliases.insert(plain(from), plain(to));
        }
        for machine in wanted.machines.iter().filter(|m| m.network == *network) {
            names.public.add(&machine.hostname, machine.address);
            names.public.add(&format!("{}.internal.cloudapp.net", machine.hostname), machine.address);
        }
        for zone in wanted.zones.iter().filter(|z| z.networks.contains(network)) {
            let name = plain(&zone.name);
            let mut view = View {
                records: HashMap::new(),
                nodes: HashSet::from([name.clone()]),
                falls_back: zone.falling_back.contains(network),
                name,
            };
            for record in &zone.records {
                let at = match record.name.as_str() {
                    "@" => view.name.clone(),
                    below => format!("{}.{}", plain(below), view.name),
                };
                let mut node = at.as_str();
                while node.len() > view.name.len() {
                    view.nodes.insert(node.to_owned());
                    node = node.split_once('.').map_or("", |(_, parent)| parent);
                }
                view.records.entry(at).or_default().push(record.clone());
            }
            names.zones.push(view);
        }
        names.zones.sort_by_key(|zone| std::cmp::Reverse(zone.name.len()));
        names
    }

    fn zone(&self, name: &str) -> Option<&View> {
        self.zones.iter().find(|zone| {
            name == zone.name || name.strip_suffix(&zone.name).is_some_and(|rest| rest.ends_with('.'))
        })
    }

    fn answer(&self, name: &Name, kind: RecordType, aliases_left: usize) -> Answer {
        let text = plain(&name.to_ascii());
        if let Some(zone) = self.zone(&text) {
            match zone.find(&text) {
                Some(records) => return self.from_records(zone, name, kind, records, aliases_left),
                None if !zone.falls_back => return Answer::Missing(zone.authority()),
                None => {}
            }
        }
        if let Some(target) = self.public.aliases.get(&text)
            && self.zone(target).is_some_and(|zone| zone.find(target).is_some())
            && let (Some(target), true) = (full(target), aliases_left > 0)
        {
            return self.chase(name, target, TTL_S, kind, aliases_left);
        }
        match self.public.lookup(&text) {
            None => Answer::Missing(None),
            Some(addresses) if matches!(kind, RecordType::A | RecordType::ANY) => Answer::Records(
                addresses.iter().map(|a| Record::from_rdata(name.clone(), TTL_S, RData::A(A(*a)))).collect(),
            ),
            Some(_) => Answer::Nothing(None),
        }
    }

    fn from_records(
        &self,
        zone: &View,
        name: &Name,
        kind: RecordType,
        records: &[NameRecord],
        aliases_left: usize,
    ) -> Answer {
        let alias = records.iter().find_map(|record| match &record.data {
            NameData::Cname(target) if kind != RecordType::CNAME => Some((full(target)?, record.ttl_s)),
            _ => None,
        });
        if let (Some((target, ttl_s)), true) = (alias, aliases_left > 0) {
            return self.chase(name, target, ttl_s, kind, aliases_left);
        }
        let found: Vec<Record> = records
            .iter()
            .filter_map(|record| to_record(name, record))
            .filter(|record| kind == RecordType::ANY || record.record_type() == kind)
            .collect();
        match found.is_empty() {
            true => Answer::Nothing(zone.authority()),
            false => Answer::Records(found),
        }
    }

    fn chase(&self, name: &Name, target: Name, ttl_s: u32, kind: RecordType, aliases_left: usize) -> Answer {
        let mut records = vec![Record::from_rdata(name.clone(), ttl_s, RData::CNAME(CNAME(target.clone())))];
        if let Answer::Records(further) = self.answer(&target, kind, aliases_left - 1) {
            records.extend(further);
        }
        Answer::Records(records)
    }

    /// The reply to a question.
    pub fn reply(&self, question: &Message) -> Message {
        let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
        reply.metadata.recursion_desired = question.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        if question.metadata.op_code != OpCode::Query {
            reply.metadata.response_code = ResponseCode::NotImp;
            return reply;
        }
        let Some(query) = question.queries.first().cloned() else {
            reply.metadata.response_code = ResponseCode::FormErr;
            return reply;
        };
        let (name, kind) = (query.name().clone(), query.query_type());
        reply.add_query(query);
        reply.metadata.authoritative = true;
        match self.answer(&name, kind, ALIASES_MAX) {
            Answer::Records(records) => reply.answers.extend(records),
            Answer::Nothing(authority) => reply.authorities.extend(authority),
            Answer::Missing(authority) => {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.authorities.extend(authority);
            }
        }
        reply
    }

    /// Bytes to bytes; `datagram`: cut to what the asker takes. `None`: the bytes are not worth an answer.
    pub fn answer_bytes(&self, bytes: &[u8], datagram: bool) -> Option<Vec<u8>> {
        let question = match Message::from_vec(bytes) {
            Ok(question) if question.metadata.message_type == MessageType::Query => question,
            Ok(_) => return None,
            Err(_) => {
                let id = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
                // Too short to be a question, or an answer itself.
                if bytes.len() < 12 || bytes.get(2)? & 0x80 != 0 {
                    return None;
                }
                return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok();
            }
        };
        let reply = self.reply(&question);
        let answer = reply.to_vec().ok()?;
        let limit = usize::from(question.max_payload()).clamp(DATAGRAM_MIN_BYTES, DATAGRAM_MAX_BYTES);
        match datagram && answer.len() > limit {
            true => reply.truncate().to_vec().ok(),
            false => Some(answer),
        }
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn full(name: &str) -> Option<Name> {
    Name::from_str(&format!("{}.", name.trim_end_matches('.'))).ok()
}

fn to_record(name: &Name, record: &NameRecord) -> Option<Record> {
    let data = match &record.data {
        NameData::A(address) => RData::A(A(*address)),
        NameData::Aaaa(address) => RData::AAAA(AAAA(*address)),
        NameData::Cname(target) => RData::CNAME(CNAME(full(target)?)),
        NameData::Mx { preference, exchange } => RData::MX(MX::new(*preference, full(exchange)?)),
        NameData::Ptr(target) => RData::PTR(PTR(full(target)?)),
        NameData::Srv { priority, weight, port, target } => {
            RData::SRV(SRV::new(*priority, *weight, *port, full(target)?))
        }
        NameData::Txt(parts) => RData::TXT(TXT::new(parts.clone())),
        NameData::Soa { host, email, serial, refresh_s, retry_s, expire_s, minimum_ttl_s } => RData::SOA(
            SOA::new(full(host)?, full(email)?, *serial, *refresh_s, *retry_s, *expire_s, *minimum_ttl_s),
        ),
    };
    Some(Record::from_rdata(name.clone(), record.ttl_s, data))
}

#[cfg(test)]
mod tests;
