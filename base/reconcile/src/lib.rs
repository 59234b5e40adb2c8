//! Three kinds of work, three rules for failure.
//!
//! A request does not retry and is not here. A finite deed of several steps is a [`saga`]: journaled, with
//! an undo per step, resumed after a crash. A state that must be kept true is a reconciler on a
//! [`queue`]: it takes a key and no hint, reads the world again and says when to look next.

pub mod queue;
pub mod saga;

pub use queue::{KeyedQueue, Next};
pub use saga::{Journal, Memo, Saga, SagaError, Step};
