//! Behaviour of the object model, by topic.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod suite;
