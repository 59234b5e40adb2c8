//! The Kubernetes object model from one pinned corpus: schemas, defaults, validation, merges, selectors, tables. No I/O.
