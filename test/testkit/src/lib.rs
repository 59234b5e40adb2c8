//! Composes the parts' fakes into whole stacks for tests.
