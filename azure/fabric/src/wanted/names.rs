//! Private zones: names that machines of linked networks resolve.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::ids::NetworkId;

/// A private zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// `privatelink.eastus.azmk8s.io`, without a dot at the end.
    pub name: String,
    /// Networks whose machines are answered.
    pub networks: Vec<NetworkId>,
    /// What is in it.
    pub records: Vec<NameRecord>,
    /// Networks of `networks` that ask further when the zone has no such name (`NxDomainRedirect`).
    pub falling_back: Vec<NetworkId>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// The name within the zone; `@`: the zone itself, `*`: every name that has no record.
    pub name: String,
    /// Seconds that an answer may be kept.
    pub ttl_s: u32,
    /// What it says.
    pub data: NameData,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameData {
    /// An address.
    A(Ipv4Addr),
    /// An address of version 6.
    Aaaa(Ipv6Addr),
    /// Another name.
    Cname(String),
    /// Who takes mail.
    Mx {
        /// Lower goes first.
        preference: u16,
        /// The name of who takes it.
        exchange: String,
    },
    /// A name for an address.
    Ptr(String),
    /// Where a service is.
    Srv {
        /// Lower goes first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// The port.
        port: u16,
        /// The name of the host.
        target: String,
    },
    /// Text, in parts of at most 255 bytes.
    Txt(Vec<String>),
    /// Who answers for the zone.
    Soa {
        /// Name of the first server.
        host: String,
        /// Mail address, with a dot for the @.
        email: String,
        /// Number of the version.
        serial: u32,
        /// Seconds between two looks of a second server.
        refresh_s: i32,
        /// Seconds until it tries again.
        retry_s: i32,
        /// Seconds until it gives up.
        expire_s: i32,
        /// Seconds that "no such name" may be kept.
        minimum_ttl_s: u32,
    },
}
