//! The in-process admission chain.
