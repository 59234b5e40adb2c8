//! Time as a dependency: whoever needs "now" is handed a [`Clock`].

use std::sync::Arc;

/// Where "now" comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, for timestamps that people and APIs see.
    fn now(&self) -> jiff::Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// A clock that stands where it was put, for tests.
#[derive(Debug, Clone)]
pub struct FixedClock(Arc<parking_lot::Mutex<jiff::Timestamp>>);

impl FixedClock {
    /// A clock standing at `at`.
    pub fn new(at: jiff::Timestamp) -> Self {
        Self(Arc::new(parking_lot::Mutex::new(at)))
    }

    /// Moves the clock to `at`, forwards or back.
    pub fn set(&self, at: jiff::Timestamp) {
        *self.0.lock() = at;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> jiff::Timestamp {
        *self.0.lock()
    }
}
