//! Addresses and networks, read as leniently as upstream reads them.

use super::place::Place;
use super::report::Report;
use std::net::{IpAddr, Ipv4Addr};

const BAD_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const BAD_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// An address; leading zeros of IPv4 numbers do not make them octal.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).into())
}

/// A network as address and prefix length.
pub fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/')?;
    let ip = parse_ip(ip)?;
    if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let bits: u8 = bits.parse().ok()?;
    let max = if ip.is_ipv4() { 32 } else { 128 };
    (bits <= max).then_some((ip, bits))
}

/// The address as a number whose first bit is the network's first.
fn bits_of(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The network's first address.
pub fn network_of((ip, bits): (IpAddr, u8)) -> IpAddr {
    let mask = if bits == 0 { 0 } else { u128::MAX << (128 - u32::from(bits)) };
    let masked = bits_of(ip) & mask;
    match ip {
        IpAddr::V4(_) => Ipv4Addr::from((masked >> 96) as u32).into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::from(masked).into(),
    }
}

/// Whether a network holds an address.
pub fn contains((ip, bits): (IpAddr, u8), other: IpAddr) -> bool {
    ip.is_ipv4() == other.is_ipv4() && network_of((ip, bits)) == network_of((other, bits))
}

/// One address of each family, at most.
pub fn is_dual_stack(ips: impl Iterator<Item = IpAddr>) -> bool {
    let (mut four, mut six) = (false, false);
    for ip in ips {
        four |= ip.is_ipv4();
        six |= ip.is_ipv6();
    }
    four && six
}

impl Report {
    /// The text there must be an address; says whether it is.
    pub fn ip(&mut self, at: &Place) -> bool {
        let fits = parse_ip(at.as_text()).is_some();
        if !fits {
            self.invalid_text(at, BAD_IP);
        }
        fits
    }

    /// The text must be a network.
    pub fn cidr(&mut self, at: &Place, text: &str) -> bool {
        let fits = parse_cidr(text).is_some();
        if !fits {
            self.invalid_as(at, text, BAD_CIDR);
        }
        fits
    }

    /// The address must be one that others can reach.
    pub fn ordinary_ip(&mut self, at: &Place) {
        let Some(ip) = parse_ip(at.as_text()) else {
            return self.invalid_text(at, "must be a valid IP address");
        };
        let (link_local, multicast) = match ip {
            IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
            IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02),
        };
        if ip.is_unspecified() {
            self.invalid_text(at, &format!("may not be unspecified ({})", at.as_text()));
        }
        if ip.is_loopback() {
            self.invalid_text(at, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
        }
        if link_local {
            self.invalid_text(at, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
        }
        if multicast {
            self.invalid_text(at, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_upstream_reads_them() {
        assert_eq!(parse_ip("010.0.0.1"), parse_ip("10.0.0.1"));
        assert!(parse_ip("10.0.0").is_none() && parse_ip("10.0.0.256").is_none() && parse_ip("").is_none());
        assert!(
            parse_cidr("10.0.0.0/33").is_none()
                && parse_cidr("::/129").is_none()
                && parse_cidr("10.0.0.0/+8").is_none()
        );
        assert!(contains(parse_cidr("10.1.0.0/16").unwrap(), parse_ip("10.1.2.3").unwrap()));
        assert!(!contains(parse_cidr("10.1.0.0/16").unwrap(), parse_ip("10.2.2.3").unwrap()));
        assert!(contains(parse_cidr("::/0").unwrap(), parse_ip("2001:db8::1").unwrap()));
    }
}
