//! Behaviour of the object model, by topic.

mod suite;
