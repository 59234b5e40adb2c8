//! Services as nftables rules, one transaction per sync.
