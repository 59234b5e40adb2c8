//! Linux itself: network namespaces, links, mounts, cgroups, nftables, processes. The only unsafe.
//!
//! Guarantees: a runtime's thread never changes namespace (each visit has a thread of its own that ends);
//! a process is known by pid, start time and boot, never by pid alone; an external command's failure carries
//! its argv, status and what it said.
//! Does not: decide anything; know what a machine, a network or a pod is for.

pub mod cgroup;
pub mod command;
pub mod ip;
pub mod machine;
pub mod mount;
pub mod netns;
pub mod nft;
pub mod process;
pub mod root;
pub mod watch;

pub use command::{Command, CommandError};
pub use netns::Netns;
pub use process::Process;
