//! Managed clusters and agent pools, as sagas and reconcilers.
