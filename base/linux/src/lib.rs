//! Linux itself: network namespaces, links, mounts, cgroups, nftables, processes. The only unsafe.
