//! The real `az` against the providers. Skipped, and said so, where there is none.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod coverage;
mod key_vault;
mod monitor;
mod storage;
mod transcripts;
