//! Template deployments.
