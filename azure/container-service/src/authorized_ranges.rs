//! `apiServerAccessProfile.authorizedIPRanges`: AKS's rules for it, and what it says in the end.
//!
//! An empty list lets everybody in. A lone address is the range of itself, as AKS writes it back. `0.0.0.0/32` is AKS's
//! own way to let nobody in but the cluster's nodes, and stands alone.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::fault::Fault;
use crate::json::{list, set};

/// Most ranges of a cluster.
pub const RANGES_MAX: usize = 200;

const PATH: [&str; 2] = ["apiServerAccessProfile", "authorizedIPRanges"];
const POINTER: &str = "/apiServerAccessProfile/authorizedIPRanges";
const PROPERTY: &str = "apiServerAccessProfile.authorizedIPRanges";

/// Nobody but the cluster's nodes.
fn nobody() -> Ipv4Net {
    Ipv4Net::from(Ipv4Addr::UNSPECIFIED)
}

/// Checks the ranges and writes them as AKS does. A property that is not there stays away.
pub fn shape(properties: &mut Value) -> Result<(), Fault> {
    match properties.pointer(POINTER) {
        None => return Ok(()),
        Some(Value::Null | Value::Array(_)) => {}
        Some(_) => return Err(Fault::parameter(PROPERTY, "it is not a list of addresses and CIDRs")),
    }
    let wished = list(properties, POINTER);
    if wished.len() > RANGES_MAX {
        return Err(Fault::parameter(
            PROPERTY,
            format!(
                "a cluster has at most {RANGES_MAX} authorized IP ranges, but {} are given",
                wished.len()
            ),
        ));
    }
    let ranges = wished.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if ranges.len() > 1 && ranges.contains(&nobody()) {
        return Err(Fault::bad_request(
            "InvalidParameter",
            "Setting apiServerAuthorizedIPRange to 0.0.0.0/32 is not allowed with other IP ranges. Refer to \
             https://aka.ms/aks/auth-ip-ranges for more details",
        )
        .target(PROPERTY));
    }
    if properties.pointer(POINTER).is_some_and(Value::is_array) {
        set(properties, &PATH, ranges.iter().map(Ipv4Net::to_string).collect::<Vec<_>>());
    }
    Ok(())
}

/// The ranges of a stored cluster.
pub fn of(properties: &Value) -> Vec<Ipv4Net> {
    list(properties, POINTER).iter().filter_map(|range| read(range).ok()).collect()
}

fn read(range: &Value) -> Result<Ipv4Net, Fault> {
    let text = range.as_str().unwrap_or_default();
    let read = match text.contains('/') {
        true => text.parse::<Ipv4Net>().ok(),
        false => text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from),
    };
    let Some(read) = read else {
        return Err(Fault::parameter(PROPERTY, format!("'{text}' is not an IPv4 address or CIDR")));
    };
    if read != read.trunc() {
        return Err(Fault::parameter(
            PROPERTY,
            format!("'{text}' does not begin with the first address of its range, {}", read.trunc()),
        ));
    }
    if read != nobody() && read.prefix_len() > 0 && !is_public(read.addr()) {
        return Err(Fault::parameter(PROPERTY, format!("'{text}' is not a range of public addresses")));
    }
    Ok(read)
}

fn is_public(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    !(address.is_private() || address.is_loopback() || address.is_link_local() || shared)
        && (1..224).contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(ranges: Value) -> Value {
        json!({ "apiServerAccessProfile": { "authorizedIPRanges": ranges } })
    }

    #[test]
    fn ranges_are_written_back_as_aks_does() {
        for (sent, shown) in [
            (json!(["20.30.40.50", "52.0.0.0/8"]), json!(["20.30.40.50/32", "52.0.0.0/8"])),
            (json!([]), json!([])),
            (json!(["0.0.0.0/32"]), json!(["0.0.0.0/32"])),
            (json!(["0.0.0.0/0"]), json!(["0.0.0.0/0"])),
            (json!(null), json!(null)),
        ] {
            let mut properties = with(sent);
            shape(&mut properties).unwrap();
            assert_eq!(properties, with(shown));
        }
        let mut none = json!({});
        shape(&mut none).unwrap();
        assert_eq!(none, json!({}));
        assert_eq!(of(&with(json!(["20.30.40.50"]))), ["20.30.40.50/32".parse().unwrap()]);
    }

    #[test]
    fn a_range_that_cannot_be_is_refused_by_name() {
        let many: Vec<String> = (0..=RANGES_MAX).map(|n| format!("20.30.{n}.0/24")).collect();
        for (ranges, words) in [
            (json!(["here"]), "'here' is not an IPv4 address or CIDR"),
            (json!([7]), "'' is not an IPv4 address or CIDR"),
            (json!(["2001:db8::/32"]), "'2001:db8::/32' is not an IPv4 address or CIDR"),
            (
                json!(["20.30.40.50/24"]),
                "'20.30.40.50/24' does not begin with the first address of its range, 20.30.40.0/24",
            ),
            (json!(["10.1.0.0/16"]), "'10.1.0.0/16' is not a range of public addresses"),
            (json!(["240.0.0.0/8"]), "'240.0.0.0/8' is not a range of public addresses"),
            (json!("20.30.40.0/24"), "it is not a list of addresses and CIDRs"),
            (json!(many), "a cluster has at most 200 authorized IP ranges, but 201 are given"),
            (
                json!(["0.0.0.0/32", "20.30.40.0/24"]),
                "Setting apiServerAuthorizedIPRange to 0.0.0.0/32 is not allowed with other IP ranges. Refer to \
                 https://aka.ms/aks/auth-ip-ranges for more details",
            ),
        ] {
            let fault = shape(&mut with(ranges)).unwrap_err();
            assert_eq!((fault.status, fault.code.as_str()), (400, "InvalidParameter"));
            assert!(fault.message.ends_with(words), "{} does not end with {words}", fault.message);
        }
    }
}
