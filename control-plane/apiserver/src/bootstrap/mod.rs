//! Objects every cluster starts with.
