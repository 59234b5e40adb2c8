//! The Kubernetes API server: one generic registry, authentication, authorisation, admission, watch cache.
