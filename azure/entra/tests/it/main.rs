//! The directory through its service.
#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod graph;
mod signin;
mod tokens;
