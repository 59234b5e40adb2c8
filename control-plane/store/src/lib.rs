//! Revisions, transactions, watches, leases and compaction with etcd's semantics, on an embedded engine.
