//! Addresses and networks.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Style::{Global, Member};
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::value::{Opaque, Value};

const CONTAINS_IP: Run = |_, args| {
    let network = network(args.first())?;
    let address = match args.get(1) {
        Some(Value::String(text)) => parse_ip(text.as_str())?,
        other => address(other)?,
    };
    Ok(Value::Bool(network.contains(&address)))
};
const CONTAINS_CIDR: Run = |_, args| {
    let outer = network(args.first())?;
    let inner = match args.get(1) {
        Some(Value::String(text)) => parse_cidr(text.as_str())?,
        other => network(other)?,
    };
    Ok(Value::Bool(outer.contains(&inner.addr()) && outer.prefix_len() <= inner.prefix_len()))
};

pub(super) const IP_ROWS: &[Row] = &[
    Row("ip", "string_to_ip", Global, "string -> ip", |_, args| parse_ip(text(args)?).map(of_ip)),
    Row("isIP", "is_ip", Global, "string -> bool", |_, args| Ok(Value::Bool(parse_ip(text(args)?).is_ok()))),
    Row("ip.isCanonical", "ip_is_canonical", Global, "string -> bool", |_, args| {
        let text = text(args)?;
        Ok(Value::Bool(parse_ip(text)?.to_string() == text))
    }),
    Row("family", "family", Member, "ip -> int", |_, args| {
        Ok(Value::Int(if address(args.first())?.is_ipv4() { 4 } else { 6 }))
    }),
    Row("isUnspecified", "is_unspecified", Member, "ip -> bool", |_, args| {
        is(args, |ip| ip.is_unspecified())
    }),
    Row("isLoopback", "is_loopback", Member, "ip -> bool", |_, args| is(args, |ip| ip.is_loopback())),
    Row("isLinkLocalMulticast", "is_link_local_multicast", Member, "ip -> bool", |_, args| {
        is(args, |ip| match ip {
            IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
            IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
        })
    }),
    Row("isLinkLocalUnicast", "is_link_local_unicast", Member, "ip -> bool", |_, args| {
        is(args, |ip| match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
        })
    }),
    Row("isGlobalUnicast", "is_global_unicast", Member, "ip -> bool", |_, args| {
        is(args, |ip| {
            let link_local = match ip {
                IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
                IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
            };
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local)
        })
    }),
];

pub(super) const CIDR_ROWS: &[Row] = &[
    Row("cidr", "string_to_cidr", Global, "string -> cidr", |_, args| {
        parse_cidr(text(args)?).map(|network| Value::Opaque(Arc::new(Opaque::Cidr(network))))
    }),
    Row("isCIDR", "is_cidr", Global, "string -> bool", |_, args| {
        Ok(Value::Bool(parse_cidr(text(args)?).is_ok()))
    }),
    Row("containsIP", "cidr_contains_ip_string", Member, "cidr, string -> bool", CONTAINS_IP),
    Row("containsIP", "cidr_contains_ip_ip", Member, "cidr, ip -> bool", CONTAINS_IP),
    Row("containsCIDR", "cidr_contains_cidr_string", Member, "cidr, string -> bool", CONTAINS_CIDR),
    Row("containsCIDR", "cidr_contains_cidr", Member, "cidr, cidr -> bool", CONTAINS_CIDR),
    Row("ip", "cidr_ip", Member, "cidr -> ip", |_, args| {
        network(args.first()).map(|network| of_ip(network.addr()))
    }),
    Row("prefixLength", "prefix_length", Member, "cidr -> int", |_, args| {
        network(args.first()).map(|network| Value::Int(i64::from(network.prefix_len())))
    }),
    Row("masked", "masked", Member, "cidr -> cidr", |_, args| {
        network(args.first()).map(|network| Value::Opaque(Arc::new(Opaque::Cidr(network.trunc()))))
    }),
];

fn text<'v>(args: &'v [Value<'_>]) -> Result<&'v str, EvalError> {
    args.first().and_then(Value::as_str).ok_or_else(EvalError::no_overload)
}

fn of_ip<'a>(ip: IpAddr) -> Value<'a> {
    Value::Opaque(Arc::new(Opaque::Ip(ip)))
}

fn address(value: Option<&Value<'_>>) -> Result<IpAddr, EvalError> {
    match value {
        Some(Value::Opaque(opaque)) => match &**opaque {
            Opaque::Ip(ip) => Ok(*ip),
            _ => Err(EvalError::no_overload()),
        },
        _ => Err(EvalError::no_overload()),
    }
}

fn network(value: Option<&Value<'_>>) -> Result<IpNet, EvalError> {
    match value {
        Some(Value::Opaque(opaque)) => match &**opaque {
            Opaque::Cidr(network) => Ok(*network),
            _ => Err(EvalError::no_overload()),
        },
        _ => Err(EvalError::no_overload()),
    }
}

fn is<'a>(args: &[Value<'a>], holds: fn(&IpAddr) -> bool) -> Given<'a> {
    Ok(Value::Bool(holds(&address(args.first())?)))
}

/// Addresses with a zone and IPv4 ones written as IPv6 are refused, as upstream does.
fn parse_ip(text: &str) -> Result<IpAddr, EvalError> {
    let wrong = |why: &str| {
        EvalError::failed(format!("IP Address {text:?} parse error during conversion from string: {why}"))
    };
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Err(EvalError::failed(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        Ok(ip) => Ok(ip),
        Err(_) if text.contains('%') => {
            Err(EvalError::failed(format!("IP address {text:?} with zone value is not allowed")))
        }
        Err(_) => Err(wrong(&format!("ParseAddr({text:?}): unable to parse IP"))),
    }
}

fn parse_cidr(text: &str) -> Result<IpNet, EvalError> {
    let wrong = || {
        EvalError::failed(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?})"
        ))
    };
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let plain = length == "0"
        || (!length.starts_with('0') && !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()));
    if !plain {
        return Err(wrong());
    }
    let address = match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            return Err(EvalError::failed(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
        }
        Ok(address) => address,
        Err(_) => return Err(wrong()),
    };
    IpNet::new(address, length.parse().map_err(|_| wrong())?).map_err(|_| wrong())
}
