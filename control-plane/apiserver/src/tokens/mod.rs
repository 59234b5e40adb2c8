//! Service-account tokens: issue, keys, discovery documents.
