//! Tests that any [`Store`](crate::Store) must pass.
