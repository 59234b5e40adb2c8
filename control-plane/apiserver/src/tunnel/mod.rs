//! The nodes' tunnels and dialling through them.
