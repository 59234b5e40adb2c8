//! Giving out addresses: the lowest free one, never one twice.
//!
//! Pure: the caller says what is taken. Azure keeps the first four addresses of a subnet and its last one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Addresses at the start of a subnet that Azure keeps for itself.
pub const RESERVED_FIRST: u32 = 4;

/// The lowest free address of a subnet.
pub fn next_in_subnet(subnet: Ipv4Net, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let first = u32::from(subnet.network()).checked_add(RESERVED_FIRST)?;
    let end = u32::from(subnet.broadcast());
    (first..end).map(Ipv4Addr::from).find(|address| !taken.contains(address))
}

/// Held from the choice of a subnet's address until it is in the store, by all who give such addresses: instances of scale sets,
/// interfaces, load balancers. So no two are given the same.
static GIVING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits for the turn to give addresses of subnets.
pub async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    GIVING.lock().await
}

/// How many addresses of a subnet can be given out.
pub fn capacity(subnet: Ipv4Net) -> u64 {
    (1_u64 << (32 - subnet.prefix_len())).saturating_sub(u64::from(RESERVED_FIRST) + 1)
}

/// The lowest free address of a range without reserved ones other than its first and last.
pub fn next_in_range(range: Ipv4Net, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    range.hosts().find(|address| !taken.contains(address))
}

/// The lowest free block of `length` bits in a range.
pub fn next_block(range: Ipv4Net, length: u8, taken: &BTreeSet<Ipv4Net>) -> Option<Ipv4Net> {
    range.subnets(length).ok()?.find(|block| !taken.contains(block))
}

/// Whether two ranges share an address.
pub fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_gives_from_four_upwards_until_it_is_full() {
        let subnet: Ipv4Net = "10.0.0.0/29".parse().unwrap();
        let mut taken = BTreeSet::new();
        let mut given = Vec::new();
        while let Some(address) = next_in_subnet(subnet, &taken) {
            taken.insert(address);
            given.push(address.to_string());
        }
        assert_eq!(given, ["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(capacity(subnet), 3);
    }

    #[test]
    fn blocks_are_reused_lowest_first() {
        let range: Ipv4Net = "10.244.0.0/22".parse().unwrap();
        let mut taken: BTreeSet<Ipv4Net> =
            ["10.244.0.0/24", "10.244.2.0/24"].iter().map(|net| net.parse().unwrap()).collect();
        let next = next_block(range, 24, &taken).unwrap();
        assert_eq!(next.to_string(), "10.244.1.0/24");
        taken.extend(range.subnets(24).unwrap());
        assert_eq!(next_block(range, 24, &taken), None);
    }
}
