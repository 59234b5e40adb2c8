//! The control loops: from deployments to garbage collection.
