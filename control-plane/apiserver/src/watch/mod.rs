//! The watch cache: every object in memory once, as the bytes that are served, and the recent changes.
//!
//! One task follows the store's watch over all keys and hands each change to the cache of its resource
//! ([`hub`]). A cache holds the objects in key order, a window of changes for watches that resume, and the
//! subscriptions. Filters run on extracted headers, in the hub's task, so a change wakes only who wants it;
//! a watch frame is encoded once and shared. Lists by label or field go through an index once there is much.
//!
//! Guarantees: a change is visible to readers before the hub's progress says so; each subscription sees every
//! change after its snapshot once, in order, or is ended; a subscription that is dropped is gone at once.
//! It does not convert between versions and knows nothing of HTTP.

pub mod cache;
pub mod change;
mod counts;
pub mod entry;
pub mod filter;
pub mod header;
pub mod hub;
pub mod index;
pub mod subscribers;

pub use cache::{Cache, Page, Start, Subscription};
pub use change::{Change, Kind};
pub use entry::Entry;
pub use filter::Filter;
pub use hub::Hub;

#[cfg(test)]
mod tests;
