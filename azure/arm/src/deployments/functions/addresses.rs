//! Functions on address ranges: `parseCidr`, `cidrSubnet`, `cidrHost`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::{Arguments, Made};

/// A range: its first address as a number, the length of its prefix, and how many bits addresses have.
struct Range {
    first: u128,
    prefix: u32,
    bits: u32,
}

impl Range {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a range of addresses");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let (number, bits) = match address.parse::<IpAddr>().map_err(|_| wrong())? {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let prefix: u32 = prefix.parse().map_err(|_| wrong())?;
        if prefix > bits {
            return Err(wrong());
        }
        let range = Self { first: number, prefix, bits };
        Ok(Self { first: number & !range.rest(), ..range })
    }

    /// The bits behind the prefix, all set.
    fn rest(&self) -> u128 {
        let count = self.bits - self.prefix;
        if count == 0 { 0 } else { u128::MAX >> (128 - count) }
    }

    fn last(&self) -> u128 {
        self.first | self.rest()
    }

    fn shown(&self, number: u128) -> String {
        if self.bits == 32 {
            u32::try_from(number).map(|n| Ipv4Addr::from_bits(n).to_string()).unwrap_or_default()
        } else {
            Ipv6Addr::from_bits(number).to_string()
        }
    }

    /// The first and last address that machines can have.
    fn usable(&self) -> (u128, u128) {
        if self.bits == 32 && self.prefix < 31 {
            (self.first + 1, self.last() - 1)
        } else {
            (self.first, self.last())
        }
    }
}

fn parse(a: &Arguments<'_>) -> Made {
    let range = Range::read(&a.text(0))?;
    let mask = !range.rest() & if range.bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
    let (low, high) = range.usable();
    Ok(json!({
        "network": range.shown(range.first), "netmask": range.shown(mask), "broadcast": range.shown(range.last()),
        "firstUsable": range.shown(low), "lastUsable": range.shown(high), "cidr": range.prefix,
    }))
}

fn subnet(a: &Arguments<'_>) -> Made {
    let range = Range::read(&a.text(0))?;
    let prefix = u32::try_from(a.count(1)?).unwrap_or(u32::MAX);
    let index = a.count(2)? as u128;
    if prefix < range.prefix || prefix > range.bits {
        return Err(format!("The prefix length '{prefix}' does not fit into the range '{}'", a.text(0)));
    }
    let (inside, size) = (prefix - range.prefix, range.bits - prefix);
    if inside < 128 && index >= (1_u128 << inside) {
        return Err(format!("The range '{}' has no subnet with index '{index}'", a.text(0)));
    }
    let offset = if size >= 128 { 0 } else { index << size };
    Ok(Value::from(format!("{}/{prefix}", range.shown(range.first | offset))))
}

fn host(a: &Arguments<'_>) -> Made {
    let range = Range::read(&a.text(0))?;
    let index = a.count(1)? as u128;
    let (low, high) = range.usable();
    match low.checked_add(index).filter(|at| *at <= high) {
        Some(at) => Ok(Value::from(range.shown(at))),
        None => Err(format!("The range '{}' has no host with index '{index}'", a.text(0))),
    }
}

pub(super) fn call(name: &str, a: &Arguments<'_>) -> Option<Made> {
    Some(match name {
        "parsecidr" => parse(a),
        "cidrsubnet" => subnet(a),
        "cidrhost" => host(a),
        _ => return None,
    })
}
